"""Bark: three language models from text over meaning to the codes of EnCodec, with voice presets from the folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mmcli.stages import Voice

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from mmcli.engines.tts.transformers_tts.loading import Source

_PROMPTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
_LANGUAGE = re.compile(r"(?:.*/)?([a-z]{2})_speaker_\d+")
_NO_PRESET = "any"


class Bark:
    """It draws at random. Without a voice it takes the first preset, and where the folder has none, any voice."""

    # It speaks for up to 15 s, then it stops, wherever it is.
    longest = 180

    def __init__(self, source: Source) -> None:
        self._processor = source.part("BarkProcessor")
        self._model = source.model("BarkModel")
        self._voices = _presets(self._processor.speaker_embeddings or {}, source.folder)
        self.rate = int(getattr(self._model.generation_config, "sample_rate", 24000))

    def voices(self) -> tuple[Voice, ...]:
        return self._voices

    def left_out(self, text: str) -> str:
        return ""

    def say(self, text: str, voice: str, speed: float) -> torch.Tensor | None:
        given: dict[str, Any] = dict(self._processor(text, voice_preset=None if voice == _NO_PRESET else voice))
        preset = given.pop("history_prompt", None)
        if preset is not None:
            given["history_prompt"] = preset.to(self._model.device)
        given |= {name: given[name].to(self._model.device) for name in ("input_ids", "attention_mask")}
        samples: torch.Tensor = self._model.generate(**given)[0]
        return samples


def _presets(listed: dict[str, Any], folder: Path) -> tuple[Voice, ...]:
    """Those whose files are here, English ones of the newer kind first."""
    found = []
    for name, files in listed.items():
        if isinstance(files, dict) and all(_is_here(folder, files.get(prompt)) for prompt in _PROMPTS):
            match = _LANGUAGE.fullmatch(name)
            found.append(Voice(name, match[1] if match else "*"))
    found.sort(key=lambda voice: (voice.language != "en", not voice.name.startswith("v2/")))
    return tuple(found) or (Voice(_NO_PRESET, "*", "another one each time, or by --seed"),)


def _is_here(folder: Path, name: Any) -> bool:
    return isinstance(name, str) and (folder / name).is_file()
