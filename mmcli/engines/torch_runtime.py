"""What the engines of transformers share: where a model computes, in which numbers, and what of a folder is refused.

Weights are read from safetensors only, and nothing reaches for the network. This module knows no engine.
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mmcli.engines.options import BALANCED, check_runtime
from mmcli.errors import (
    ConfigError,
    EngineError,
    MissingModel,
    MissingPackage,
    MmcliError,
    UsageError,
    did_you_mean,
    one_line,
)
from mmcli.families import CONFIG, file_names, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from mmcli.catalogue import ModelCard
    from mmcli.options import Runtime

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# On a processor torch has no type of error for it.
_MEMORY = re.compile(r"out of memory|alloc\w* failed|can'?t allocate|cannot allocate|bad_alloc", re.IGNORECASE)


def first_device(runtime: Runtime) -> torch.device:
    """Where the model is to compute. UsageError, or MissingPackage for a CUDA device that is not here."""
    check_runtime(runtime)
    if runtime.device == BALANCED:
        raise UsageError("--device balanced is for backbones", "take --device auto")
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


def sized_dtype(runtime: Runtime, device: torch.device, folder: Path) -> torch.dtype | str:
    """As the runtime says; on a processor `auto` is float32, or bfloat16 where the model would fill the memory."""
    dtype = first_dtype(runtime, device)
    if runtime.compute_type != "auto" or device.type != "cpu":
        return dtype
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    config = read_config(folder)
    half = str(config.get("dtype") or config.get("torch_dtype")) in ("bfloat16", "float16")
    return torch.bfloat16 if half and stored * 2 > memory * 0.6 else dtype


def set_up(runtime: Runtime) -> None:
    """Threads as asked for, and the library's bars and remarks off the terminal."""
    set_threads(runtime)
    quieten()


def set_threads(runtime: Runtime) -> None:
    """Threads of the processor as asked for."""
    if runtime.threads:
        torch.set_num_threads(runtime.threads)  # of the whole process: torch has no other way


def quieten() -> None:
    """Bars and remarks of transformers off the terminal."""
    import transformers  # a second of start-up, which Coqui's smaller models do without

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


def architecture(card: ModelCard, folder: Path) -> str:
    """What config.json calls the model. MissingModel or EngineError where it names none."""
    if not (folder / CONFIG).is_file():
        raise MissingModel(f'model "{card.name}": {folder} has no {CONFIG}', "it has to be a folder of transformers")
    names = read_config(folder).get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise damaged(card, folder, f"{CONFIG} names no architecture")
    return names[0]


def known_architecture(card: ModelCard, folder: Path, known: Collection[str]) -> str:
    """The same, where it is one of those known to the engine. ConfigError else."""
    name = architecture(card, folder)
    if name not in known:
        raise ConfigError(
            f'model "{card.name}": the engine {card.engine} knows no {name}',
            did_you_mean(name, known) or f"it knows {', '.join(known)}",
        )
    return name


def check_weights(card: ModelCard, folder: Path) -> None:
    """EngineError where the weights are pickles, MissingModel where there are none."""
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


def check_whole(card: ModelCard, folder: Path, told: dict[str, Any], expendable: tuple[str, ...] = ()) -> None:
    """EngineError for tensors that a checkpoint lacks: drawn at random, they would make the model say anything.

    `told` is the loading info of transformers; `expendable` are ends of names that may be missing.
    """
    lost = [str(name) for name in told["missing_keys"] if not str(name).endswith(expendable)]
    lost += [str(name[0]) for name in told["mismatched_keys"]]
    if lost:
        raise damaged(card, folder, f"{len(lost)} of its tensors are missing or of the wrong shape, as {lost[0]}")


def while_loading(card: ModelCard, folder: Path) -> AbstractContextManager[None]:
    """What the libraries raise meanwhile as EngineError: the folder is damaged, or the model does not fit into memory."""
    return _translated(card, lambda why: damaged(card, folder, why))


def while_running(card: ModelCard, failed: str = "failed") -> AbstractContextManager[None]:
    """What the libraries raise meanwhile as EngineError, whose cause it is: that the model failed, or that memory lacks."""
    return _translated(card, lambda why: EngineError(f'model "{card.name}" {failed}: {why}'))


@contextmanager
def _translated(card: ModelCard, failure: Callable[[str], EngineError]) -> Iterator[None]:
    try:
        yield
    except MmcliError:
        raise
    except Exception as error:
        raise (lacking(card, error) if is_memory(error) else failure(one_line(error))) from error


def damaged(card: ModelCard, folder: Path, why: str) -> EngineError:
    return EngineError(f'model "{card.name}": {folder} is no model that can be used ({why})', "fetch it anew")


def is_memory(error: BaseException | None) -> bool:
    """Whether memory is what lacked."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(_MEMORY.search(str(error)))


def lacking(card: ModelCard, error: BaseException) -> EngineError:
    return EngineError(
        f'model "{card.name}" does not fit into memory ({one_line(error)})',
        "take a smaller model, --compute-type float16 or --device cpu",
    )
