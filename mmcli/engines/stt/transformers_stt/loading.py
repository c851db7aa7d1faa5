"""A folder with a speech model of transformers into memory: where it computes, in which numbers, and what is refused.

Weights are read from safetensors only, code that lies beside them is never run, and nothing reaches for the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mmcli.errors import ConfigError, EngineError, MissingModel, MissingPackage, MmcliError, UsageError
from mmcli.families import CONFIG, file_names, read_config

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.stt.transformers_stt.families import Family
    from mmcli.options import Runtime

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
# Used in training only, so that published checkpoints may lack them.
_TRAINING_ONLY = ("masked_spec_embed",)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_MAX_RATE = 48000
# On a processor torch has no type of error for it.
_MEMORY = re.compile(r"out of memory|alloc\w* failed|can'?t allocate|cannot allocate|bad_alloc", re.IGNORECASE)


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


def first_device(runtime: Runtime) -> torch.device:
    """Where the model is to compute. UsageError, or MissingPackage for a CUDA device that is not here."""
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", runtime.device, re.ASCII) is None:
        raise UsageError(f'the device is auto, cpu, cuda or cuda:N, not "{runtime.device}"')
    if runtime.threads < 0:
        raise UsageError(f"--threads cannot be negative ({runtime.threads})")
    name, _, index = runtime.device.partition(":")
    count = 0 if name == "cpu" else torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and count == 0):
        return torch.device("cpu")
    if int(index or 0) >= count:
        here = "none" if count == 0 else f"only {count}"
        raise MissingPackage(
            f"--device {runtime.device}: PyTorch finds {here} of the CUDA devices it would need",
            "take --device auto or cpu, or install the NVIDIA driver and a build of torch for CUDA",
        )
    return torch.device("cuda", int(index or 0))


def first_dtype(runtime: Runtime, device: torch.device) -> torch.dtype | str:
    """The numbers to compute in; "auto" means as the weights are stored. UsageError for others than torch knows."""
    kind = runtime.compute_type
    if kind == "default":
        return "auto"
    if kind == "auto":
        # Half the memory and twice the speed on a card; on a processor half precision is slower.
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if kind not in DTYPES:
        raise UsageError(
            f"--compute-type {kind} is not for models of transformers", f"auto, default, {', '.join(DTYPES)} are"
        )
    return DTYPES[kind]


def architecture(card: ModelCard, folder: Path) -> str:
    """What config.json calls the model. MissingModel or EngineError where it names none."""
    if not (folder / CONFIG).is_file():
        raise MissingModel(f'model "{card.name}": {folder} has no {CONFIG}', "it has to be a folder of transformers")
    names = read_config(folder).get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise damaged(card, folder, f"{CONFIG} names no architecture")
    return names[0]


def load(card: ModelCard, folder: Path, family: Family, runtime: Runtime) -> Loaded:
    """The model of a folder. MissingModel, MissingPackage, UsageError, or EngineError for what is damaged."""
    device = first_device(runtime)
    dtype = first_dtype(runtime, device)
    _check_packages(card, family, read_config(folder))
    _check_weights(card, folder)
    if runtime.threads:
        torch.set_num_threads(runtime.threads)  # of the whole process: torch has no other way
    # Its bars and remarks are not for our terminal; what matters in them is checked below.
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    given = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = getattr(transformers, family.processor).from_pretrained(folder, **given)
        model, told = getattr(transformers, family.model).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **given
        )
        _check_whole(card, folder, told)
        model = model.eval().to(device)
        rate = processor.feature_extractor.sampling_rate if hasattr(processor, "feature_extractor") else None
        rate = rate or processor.audio_processor.sampling_rate
    except MmcliError:
        raise
    except Exception as error:
        if is_memory(error):
            raise lacking(card, error) from error
        raise damaged(card, folder, one_line(error)) from error
    if not isinstance(rate, int) or not 0 < rate <= _MAX_RATE:
        raise damaged(card, folder, f"its sampling_rate is {rate!r}")
    return Loaded(card, model, processor, device, model.dtype, rate)


def _check_packages(card: ModelCard, family: Family, config: dict[str, Any]) -> None:
    needed = [*family.packages, *(["peft"] if config.get("has_lora_adapter") else [])]
    for package in needed:
        if find_spec(package) is None:
            raise MissingPackage(f'model "{card.name}" needs the Python package {package}', f"pip install {package}")


def _check_weights(card: ModelCard, folder: Path) -> None:
    names = file_names(folder)
    if any(name.endswith(".safetensors") for name in names):
        return
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        raise EngineError(
            f'model "{card.name}": its weights are pickles ({pickles[0]}), which may run any program',
            "convert them to safetensors, or take another revision",
        )
    raise MissingModel(f'model "{card.name}": {folder} has no *.safetensors', "fetch it anew")


def _check_whole(card: ModelCard, folder: Path, told: dict[str, Any]) -> None:
    """Tensors that a checkpoint lacks would be drawn at random, and the model would say anything."""
    lost = [str(name) for name in told["missing_keys"] if not str(name).endswith(_TRAINING_ONLY)]
    lost += [str(name[0]) for name in told["mismatched_keys"]]
    if lost:
        raise damaged(card, folder, f"{len(lost)} of its tensors are missing or of the wrong shape, as {lost[0]}")


def damaged(card: ModelCard, folder: Path, why: str) -> EngineError:
    return EngineError(f'model "{card.name}": {folder} is no model that can be used ({why})', "fetch it anew")


def is_memory(error: Exception) -> bool:
    """Whether memory is what lacked."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(_MEMORY.search(str(error)))


def lacking(card: ModelCard, error: BaseException) -> EngineError:
    return EngineError(
        f'model "{card.name}" does not fit into memory ({one_line(error)})',
        "take a smaller model, --compute-type float16 or --device cpu",
    )


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def setting(card: ModelCard, name: str) -> str | None:
    """A setting that is a text, None where it is not given. ConfigError for another type."""
    value = card.settings.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{card.origin}: [models.{card.name}] setting {name} must be a text, not {value!r}")
    return value
