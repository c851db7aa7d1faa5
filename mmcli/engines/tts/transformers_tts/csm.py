"""CSM: a language model that writes the codes of Mimi, with a small one for the depth of each frame (Sesame 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcli.engines.tts.transformers_tts.loading import language
from mmcli.stages import Voice

if TYPE_CHECKING:
    import torch

    from mmcli.engines.tts.transformers_tts.loading import Source

# Nobody speaks slower than this, with a pause before and after.
_FRAMES_PER_CHARACTER, _FRAMES = 3, 25
_SPEAKERS = 2


class Csm:
    """It draws at random: speakers are numbers that only mean another one, and each sentence may have a voice of its own."""

    longest = 250

    def __init__(self, source: Source) -> None:
        self._processor = source.part("CsmProcessor")
        self._model = source.model("CsmForConditionalGeneration")
        self._language = language(source.card)
        self.rate = int(self._model.codec_model.config.sampling_rate)

    def voices(self) -> tuple[Voice, ...]:
        return tuple(Voice(str(number), self._language) for number in range(_SPEAKERS))

    def left_out(self, text: str) -> str:
        return ""

    def say(self, text: str, voice: str, speed: float) -> torch.Tensor | None:
        given = self._processor(f"[{voice}]{text}", add_special_tokens=True).to(self._model.device)
        frames = _FRAMES + _FRAMES_PER_CHARACTER * len(text)
        samples: torch.Tensor = self._model.generate(**given, output_audio=True, max_new_tokens=frames)[0]
        return samples
