"""Text-to-speech with the models of transformers: tokenizer and model called directly, sentence by sentence."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.engines.options import check_settings, refuse_others
from mmcli.engines.tts.joined import limited, tell_left_out
from mmcli.engines.tts.transformers_tts import loading
from mmcli.engines.tts.transformers_tts.families import FAMILIES
from mmcli.errors import MissingPackage
from mmcli.stages import Audio
from mmcli.text import has_words, utterances
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.tts.transformers_tts.families import Family, Speaker
    from mmcli.options import Runtime, SpeakOptions
    from mmcli.stages import Acoustic, Voice

_HONOURED = ("voice", "language", "seed")


def load(card: ModelCard, runtime: Runtime) -> TransformersSynthesizer | Acoustic:
    """The model of a card: a Synthesizer, or an Acoustic.

    ConfigError for a setting or an architecture that is unknown; MissingModel, MissingPackage, UsageError, or EngineError
    for what is damaged.
    """
    folder = store.locate(card)
    name = torch_runtime.known_architecture(card, folder, FAMILIES)
    family = FAMILIES[name]
    check_settings(card, family.settings, name)
    for package in family.packages:
        if find_spec(package) is None:
            install = package.replace("_", "-")
            raise MissingPackage(f'model "{card.name}" needs the Python package {install}', f"pip install {install}")
    device = torch_runtime.first_device(runtime)
    dtype = loading.precise(runtime) if family.precise else torch_runtime.first_dtype(runtime, device)
    source = loading.Source(card, folder, device, dtype)
    if family.acoustic is not None:
        return loading.load(source, runtime, family.acoustic)
    assert family.speaker is not None
    return TransformersSynthesizer(card, family, device, loading.load(source, runtime, family.speaker))


class TransformersSynthesizer:
    """A model that makes sound by itself. A sentence is given whole, as soon as it is made."""

    def __init__(self, card: ModelCard, family: Family, device: torch.device, speaker: Speaker) -> None:
        self._card = card
        self._family = family
        self._device = device
        self._speaker = speaker
        self._lock = threading.Lock()
        self.rate = speaker.rate
        self.reads_numbers = family.reads_numbers

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
        loading.check_speed(options)
        voice = loading.choose_voice(self._card, self.voices(), options.voice, options.language)
        return self._speak(sentences, voice, options.speed, loading.drawn_seed(options))

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

    def _say(self, text: str, voice: str, speed: float, seed: int) -> NDArray[np.float32] | None:
        with loading.drawing(self._card, self._device, self._lock, seed, text):
            samples = self._speaker.say(text, voice, speed)
            return None if samples is None else limited(samples.float().cpu().numpy())
