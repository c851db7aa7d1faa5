"""Text-to-speech with the models of transformers: tokenizer and model called directly, sentence by sentence."""

from __future__ import annotations

import re
import secrets
import threading
from collections import Counter
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.engines.options import refuse_others
from mmcli.engines.tts.joined import limited, tell_left_out
from mmcli.engines.tts.transformers_tts.families import FAMILIES
from mmcli.engines.tts.transformers_tts.loading import Source
from mmcli.errors import ConfigError, EngineError, MissingPackage, MmcliError, UsageError, did_you_mean
from mmcli.stages import Audio
from mmcli.text import has_words, utterances
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.tts.transformers_tts.families import Family, Speaker
    from mmcli.options import Runtime, SpeakOptions
    from mmcli.stages import Voice

_HONOURED = ("voice", "language", "seed")
_SPEEDS = 0.25, 4.0
_SEEDS = 1 << 63


class TransformersSynthesizer:
    """Every family of `families.FAMILIES`. A sentence is given whole, as soon as it is made."""

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights.

        ConfigError for a setting or an architecture that is unknown; MissingModel, MissingPackage, UsageError, or
        EngineError for what is damaged.
        """
        folder = store.locate(card)
        name = torch_runtime.architecture(card, folder)
        family = FAMILIES.get(name)
        if family is None:
            raise ConfigError(
                f'model "{card.name}": the engine transformers-tts knows no {name}',
                did_you_mean(name, FAMILIES) or f"it knows {', '.join(FAMILIES)}",
            )
        for key in card.settings:
            if key not in family.settings:
                raise ConfigError(
                    f'{card.origin}: [models.{card.name}] unknown setting "{key}"',
                    did_you_mean(key, family.settings) or f"{name} knows {', '.join(family.settings) or 'none'}",
                )
        self._card = card
        self._family = family
        self._device = torch_runtime.first_device(runtime)
        self._speaker = _load(
            Source(card, folder, self._device, _dtype(family, runtime, self._device)), family, runtime
        )
        self._lock = threading.Lock()
        self.rate = self._speaker.rate

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._device)

    def voices(self) -> tuple[Voice, ...]:
        return self._speaker.voices()

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """Sound at the model's rate, within -1..1. With a seed, what a sentence sounds like depends on it alone.

        UsageError at once for options that the model cannot honour; EngineError where it fails.
        """
        refuse_others(options, (*_HONOURED, *self._family.honours), f'model "{self._card.name}"')
        if not _SPEEDS[0] <= options.speed <= _SPEEDS[1]:
            raise UsageError(f"the speed goes from {_SPEEDS[0]:g} to {_SPEEDS[1]:g}, not {options.speed:g}")
        seed = secrets.randbelow(_SEEDS) if options.seed is None else options.seed
        if not 0 <= seed < _SEEDS:
            raise UsageError(f"the seed goes from 0 to 2^63 - 1, not {seed}")
        return self._speak(sentences, self._voice(options), options.speed, seed)

    def _speak(self, sentences: Iterable[str], voice: str, speed: float, seed: int) -> Iterator[Audio]:
        left_out: Counter[str] = Counter()
        try:
            with closing(closable(sentences)) as source:
                for sentence in source:
                    for piece in utterances(sentence, self._speaker.longest):
                        text = " ".join(piece.split())
                        left_out.update(self._speaker.left_out(text))
                        samples = self._say(text, voice, speed, seed) if has_words(text) else None
                        if samples is not None and len(samples):
                            yield Audio(samples, self.rate)
        finally:
            tell_left_out(left_out)

    def _voice(self, options: SpeakOptions) -> str:
        """The name of the voice for the options: the first one where they leave it open."""
        voices = self._speaker.voices()
        named = {voice.name: voice for voice in voices}
        if options.voice is not None and options.voice not in named:
            raise UsageError(
                f'model "{self._card.name}" has no voice "{options.voice}"',
                did_you_mean(options.voice, named) or "mmcli speak --list-voices names them",
            )
        wanted = re.split("[-_]", (options.language or "").lower())[0]
        fit = voices if options.voice is None else (named[options.voice],)
        if wanted:
            fit = tuple(voice for voice in fit if self._speaks(voice, wanted))
        if not fit:
            raise UsageError(
                f'model "{self._card.name}" does not speak the language "{options.language}"'
                + (f' with the voice "{options.voice}"' if options.voice else ""),
                "leave out --language, or choose another model with --model",
            )
        return fit[0].name

    def _speaks(self, voice: Voice, wanted: str) -> bool:
        if voice.language == "*":
            return "*" in self._card.languages or wanted in self._card.languages
        # MMS names its languages with three letters, of which the first two are often those of the shorter code.
        return wanted in self._card.languages or voice.language.lower() == wanted or voice.language[:2] == wanted

    def _say(self, text: str, voice: str, speed: float, seed: int) -> NDArray[np.float32] | None:
        devices = [self._device] if self._device.type == "cuda" else []
        try:
            # torch has one generator for all, and some families keep the state of a use in the model.
            with self._lock, torch.random.fork_rng(devices), torch.inference_mode():
                torch.manual_seed(seed)
                samples = self._speaker.say(text, voice, speed)
        except MmcliError:
            raise
        except Exception as error:
            if torch_runtime.is_memory(error):
                raise torch_runtime.lacking(self._card, error) from error
            why = torch_runtime.one_line(error)
            raise EngineError(f'model "{self._card.name}" failed to say "{text[:40]}": {why}') from error
        return None if samples is None else limited(samples.float().cpu().numpy())


def _dtype(family: Family, runtime: Runtime, device: torch.device) -> torch.dtype | str:
    if not family.precise or runtime.compute_type not in ("auto", "default", "float16", "bfloat16"):
        return torch_runtime.first_dtype(runtime, device)
    if runtime.compute_type in ("float16", "bfloat16"):
        raise UsageError(f"--compute-type {runtime.compute_type} makes noise of this model", "auto and float32 do not")
    return torch.float32


def _load(source: Source, family: Family, runtime: Runtime) -> Speaker:
    for package in family.packages:
        if find_spec(package) is None:
            install = package.replace("_", "-")
            raise MissingPackage(
                f'model "{source.card.name}" needs the Python package {install}', f"pip install {install}"
            )
    torch_runtime.set_up(runtime)
    try:
        return family.load(source)
    except MmcliError:
        raise
    except Exception as error:
        if torch_runtime.is_memory(error):
            raise torch_runtime.lacking(source.card, error) from error
        raise torch_runtime.damaged(source.card, source.folder, torch_runtime.one_line(error)) from error
