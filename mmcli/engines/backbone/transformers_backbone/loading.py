"""A folder with a language model or a vision-language model of transformers into memory.

Weights are read from safetensors only, and nothing reaches for the network. A model's own program runs only where its
catalogue entry and the user both allow it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mmcli.engines import torch_runtime
from mmcli.engines.answers import coordinates
from mmcli.engines.backbone.transformers_backbone.families import FAMILIES, REMOTE, Family
from mmcli.engines.options import BALANCED, check_settings
from mmcli.errors import ConfigError, MissingPackage, UsageError, did_you_mean
from mmcli.families import file_names, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mmcli.catalogue import ModelCard
    from mmcli.options import Runtime

_QUANTIZED = ("int8", "int4")
_SETTINGS: dict[str, type] = {
    "trust_remote_code": bool,
    "prompt": str,
    "template": dict,
    "processor": dict,
    "cache_conversations": int,
    "cache_mb": int,
    "coordinates": str,
}
# Read anew from other weights of the checkpoint, or only used in training.
_EXPENDABLE = ("lm_head.weight", "position_ids", "logit_scale")
_AUTO = ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModelForVision2Seq", "AutoModel")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in memory with its processor, which for a language model alone is its tokenizer.

    `prompt` is the card's frame for a question, `template` the chat template, `coordinates` what those of its answers
    count, all None where there is none.
    """

    card: ModelCard
    family: Family
    model: Any
    processor: Any
    prompt: str | None = None
    template: str | None = None
    template_values: Mapping[str, Any] = field(default_factory=dict)
    coordinates: str | None = None
    control_tokens: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return torch.device(self.model.device)

    def place(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors where and as the model computes."""
        return {name: self._placed(value) for name, value in values.items() if name not in self.family.drop}

    def _placed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._placed(item) for item in value]
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)


def setting(card: ModelCard, name: str, default: Any) -> Any:
    """A setting of the card. ConfigError for another type than it has to be of."""
    value = card.settings.get(name, default)
    kind = _SETTINGS[name]
    if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ConfigError(
            f"{card.origin}: [models.{card.name}] setting {name} must be a {kind.__name__}, not {value!r}"
        )
    return value


def load(card: ModelCard, folder: Path, runtime: Runtime) -> Loaded:
    """The model of a folder.

    ConfigError for unknown settings and families and for programs that are not trusted, UsageError for what it cannot
    compute with, MissingModel, MissingPackage, or EngineError for what is damaged or does not fit.
    """
    check_settings(card, _SETTINGS)
    config = read_config(folder)
    family, trusted = _family(card, folder, config, runtime)
    device = torch_runtime.first_device(replace(runtime, device="auto") if runtime.device == BALANCED else runtime)
    for package in family.packages:
        _need(card, package, "mmcli[vlm]")
    torch_runtime.check_weights(card, folder)
    torch_runtime.set_up(runtime)
    given = {"local_files_only": True, "trust_remote_code": trusted}
    with torch_runtime.while_loading(card, folder):
        processor = getattr(transformers, family.processor).from_pretrained(folder, **given)
        model, told = _model_class(family, config).from_pretrained(
            folder,
            use_safetensors=True,
            output_loading_info=True,
            **_computing(card, folder, runtime, device),
            **given,
        )
        torch_runtime.check_whole(card, folder, told, _EXPENDABLE)
    if not runtime.quantize and runtime.device != BALANCED:
        model = model.to(device)
    return _ready(Loaded(card, family, model.eval(), processor))


def _ready(loaded: Loaded) -> Loaded:
    """The same with its tokenizer set up for several prompts at once."""
    tokenizer, processor = loaded.tokenizer, loaded.processor
    # What is gone on from has to end at the same place in every row.
    reads = loaded.model.config.is_encoder_decoder or loaded.family.classify
    tokenizer.padding_side = "right" if reads else "left"
    if loaded.family.reuse:
        # Caches of a fixed size are written over; only one that grows can be shared.
        loaded.model.generation_config.cache_implementation = None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    template = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    names = ("image_token", "video_token", "image_break_token", "image_end_token")
    marks = [*tokenizer.special_tokens_map.values(), *(getattr(processor, name, None) for name in names)]
    return replace(
        loaded,
        prompt=setting(loaded.card, "prompt", None),
        template=template,
        template_values=setting(loaded.card, "template", {}),
        coordinates=coordinates(loaded.card, loaded.family.coordinates),
        control_tokens=tuple({str(getattr(mark, "content", mark)) for mark in marks if mark and len(str(mark)) > 1}),
    )


def _family(card: ModelCard, folder: Path, config: Mapping[str, Any], runtime: Runtime) -> tuple[Family, bool]:
    """What is to be known of the model, and whether its own program may run."""
    name = torch_runtime.architecture(card, folder)
    if name in FAMILIES:
        return FAMILIES[name], False
    own = config.get("auto_map")
    if not isinstance(own, dict):
        raise ConfigError(
            f'model "{card.name}": the engine transformers knows no {name}',
            did_you_mean(name, FAMILIES) or "mmcli models list --role backbone names models that it knows",
        )
    if not (setting(card, "trust_remote_code", False) and runtime.trust_remote_code):
        raise ConfigError(
            f'model "{card.name}" is a {name}, which only a program in its folder can run, and none is run unasked',
            f"if you trust it: settings.trust_remote_code = true in its entry ({card.origin}) and --trust-remote-code",
        )
    family = replace(REMOTE, model=next((auto for auto in _AUTO if auto in own), _AUTO[1]))
    processor = "AutoProcessor" in own or any(name.endswith("processor_config.json") for name in file_names(folder))
    if processor:
        return family, True
    return replace(FAMILIES["LlamaForCausalLM"], model=family.model), True


def _model_class(family: Family, config: Mapping[str, Any]) -> Any:
    if family.model == "AutoModelForVision2Seq":  # what older folders call it
        return transformers.AutoModelForImageTextToText
    return getattr(transformers, family.model)


def _computing(card: ModelCard, folder: Path, runtime: Runtime, device: torch.device) -> dict[str, Any]:
    """Where and in which numbers: arguments of `from_pretrained`."""
    given: dict[str, Any] = {"dtype": torch_runtime.sized_dtype(runtime, device, folder)}
    if runtime.attention is not None:
        given["attn_implementation"] = _attention(card, runtime.attention)
    if runtime.quantize is not None:
        given["quantization_config"] = _quantization(card, runtime.quantize, given["dtype"])
        given["device_map"] = {"": device}
    if runtime.device == BALANCED:
        _need(card, "accelerate", "mmcli[quant]")
        given["device_map"] = BALANCED
    return given


def _attention(card: ModelCard, name: str) -> str:
    known = ("eager", *transformers.AttentionInterface().valid_keys())
    if name not in known:
        raise UsageError(f'--attention "{name}" is none of {", ".join(known)}', did_you_mean(name, known))
    if name.startswith("flash_attention_2"):
        _need(card, "flash_attn", "flash-attn")
    return name


def _quantization(card: ModelCard, kind: str, dtype: torch.dtype | str) -> Any:
    if kind not in _QUANTIZED:
        raise UsageError(f'--quantize is {" or ".join(_QUANTIZED)}, not "{kind}"')
    for package in ("bitsandbytes", "accelerate"):
        _need(card, package, "mmcli[quant]")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of each layer that it casts
    if kind == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    compute = torch.float32 if dtype == "auto" else dtype
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)


def _need(card: ModelCard, package: str, install: str) -> None:
    if find_spec(package) is None:
        raise MissingPackage(f'model "{card.name}" needs the Python package {package}', f"pip install '{install}'")
