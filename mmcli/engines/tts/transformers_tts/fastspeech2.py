"""FastSpeech 2 with Conformer blocks, its vocoder inside: English phonemes in (Ren et al. 2020, arXiv:2006.04558)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from mmcli.engines.tts.transformers_tts.loading import language
from mmcli.errors import MissingPackage
from mmcli.stages import Voice

if TYPE_CHECKING:
    from mmcli.engines.tts.transformers_tts.loading import Source

# What g2p-en looks words up in; without them it would fetch them, when it is imported.
_NLTK = {
    "corpora/cmudict.zip": "cmudict",
    "taggers/averaged_perceptron_tagger.zip": "averaged_perceptron_tagger",
    "taggers/averaged_perceptron_tagger_eng": "averaged_perceptron_tagger_eng",
}


class FastSpeech2:
    """Several speakers are numbered from 0, as their checkpoints name none."""

    longest = 400

    def __init__(self, source: Source) -> None:
        check_dictionary(source)
        self._tokenizer = source.part("FastSpeech2ConformerTokenizer")
        self._model = source.model("FastSpeech2ConformerWithHifiGan")
        self._acoustic = self._model.model.config
        self._pace = float(self._acoustic.speaking_speed)
        self._language = language(source.card)
        self.rate = int(self._model.config.vocoder_config.sampling_rate)

    def voices(self) -> tuple[Voice, ...]:
        return numbered(self._acoustic.num_speakers, self._language)

    def left_out(self, text: str) -> str:
        return not_english(text)

    def say(self, text: str, voice: str, speed: float) -> torch.Tensor | None:
        given = phonemes(self._tokenizer, text, self._model.device)
        if given is None:
            return None
        # The library takes the factor of all durations from the model's configuration alone.
        self._acoustic.speaking_speed = self._pace / speed
        try:
            said = self._model(**given, **speaker(self._acoustic, voice, self._model.device), return_dict=True)
        finally:
            self._acoustic.speaking_speed = self._pace
        samples: torch.Tensor = said.waveform[0]
        return samples


def check_dictionary(source: Source) -> None:
    """MissingPackage where what g2p-en needs is not here: nothing is fetched unasked."""
    import nltk

    missing = []
    for place, name in _NLTK.items():
        try:
            nltk.data.find(place)
        except LookupError:
            missing.append(name)
    if missing:
        raise MissingPackage(
            f'model "{source.card.name}" needs {", ".join(missing)} of NLTK\'s data for English words',
            f"python -m nltk.downloader {' '.join(missing)}",
        )


def phonemes(tokenizer: Any, text: str, device: Any) -> dict[str, Any] | None:
    """What the model takes; None where the text has no English word."""
    if re.search(r"[a-z0-9]", text, re.IGNORECASE | re.ASCII) is None:
        return None
    given = tokenizer(text, return_tensors="pt").to(device)
    return {"input_ids": given["input_ids"], "attention_mask": given["attention_mask"]}


def speaker(config: Any, voice: str, device: Any) -> dict[str, Any]:
    """The speaker as the model takes it, where it has several."""
    return {"speaker_ids": torch.tensor([[int(voice)]], device=device)} if (config.num_speakers or 1) > 1 else {}


def numbered(count: int | None, language: str) -> tuple[Voice, ...]:
    return tuple(Voice(str(number), language) for number in range(count or 1))


def not_english(text: str) -> str:
    """What g2p-en drops, accents aside."""
    return "".join(letter for letter in text if letter.isalnum() and ord(letter) >= 0x250)
