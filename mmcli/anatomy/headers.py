"""Names, shapes and types of stored weights, read from the heads of their files: safetensors, and CTranslate2's model.bin.

Everything that a head claims is checked before it is believed: a file may come from anywhere.
Formats: https://github.com/huggingface/safetensors (Format) and ctranslate2.specs.model_spec (binary version 6).
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from mmcli.errors import InputError
from mmcli.media.files import display_name

if TYPE_CHECKING:
    from pathlib import Path

MAX_HEADER_BYTES = 32 << 20
"""A tensor takes about 120 bytes of it, so this is room for a quarter of a million; it is parsed whole."""
_MAX_VARIABLES = 1 << 20
_MAX_DIMENSIONS = 32

# Name in the header -> the field's name, bits of an element.
_SAFETENSORS: dict[str, tuple[str, int]] = {
    "F64": ("float64", 64),
    "F32": ("float32", 32),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F8_E4M3": ("float8", 8),
    "F8_E5M2": ("float8", 8),
    "F8_E8M0": ("float8", 8),
    "F8_E4M3FNUZ": ("float8", 8),
    "F8_E5M2FNUZ": ("float8", 8),
    "F6_E2M3": ("float6", 6),
    "F6_E3M2": ("float6", 6),
    "F4": ("float4", 4),
    "C64": ("complex64", 64),
    "I64": ("int64", 64),
    "U64": ("uint64", 64),
    "I32": ("int32", 32),
    "U32": ("uint32", 32),
    "I16": ("int16", 16),
    "U16": ("uint16", 16),
    "I8": ("int8", 8),
    "U8": ("uint8", 8),
    "BOOL": ("bool", 8),
}
# In the order of CTranslate2's enumeration.
_CTRANSLATE2 = (("float32", 4), ("int8", 1), ("int16", 2), ("int32", 4), ("float16", 2), ("bfloat16", 2))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A stored tensor: its name with dots between the parts, its type, and the bytes that it takes in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def read_safetensors(path: Path) -> list[Tensor]:
    """The tensors of a .safetensors file. InputError for a header that is broken, or that does not fit its file."""
    source = display_name(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file, size, source)
    except OSError as error:
        raise InputError(source, f"cannot be read ({error.strerror or error})") from error
    length, entries = header
    entries.pop("__metadata__", None)
    spans = []
    tensors = []
    for name, entry in entries.items():
        tensor, begin = _tensor(name, entry, source)
        tensors.append(tensor)
        spans.append((begin, begin + tensor.bytes))
    _check_spans(spans, size - 8 - length, source)
    return tensors


def _header(file: BinaryIO, size: int, source: str) -> tuple[int, dict[str, Any]]:
    """The length of the header in bytes, and its content."""
    head = file.read(8)
    if len(head) < 8:
        raise InputError(source, "is no safetensors file (shorter than its header's length)")
    (length,) = struct.unpack("<Q", head)
    if length > size - 8:
        raise InputError(
            source,
            f"is no safetensors file, or cut off (a header of {length} bytes in a file of {size})",
            "fetch it again",
        )
    if length > MAX_HEADER_BYTES:
        raise InputError(source, f"its header is larger than {MAX_HEADER_BYTES >> 20} MiB, the most that is read")
    try:
        content = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise InputError(source, "is no safetensors file (its header is not JSON)") from error
    if not isinstance(content, dict):
        raise InputError(source, "is no safetensors file (its header is not a table)")
    return length, content


def _tensor(name: str, entry: Any, source: str) -> tuple[Tensor, int]:
    """A tensor, and where it begins behind the header."""
    try:
        dtype, bits = _SAFETENSORS[entry["dtype"]]
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        if len(shape) > _MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end)):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(source, f'its header is broken (tensor "{name[:80]}")') from error
    if (end - begin) * 8 != math.prod(shape) * bits:
        raise InputError(
            source, f'its header is broken (tensor "{name[:80]}" has {end - begin} bytes for {list(shape)})'
        )
    return Tensor(name, dtype, shape, end - begin), begin


def _check_spans(spans: list[tuple[int, int]], available: int, source: str) -> None:
    """The tensors must lie one behind the other and fill the file."""
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise InputError(source, "its header is broken (tensors overlap, or leave a gap)")
        at = end
    if at > available:
        raise InputError(source, f"is cut off ({at - available} bytes of tensors are missing)", "fetch it again")
    if at < available:
        raise InputError(source, f"its header is broken ({available - at} bytes belong to no tensor)")


def read_ctranslate2(path: Path) -> tuple[list[Tensor], dict[str, int]]:
    """The tensors of CTranslate2's model.bin, and the whole numbers among its variables, such as decoder.num_heads.

    InputError for what is no such file, is cut off, or has a version that is not known.
    """
    source = display_name(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            (version,) = struct.unpack("<I", file.read(4))
            if version not in (4, 5, 6):
                raise InputError(source, "is no model.bin of CTranslate2, or of a version that is not known")
            _string(file)  # the name of the model's specification
            _, count = struct.unpack("<II", file.read(8))
            if count > _MAX_VARIABLES:
                raise InputError(source, f"is broken (it claims {count} tensors)")
            scalars: dict[str, int] = {}
            tensors = [_variable(file, size, source, scalars) for _ in range(count)]
    except OSError as error:
        raise InputError(source, f"cannot be read ({error.strerror or error})") from error
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(source, "is no model.bin of CTranslate2, or cut off") from error
    return tensors, scalars


def _variable(file: BinaryIO, size: int, source: str, scalars: dict[str, int]) -> Tensor:
    name = _string(file)
    (rank,) = struct.unpack("<B", file.read(1))
    shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
    kind, length = struct.unpack("<BI", file.read(5))
    if kind >= len(_CTRANSLATE2):
        raise InputError(source, f'is broken (tensor "{name[:80]}" has type {kind})')
    dtype, width = _CTRANSLATE2[kind]
    if math.prod(shape) * width != length:
        raise InputError(source, f'is broken (tensor "{name[:80]}" has {length} bytes for {list(shape)})')
    if file.tell() + length > size:
        raise InputError(source, f'is cut off (in tensor "{name[:80]}")', "fetch it again")
    if shape or dtype not in ("int8", "int16", "int32"):
        file.seek(length, os.SEEK_CUR)
    else:
        scalars[name] = int.from_bytes(file.read(length), "little", signed=True)
    return Tensor(name, dtype, shape, length)


def _string(file: BinaryIO) -> str:
    """A name with dots between its parts; in the file it has slashes and a zero at its end."""
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length).decode("utf-8").rstrip("\0").replace("/", ".")
