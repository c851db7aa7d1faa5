"""A folder with a voice of transformers into memory.

Weights are read from safetensors only, code that lies beside them is never run, and nothing reaches for the network.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import transformers

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.errors import ConfigError, MissingModel, UsageError, did_you_mean
from mmcli.families import CONFIG
from mmcli.text import primary

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mmcli.catalogue import ModelCard
    from mmcli.options import Runtime, SpeakOptions
    from mmcli.stages import Voice

T = TypeVar("T")

_SEEDS = 1 << 63
_SPEEDS = 0.25, 4.0

OFFLINE = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True, slots=True)
class Source:
    """A folder to load from, and where and in which numbers to compute."""

    card: ModelCard
    folder: Path
    device: torch.device
    dtype: torch.dtype | str

    def model(self, name: str, **given: Any) -> Any:
        """The model of the folder as that class of transformers. EngineError where tensors are missing."""
        torch_runtime.check_weights(self.card, self.folder)
        model, told = getattr(transformers, name).from_pretrained(
            self.folder, dtype=self.dtype, use_safetensors=True, output_loading_info=True, **OFFLINE, **given
        )
        torch_runtime.check_whole(self.card, self.folder, told)
        return model.eval().to(self.device)

    def part(self, name: str) -> Any:
        """A tokenizer or processor of the folder as that class of transformers."""
        return getattr(transformers, name).from_pretrained(self.folder, **OFFLINE)

    def companion(self, name: str, default: str) -> Source:
        """Another model that this one needs: a folder of that name inside its own, that of its settings, or a default.

        ConfigError for a setting that is no text, MissingModel where it is not here.
        """
        named = self.card.settings.get(name)
        if named is not None and not isinstance(named, str):
            raise ConfigError(f"{self.card.origin}: [models.{self.card.name}] setting {name} cannot be {named!r}")
        if named is None and (self.folder / name / CONFIG).is_file():
            return replace(self, folder=self.folder / name)
        place = named or default
        place = place if place.startswith(("hf:", "path:")) else f"path:{place}"
        card = replace(self.card, name=f"{self.card.name}: {name}", source=place, revision="")
        try:
            return replace(self, card=card, folder=store.locate(card))
        except MissingModel as error:
            mend = f"mmcli models pull {place}" if place.startswith("hf:") else f"correct `settings.{name}`"
            raise MissingModel(f'model "{self.card.name}" needs its {name} {place}, which is not here', mend) from error


def language(card: ModelCard) -> str:
    """What a voice speaks as far as the model's entry tells; "*" where it does not."""
    return card.languages[0] if len(card.languages) == 1 else "*"


def precise(runtime: Runtime) -> torch.dtype | str:
    """The numbers of a model that computes in float32 alone: half the precision makes noise of it, or nothing."""
    if runtime.compute_type in ("float16", "bfloat16"):
        raise UsageError(f"--compute-type {runtime.compute_type} makes noise of this model", "auto and float32 do not")
    if runtime.compute_type in ("auto", "default"):
        return torch.float32
    return torch_runtime.first_dtype(runtime, torch.device("cpu"))


def load(source: Source, runtime: Runtime, make: Callable[[Source], T]) -> T:
    """What `make` loads; what the libraries raise is translated."""
    torch_runtime.set_up(runtime)
    with torch_runtime.while_loading(source.card, source.folder):
        return make(source)


# ---------------------------------------------------------------- in use


def check_speed(options: SpeakOptions) -> None:
    """UsageError for a pace at which nobody speaks."""
    if not _SPEEDS[0] <= options.speed <= _SPEEDS[1]:
        raise UsageError(f"the speed goes from {_SPEEDS[0]:g} to {_SPEEDS[1]:g}, not {options.speed:g}")


def drawn_seed(options: SpeakOptions) -> int:
    """The seed of the options, or any. UsageError for one that torch does not take."""
    seed = secrets.randbelow(_SEEDS) if options.seed is None else options.seed
    if not 0 <= seed < _SEEDS:
        raise UsageError(f"the seed goes from 0 to 2^63 - 1, not {seed}")
    return seed


@contextmanager
def drawing(card: ModelCard, device: torch.device, lock: threading.Lock, seed: int, text: str) -> Iterator[None]:
    """Around the use of a model: what is drawn at random follows from the seed, what the library raises is translated.

    torch has one generator for all, and some families keep the state of a use in the model.
    """
    apart = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with torch_runtime.while_running(card, f'failed to say "{text[:40]}"'), lock, apart, torch.inference_mode():
        torch.manual_seed(seed)
        yield


def choose_voice(
    card: ModelCard, voices: tuple[Voice, ...], name: str | None = None, language: str | None = None
) -> str:
    """The name of the first voice that fits. UsageError for a name that is none, and a language that it does not speak."""
    named = {voice.name: voice for voice in voices}
    if name is not None and name not in named:
        raise UsageError(
            f'model "{card.name}" has no voice "{name}"',
            did_you_mean(name, named) or "mmcli speak --list-voices names them",
        )
    wanted = primary(language or "")
    fit = voices if name is None else (named[name],)
    if wanted:
        fit = tuple(voice for voice in fit if _speaks(card, voice, wanted))
    if not fit:
        with_voice = f' with the voice "{name}"' if name else ""
        raise UsageError(
            f'model "{card.name}" does not speak the language "{language}"{with_voice}',
            "leave out --language, or choose another model with --model",
        )
    return fit[0].name


def _speaks(card: ModelCard, voice: Voice, wanted: str) -> bool:
    if voice.language == "*":
        return "*" in card.languages or wanted in card.languages
    # MMS names its languages with three letters, of which the first two are often those of the shorter code.
    return wanted in card.languages or voice.language.lower() == wanted or voice.language[:2] == wanted
