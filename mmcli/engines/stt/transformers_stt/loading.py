"""A folder with a speech model of transformers into memory.

Weights are read from safetensors only, code that lies beside them is never run, and nothing reaches for the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mmcli.engines import torch_runtime
from mmcli.errors import ConfigError, MissingPackage
from mmcli.families import read_config

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.stt.transformers_stt.families import Family
    from mmcli.options import Runtime

# Used in training only, so that published checkpoints may lack them.
_TRAINING_ONLY = ("masked_spec_embed",)
_MAX_RATE = 48000


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in memory with its processor. `rate` is the samples per second that it wants."""

    card: ModelCard
    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype
    rate: int

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    def features(self, sounds: list[NDArray[np.float32]], **given: Any) -> dict[str, Any]:
        """What the processor makes of sounds [n] of this rate, padded to the longest, where and as the model computes."""
        values = self.processor(audio=sounds, sampling_rate=self.rate, return_tensors="pt", padding=True, **given)
        return {name: self.place(value) for name, value in values.items()}

    def place(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.dtype if value.is_floating_point() else None)


def load(card: ModelCard, folder: Path, family: Family, runtime: Runtime) -> Loaded:
    """The model of a folder. MissingModel, MissingPackage, UsageError, or EngineError for what is damaged."""
    device = torch_runtime.first_device(runtime)
    dtype = torch_runtime.first_dtype(runtime, device)
    _check_packages(card, family, read_config(folder))
    torch_runtime.check_weights(card, folder)
    torch_runtime.set_up(runtime)
    given = {"local_files_only": True, "trust_remote_code": False}
    with torch_runtime.while_loading(card, folder):
        processor = getattr(transformers, family.processor).from_pretrained(folder, **given)
        model, told = getattr(transformers, family.model).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **given
        )
        torch_runtime.check_whole(card, folder, told, _TRAINING_ONLY)
        model = model.eval().to(device)
        rate = processor.feature_extractor.sampling_rate if hasattr(processor, "feature_extractor") else None
        rate = rate or processor.audio_processor.sampling_rate
    if not isinstance(rate, int) or not 0 < rate <= _MAX_RATE:
        raise torch_runtime.damaged(card, folder, f"its sampling_rate is {rate!r}")
    return Loaded(card, model, processor, device, model.dtype, rate)


def _check_packages(card: ModelCard, family: Family, config: dict[str, Any]) -> None:
    needed = [*family.packages, *(["peft"] if config.get("has_lora_adapter") else [])]
    for package in needed:
        if find_spec(package) is None:
            raise MissingPackage(f'model "{card.name}" needs the Python package {package}', f"pip install {package}")


def setting(card: ModelCard, name: str) -> str | None:
    """A setting that is a text, None where it is not given. ConfigError for another type."""
    value = card.settings.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{card.origin}: [models.{card.name}] setting {name} must be a text, not {value!r}")
    return value
