"""Checkpoints without weights: the configuration and the header that a model of transformers would have when saved."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def build(architecture: str, config: Any) -> Any:
    """A model on the meta device: shapes without numbers, of any size."""
    config.architectures = [architecture]
    with torch.device("meta"):
        return getattr(transformers, architecture)(config)


def write(model: Any, folder: Path) -> None:
    """config.json and model.safetensors as `save_pretrained` would name things, the data a hole in the file."""
    model.config.save_pretrained(folder)
    tied = set(model.all_tied_weights_keys or {})
    stored = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    write_header(folder / "model.safetensors", {n: t.shape for n, t in revert_weight_conversion(model, stored).items()})


def write_header(file: Path, shapes: dict[str, Any], dtype: str = "BF16", width: int = 2) -> None:
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + torch.Size(shape).numel() * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    content = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(content)) + content)
        stream.truncate(8 + len(content) + at)


def parameters(model: Any, *paths: str) -> int:
    """Parameters of the submodules, those that several share once; codebooks, which torch calls buffers, are some too."""
    tied = set(model.all_tied_weights_keys or {})
    counted = {
        name: value.numel()
        for name, value in model.state_dict().items()
        if name not in tied and any(name == path or name.startswith(f"{path}.") for path in paths)
    }
    assert counted, paths
    return sum(number for name, number in counted.items() if not name.endswith(STATISTICS))
