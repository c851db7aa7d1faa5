"""Coqui TTS: acoustic models, which need a vocoder, and VITS and XTTS, which go from text to sound by themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcli import store
from mmcli.engines.options import check_settings
from mmcli.engines.tts.coqui import cloning, facts, loading, pitch
from mmcli.engines.tts.coqui.model import Model
from mmcli.engines.tts.joined import limited, spoken, tell_left_out
from mmcli.mel import Mel, MelFacts
from mmcli.stages import Audio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.catalogue import ModelCard
    from mmcli.engines.tts.coqui.cloning import DVectors
    from mmcli.engines.tts.coqui.pitch import Pitch
    from mmcli.options import Runtime, SpeakOptions


def load(card: ModelCard, runtime: Runtime) -> Any:
    """The loaded model: an Acoustic, or for VITS and XTTS a Synthesizer.

    ConfigError for a model that is unknown, MissingModel or EngineError where its folder is not as it should be.
    """
    check_settings(card)
    folder = store.locate(card)
    made = facts.mel_facts(card)
    device = loading.prepare(runtime)
    model = loading.load_voice(card, folder, device)
    if model.config.model == "xtts":
        from mmcli.engines.tts.coqui.xtts import Xtts

        return Xtts(card, model)
    vectors = cloning.of_model(card, folder, model)
    if made is None:
        return CoquiVoice(card, model, vectors)
    return CoquiAcoustic(card, model, made, vectors, pitch.of_model(card, folder, model))


class CoquiAcoustic(Model):
    """Tacotron 2, FastPitch, FastSpeech 2, SpeedySpeech and Glow-TTS: a sentence as a mel spectrogram."""

    def __init__(
        self, card: ModelCard, model: Any, made: MelFacts, vectors: DVectors | None, pitch: Pitch | None
    ) -> None:
        super().__init__(card, model, vectors, pitch)
        self.facts = made

    def spectrogram(self, text: str, options: SpeakOptions) -> Mel:
        """A model that knows no pace of its own has its frames stretched. EngineError where it fails."""
        values, left_out = self.made(text, options)
        if values is None:
            return Mel(np.zeros((self.facts.n_mels, 0), np.float32), self.facts, left_out)
        frames = torch.from_numpy(np.ascontiguousarray(values.T))
        if options.speed != 1.0 and not hasattr(self._model, "length_scale"):
            count = max(1, round(frames.shape[1] / options.speed))
            frames = torch.nn.functional.interpolate(frames[None], size=count, mode="linear")[0]
        return Mel(frames.numpy(), self.facts, left_out)


class CoquiVoice(Model):
    """VITS: a sentence as sound."""

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """One block for each sentence. UsageError at once for options that cannot be honoured."""
        self.check(options)
        return self._speak(sentences, options)

    def _speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        rate = int(self._model.config.audio.sample_rate)
        left_out: Counter[str] = Counter()
        try:
            for sentence in spoken(sentences):
                samples, unknown = self.made(sentence, options)
                left_out.update(unknown)
                if samples is not None and samples.size:
                    yield Audio(limited(np.atleast_1d(samples)), rate)
        finally:
            tell_left_out(left_out)
