"""A folder with a model: its configuration, the settings of its processor, its tensors, its adapters."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcli import families
from mmcli.anatomy.headers import Tensor, read_ctranslate2, read_safetensors
from mmcli.errors import InputError
from mmcli.media.files import display_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MAX_INDEX_BYTES = 64 << 20
# Weights whose heads are not read, and why.
_UNREAD = {
    ".bin": "a pickle, which may run any program",
    ".pt": "a pickle, which may run any program",
    ".pth": "a pickle, which may run any program",
    ".ckpt": "a pickle, which may run any program",
    ".gguf": "of another format",
    ".onnx": "of another format",
    ".h5": "of another format",
    ".msgpack": "of another format",
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA or another adapter that lies in the folder. `parameters` is 0 where its weights are no safetensors."""

    name: str
    kind: str
    base: str
    rank: int | None
    targets: tuple[str, ...]
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder tells of its model. `tensors` is empty where `unread` says why."""

    folder: Path
    config: Mapping[str, Any]
    image: Mapping[str, Any]
    """Settings of the image processor."""
    processor: Mapping[str, Any]
    """Settings of the processor around it."""
    audio: Mapping[str, Any]
    """Settings of the feature extractor."""
    tensors: tuple[Tensor, ...]
    files: tuple[Path, ...]
    """Those that hold the tensors, or the weights that were not read."""
    scalars: Mapping[str, int] = field(default_factory=dict)
    """Whole numbers that stand among the tensors; CTranslate2 keeps some of its configuration there."""
    unread: str = ""
    adapters: tuple[Adapter, ...] = ()

    @property
    def bytes(self) -> int:
        """Of the weights as they are stored."""
        return sum(t.bytes for t in self.tensors) if self.tensors else sum(f.stat().st_size for f in self.files)

    @property
    def kind(self) -> str:
        """config.json's `model_type`; "" where it has none."""
        found = self.config.get("model_type")
        return found if isinstance(found, str) else ""

    @property
    def architecture(self) -> str:
        """Of config.json, or the family that the files show."""
        found = self.config.get("architectures")
        if isinstance(found, list) and found and isinstance(found[0], str):
            return found[0]
        return families.family_name(self.config, [file.name for file in self.files]) or ""


def read(folder: Path) -> Checkpoint:
    """The checkpoint in a folder. InputError for a folder without a model, or with files that are broken or missing."""
    names = set(families.file_names(folder))
    adapters = tuple(_adapters(folder))
    if families.CONFIG not in names and not adapters:
        raise InputError(display_name(folder), f"has no {families.CONFIG}, so it is no model that can be inspected")
    config = read_json(folder / families.CONFIG, families.MAX_CONFIG_BYTES)
    tensors, scalars, files = _weights(folder, names)
    processor = read_json(folder / "processor_config.json", families.MAX_CONFIG_BYTES)
    settings = read_json(folder / "preprocessor_config.json", families.MAX_CONFIG_BYTES)
    return Checkpoint(
        folder=folder,
        config=config,
        # Newer processors keep everything in one file, with a table for each part.
        image={**settings, **table(processor, "image_processor")},
        processor={**settings, **processor},
        audio={**settings, **table(processor, "feature_extractor"), **table(config, "audio")},
        tensors=tensors,
        files=files or tuple(sorted(folder / name for name in names if Path(name).suffix in _UNREAD)),
        scalars=scalars,
        unread="" if tensors else _unread(names),
        adapters=adapters,
    )


def table(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The first of these keys that holds a table; an empty one where none does."""
    return next((config[key] for key in keys if isinstance(config.get(key), dict)), {})


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """The table in a JSON file of at most `limit` bytes, empty where there is no file. InputError for anything else."""
    source = display_name(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(source, f"cannot be read ({error.strerror or error})") from error
    if len(content) > limit:
        raise InputError(source, f"is larger than {limit >> 20} MiB, the most that is read of such a file")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(source, "is not JSON") from error
    if not isinstance(found, dict):
        raise InputError(source, "is not a JSON object")
    return found


def _weights(folder: Path, names: set[str]) -> tuple[tuple[Tensor, ...], dict[str, int], tuple[Path, ...]]:
    if _INDEX in names:
        return _sharded(folder)
    single = "model.safetensors"
    own = (
        [single]
        if single in names
        else sorted(n for n in names if n.endswith(".safetensors") and n != _ADAPTER_WEIGHTS)
    )
    if own:
        tensors = {t.name: t for name in own for t in read_safetensors(folder / name)}
        return tuple(tensors.values()), {}, tuple(folder / name for name in own)
    if "model.bin" in names:
        found, scalars = read_ctranslate2(folder / "model.bin")
        return tuple(found), scalars, (folder / "model.bin",)
    return (), {}, ()


def _sharded(folder: Path) -> tuple[tuple[Tensor, ...], dict[str, int], tuple[Path, ...]]:
    index = folder / _INDEX
    places = read_json(index, _MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InputError(display_name(index), "has no weight_map")
    shards = sorted({str(place) for place in places.values()})
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise InputError(display_name(index), f'names "{shard[:80]}", which is no safetensors file in its folder')
        if not (folder / shard).is_file():
            raise InputError(display_name(index), f"names {shard}, which is not there", "fetch the model again")
    stored = {(shard, t.name): t for shard in shards for t in read_safetensors(folder / shard)}
    tensors = [stored.get((str(shard), name)) for name, shard in places.items()]
    if None in tensors:
        lost = list(places)[tensors.index(None)]
        raise InputError(display_name(index), f'tensor "{lost[:80]}" is not in {places[lost]}', "fetch the model again")
    return tuple(t for t in tensors if t is not None), {}, tuple(folder / shard for shard in shards)


def _unread(names: set[str]) -> str:
    for name in sorted(names):
        if (why := _UNREAD.get(Path(name).suffix)) is not None:
            return f"{name} is {why}, so its tensors are not counted"
    return "there are no weights in the folder"


def _adapters(folder: Path) -> list[Adapter]:
    """Those in the folder itself and in the folders in it."""
    found = []
    for place in sorted([*folder.glob(_ADAPTER), *folder.glob(f"*/{_ADAPTER}")]):
        config = read_json(place, families.MAX_CONFIG_BYTES)
        weights = place.with_name(_ADAPTER_WEIGHTS)
        tensors = read_safetensors(weights) if weights.is_file() else []
        rank, targets, base = config.get("r"), config.get("target_modules"), config.get("base_model_name_or_path")
        found.append(
            Adapter(
                name=place.parent.relative_to(folder).as_posix(),
                kind=str(config.get("peft_type") or "adapter")[:40],
                base=base if isinstance(base, str) else "",
                rank=rank if type(rank) is int else None,
                targets=(targets,) if isinstance(targets, str) else tuple(map(str, targets or ())),
                parameters=sum(t.elements for t in tensors),
                bytes=sum(t.bytes for t in tensors),
            )
        )
    return found
