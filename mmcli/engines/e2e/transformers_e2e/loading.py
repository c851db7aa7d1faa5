"""A folder with an end-to-end speech model of transformers into memory.

Weights are read from safetensors only, and nothing reaches for the network. A model's own program runs only where its
catalogue entry and the user both allow it.
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from huggingface_hub import constants

from mmcli.engines import torch_runtime
from mmcli.engines.options import check_settings
from mmcli.errors import ConfigError, MissingPackage, UsageError, did_you_mean
from mmcli.families import read_config
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.e2e.transformers_e2e.families import Family
    from mmcli.options import Runtime
    from mmcli.stages import AudioSource

# Used in training only, tied to other weights, or computed anew.
_EXPENDABLE = ("masked_spec_embed", "lm_head.weight", "position_ids", "inv_freq")
_MAX_RATE = 48000


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in memory. `rate` is the samples per second that it wants, `folder` where it lies.

    `parts` are further models that it needs. One answer is generated at a time: `lock`.
    """

    card: ModelCard
    family: Family
    folder: Path
    model: Any
    processor: Any
    device: torch.device
    rate: int
    parts: Mapping[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tokenizer(self) -> Any:
        """Where the processor has none: what `tokenizer` found."""
        return getattr(self.processor, "tokenizer", None) or self.parts["tokenizer"]

    def place(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors where and as the model computes."""
        return {name: self._placed(value) for name, value in values.items()}

    def _placed(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)

    def sound(self, audio: AudioSource) -> NDArray[np.float32]:
        """All samples [n] of a recording at the model's rate."""
        with closing(closable(audio.blocks(self.rate))) as blocks:
            samples = [block.samples for block in blocks]
        return np.concatenate(samples) if samples else np.zeros(0, np.float32)


def load(card: ModelCard, folder: Path, runtime: Runtime, families: Mapping[str, Family], remote: Family) -> Loaded:
    """The model of a folder.

    ConfigError for unknown settings and families and for programs that are not trusted, UsageError for what it cannot
    compute with, MissingModel, MissingPackage, or EngineError for what is damaged or does not fit.
    """
    if runtime.quantize:
        raise UsageError(f'model "{card.name}" cannot be made smaller with --quantize', "take --dtype bfloat16")
    family, trusted = _family(card, folder, runtime, families, remote)
    check_settings(card, (*family.settings, "trust_remote_code"))
    for package in family.packages:
        if find_spec(package) is None:
            raise MissingPackage(f'model "{card.name}" needs the Python package {package}', f"pip install {package}")
    device = torch_runtime.first_device(runtime)
    torch_runtime.check_weights(card, folder)
    torch_runtime.set_up(runtime)
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trusted}
    with torch_runtime.while_loading(card, folder), _offline():
        processor = getattr(transformers, family.processor).from_pretrained(folder, **given)
        if runtime.attention is not None:
            given["attn_implementation"] = runtime.attention
        cls = getattr(transformers, family.choose(card, folder) if family.choose is not None else family.model)
        # Qwen2.5-Omni's own way of loading cannot tell what was missing; its voices are loaded in omni.py.
        read = super(cls, cls).from_pretrained if hasattr(cls, "load_speakers") else cls.from_pretrained
        model, told = read(
            folder,
            dtype=torch_runtime.sized_dtype(runtime, device, folder),
            use_safetensors=True,
            output_loading_info=True,
            **given,
        )
        torch_runtime.check_whole(card, folder, told, _EXPENDABLE)
        rate = _rate(processor)
        model = model.eval().to(device)
    if not isinstance(rate, int) or not 0 < rate <= _MAX_RATE:
        raise torch_runtime.damaged(card, folder, f"its sampling_rate is {rate!r}")
    loaded = Loaded(card, family, folder, model, processor, device, rate)
    return replace(loaded, parts=family.more(loaded)) if family.more is not None else loaded


@contextmanager
def _offline() -> Iterator[None]:
    """A program of the folder's own may ask the hub for more, unlike the library: it gets what is here already."""
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def tokenizer(loaded: Loaded) -> Mapping[str, Any]:
    """The tokenizer of a folder whose processor has none. EngineError where it is damaged."""
    with torch_runtime.while_loading(loaded.card, loaded.folder):
        return {"tokenizer": transformers.AutoTokenizer.from_pretrained(loaded.folder, local_files_only=True)}


def _rate(processor: Any) -> Any:
    for name in ("feature_extractor", "audio_processor"):
        rate = getattr(getattr(processor, name, None), "sampling_rate", None)
        if rate is not None:
            return rate
    return getattr(processor, "sampling_rate", 16000)


def _family(
    card: ModelCard, folder: Path, runtime: Runtime, families: Mapping[str, Family], remote: Family
) -> tuple[Family, bool]:
    """What is to be known of the model, and whether its own program may run."""
    name = torch_runtime.architecture(card, folder)
    if name in families:
        return families[name], False
    own = read_config(folder).get("auto_map")
    if not isinstance(own, dict):
        raise ConfigError(
            f'model "{card.name}": the engine transformers-e2e knows no {name}',
            did_you_mean(name, families) or "mmcli models list --role e2e names models that it knows",
        )
    if not (card.settings.get("trust_remote_code") is True and runtime.trust_remote_code):
        raise ConfigError(
            f'model "{card.name}" is a {name}, which only a program in its folder can run, and none is run unasked',
            f"if you trust it: settings.trust_remote_code = true in its entry ({card.origin}) and --trust-remote-code",
        )
    return remote, True


def setting(card: ModelCard, name: str) -> str | None:
    """A setting that is a text, None where it is not given. ConfigError for another type."""
    value = card.settings.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{card.origin}: [models.{card.name}] setting {name} must be a text, not {value!r}")
    return value
