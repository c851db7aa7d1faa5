"""Headers of weights are read exactly, and broken or hostile ones end in one clear line."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmcli.anatomy.checkpoint import read
from mmcli.anatomy.headers import read_ctranslate2, read_safetensors
from mmcli.errors import InputError

MICRO = Path(__file__).parent.parent / "micro" / "whisper"


def _file(folder: Path, header: bytes, data: int = 0, length: int | None = None) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + bytes(data))
    return path


def _json(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


def _entry(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_the_library_writes_what_is_read(tmp_path: Path) -> None:
    tensors = {
        "a.weight": torch.zeros(3, 4, dtype=torch.bfloat16),
        "b": torch.zeros((), dtype=torch.int64),
        "c": torch.zeros(5, 0),
        "d": torch.zeros(7, dtype=torch.float8_e4m3fn),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = {t.name: (t.dtype, t.shape, t.bytes, t.elements) for t in read_safetensors(tmp_path / "model.safetensors")}
    assert found == {
        "a.weight": ("bfloat16", (3, 4), 24, 12),
        "b": ("int64", (), 8, 1),
        "c": ("float32", (5, 0), 0, 0),
        "d": ("float8", (7,), 7, 7),
    }


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda folder: _file(folder, b"{}", length=1 << 62), "cut off"),
        (lambda folder: _file(folder, b" " * (33 << 20)), "larger than 32 MiB"),
        (lambda folder: _file(folder, b"not json"), "not JSON"),
        (lambda folder: _file(folder, b"[" * 100_000), "not JSON"),
        (lambda folder: _file(folder, b"\xff\xfe{}"), "not JSON"),
        (lambda folder: _file(folder, b"[]"), "not a table"),
        (lambda folder: _file(folder, _json(a=_entry([2], 0, 8)), data=4), "4 bytes of tensors are missing"),
        (lambda folder: _file(folder, _json(a=_entry([2], 0, 8)), data=12), "belong to no tensor"),
        (lambda folder: _file(folder, _json(a=_entry([2], 4, 12)), data=12), "overlap, or leave a gap"),
        (lambda folder: _file(folder, _json(a=_entry([2], 0, 8), b=_entry([2], 4, 12)), data=12), "overlap"),
        (lambda folder: _file(folder, _json(a=_entry([2], 0, 4)), data=4), "has 4 bytes for [2]"),
        (lambda folder: _file(folder, _json(a=_entry([-2], 0, -8)), data=8), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=_entry([1 << 60], 0, 1 << 62))), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=_entry([True], 0, 4)), data=4), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=_entry([1], 0, 4, "F33")), data=4), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=_entry([1], 0, 4, ["F32"])), data=4), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=_entry([1] * 40, 0, 4)), data=4), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=[1, 2])), 'tensor "a"'),
        (lambda folder: _file(folder, _json(a=None)), 'tensor "a"'),
        (lambda folder: _file(folder, b"", length=0).write_bytes(b"123"), "shorter than"),
    ],
)
def test_hostile_headers_are_refused(make: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InputError) as caught:
        read_safetensors(tmp_path / "model.safetensors")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def _shards(folder: Path, **places: str) -> Path:
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    return folder


def test_shards_are_one_model(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3), "unlisted": torch.zeros(9)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(4)}, tmp_path / "model-2.safetensors")
    found = read(_shards(tmp_path, a="model-1.safetensors", b="model-2.safetensors"))
    assert [(t.name, t.elements) for t in found.tensors] == [("a", 3), ("b", 4)]
    assert found.bytes == 28


@pytest.mark.parametrize(
    "places, said",
    [
        ({"a": "model-1.safetensors", "b": "gone.safetensors"}, "names gone.safetensors, which is not there"),
        ({"a": "model-1.safetensors", "b": "model-1.safetensors"}, 'tensor "b" is not in model-1.safetensors'),
        ({"a": "../../secret.safetensors"}, "no safetensors file in its folder"),
        ({"a": "pytorch_model.bin"}, "no safetensors file in its folder"),
        ({}, "has no weight_map"),
    ],
)
def test_lost_and_strange_shards_are_named(places: dict[str, str], said: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "model-1.safetensors")
    with pytest.raises(InputError, match=said):
        read(_shards(tmp_path, **places))


@pytest.mark.parametrize(
    "content, said",
    [
        (b" " * (5 << 20), "larger than 4 MiB"),
        (b"{", "is not JSON"),
        (b"[1]", "not a JSON object"),
        (b"\xff", "is not JSON"),
    ],
)
def test_a_broken_configuration_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read(tmp_path)


def test_pickles_are_told_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 2}', encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    found = read(tmp_path)
    assert found.tensors == ()
    assert found.unread.startswith("pytorch_model.bin is a pickle")
    assert found.bytes == 13


def test_adapters_are_listed(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "speech-lora"):
        folder.mkdir(exist_ok=True)
        config = {
            "peft_type": "LORA",
            "r": 8,
            "target_modules": ["q_proj", "v_proj"],
            "base_model_name_or_path": "org/base",
        }
        (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(
            {"q.lora_A.weight": torch.zeros(8, 32), "q.lora_B.weight": torch.zeros(32, 8)},
            folder / "adapter_model.safetensors",
        )
    adapters = read(tmp_path).adapters
    assert [adapter.name for adapter in adapters] == [".", "speech-lora"]
    assert (adapters[0].kind, adapters[0].rank, adapters[0].parameters, adapters[0].base) == (
        "LORA",
        8,
        512,
        "org/base",
    )


def test_ctranslate2_is_read_as_its_library_counts_it() -> None:
    tensors, scalars = read_ctranslate2(MICRO / "model.bin")
    assert sum(t.bytes for t in tensors) < (MICRO / "model.bin").stat().st_size
    shapes = {t.name: t.shape for t in tensors}
    assert shapes["encoder.conv1.weight"] == (64, 80, 3)
    assert shapes["decoder.embeddings.weight"] == (51865, 64)
    assert scalars["decoder.num_heads"] == 2
    assert {t.dtype for t in tensors if t.shape} <= {"int8", "int16", "float32", "float16"}


@pytest.mark.parametrize("keep", [0, 3, 10, 60, 1000, -1, -100_000])
def test_a_cut_model_bin_is_refused(keep: int, tmp_path: Path) -> None:
    content = (MICRO / "model.bin").read_bytes()
    shutil.copy(MICRO / "config.json", tmp_path)
    # The aliases at the end are not read, so the last bytes may be missing.
    (tmp_path / "model.bin").write_bytes(content[:keep] if keep >= 0 else content[: keep - 2000])
    with pytest.raises(InputError, match=r"cut off|CTranslate2"):
        read(tmp_path)


def test_noise_is_no_model_bin(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    for seed in range(20):
        noise = np.random.default_rng(seed).bytes(5000)
        (tmp_path / "model.bin").write_bytes(struct.pack("<I", 6) + noise)
        with pytest.raises(InputError):
            read(tmp_path)
