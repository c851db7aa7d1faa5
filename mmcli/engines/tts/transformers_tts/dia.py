"""Dia: dialogue from text to the codes of DAC, whose model lies in a folder of its own (Nari Labs 2025)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import transformers

from mmcli.engines.tts.transformers_tts.loading import language
from mmcli.stages import Voice

if TYPE_CHECKING:
    import torch

    from mmcli.engines.tts.transformers_tts.loading import Source

_CODEC = "hf:descript/dac_44khz"
# Nobody speaks slower than this, with a pause before and after; beyond the most frames it was never trained.
_LEAST_S, _PER_CHARACTER_S, _MOST_FRAMES = 2.0, 0.2, 3072


class Dia:
    """It draws at random. The text may change speakers with [S1] and [S2] by itself."""

    # Its authors advise against more than 20 s at once.
    longest = 250

    def __init__(self, source: Source) -> None:
        codec = source.companion("codec", _CODEC)
        self._model = source.model("DiaForConditionalGeneration")
        features = source.part("DiaFeatureExtractor")
        self._processor = transformers.DiaProcessor(features, source.part("DiaTokenizer"), codec.model("DacModel"))
        self._language = language(source.card)
        config = self._processor.audio_tokenizer.config
        self.rate = int(config.sampling_rate)
        self._frames = self.rate / math.prod(config.downsampling_ratios)

    def voices(self) -> tuple[Voice, ...]:
        return tuple(Voice(name, self._language, "a speaker of the dialogue") for name in ("S1", "S2"))

    def left_out(self, text: str) -> str:
        return ""

    def say(self, text: str, voice: str, speed: float) -> torch.Tensor | None:
        begun = text if text.startswith(("[S1]", "[S2]")) else f"[{voice}] {text}"
        given = self._processor(text=[begun], padding=False).to(self._model.device)
        seconds = _LEAST_S + _PER_CHARACTER_S * len(text)
        codes = self._model.generate(**given, max_new_tokens=min(int(seconds * self._frames), _MOST_FRAMES))
        samples: torch.Tensor = self._processor.batch_decode(codes)[0]
        return samples.reshape(-1)
