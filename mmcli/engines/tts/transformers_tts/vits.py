"""VITS and MMS: text to sound in one model, letters or phonemes in (Kim et al. 2021, arXiv:2106.06103)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mmcli.engines.tts.transformers_tts.loading import language
from mmcli.errors import MissingPackage
from mmcli.stages import Voice

if TYPE_CHECKING:
    import torch

    from mmcli.engines.tts.transformers_tts.loading import Source


class Vits:
    """Several speakers are numbered from 0, as their checkpoints name none."""

    # Its memory grows with letters times frames.
    longest = 400

    def __init__(self, source: Source) -> None:
        """MissingPackage for one that wants Roman letters or phonemes and has not what makes them."""
        self._tokenizer = source.part("VitsTokenizer")
        self._romanize = _romanizer(source) if self._tokenizer.is_uroman else None
        if self._tokenizer.phonemize:
            _phonemizer(source)
        self._model = source.model("VitsModel")
        self._language = language(source.card)
        if self._language == "*" and isinstance(self._tokenizer.language, str):
            self._language = self._tokenizer.language
        self.rate = int(self._model.config.sampling_rate)

    def voices(self) -> tuple[Voice, ...]:
        return tuple(Voice(str(number), self._language) for number in range(self._model.config.num_speakers))

    def left_out(self, text: str) -> str:
        if self._tokenizer.phonemize:
            return ""
        letters = self._text(text)
        known = self._tokenizer.get_vocab()
        return "".join(letter for letter in letters if letter.isalnum() and letter not in known)

    def say(self, text: str, voice: str, speed: float) -> torch.Tensor | None:
        given = self._tokenizer(self._text(text), return_tensors="pt").to(self._model.device)
        # Between all letters, and around them, stands a blank.
        if given["input_ids"].shape[1] < (2 if self._tokenizer.add_blank else 1):
            return None
        speakers: dict[str, Any] = {"speaker_id": int(voice)} if self._model.config.num_speakers > 1 else {}
        said = self._model(**given, **speakers, speaking_rate=self._model.speaking_rate * speed)
        samples: torch.Tensor = said.waveform[0]
        return samples

    def _text(self, text: str) -> str:
        """As the tokenizer wants it; its own way to Roman letters would read their tables anew for each sentence."""
        text = self._tokenizer.normalize_text(text) if self._tokenizer.normalize else text
        return text if self._romanize is None or text.isascii() else str(self._romanize(text))


def _romanizer(source: Source) -> Any:
    if find_spec("uroman") is None:
        raise MissingPackage(
            f'model "{source.card.name}" reads Roman letters alone and needs the Python package uroman',
            "pip install uroman",
        )
    import uroman

    return uroman.Uroman().romanize_string


def _phonemizer(source: Source) -> None:
    if find_spec("phonemizer") is None:
        raise MissingPackage(
            f'model "{source.card.name}" reads phonemes and needs the Python package phonemizer',
            "pip install phonemizer",
        )
    import logging

    import espeakng_loader
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.data_path = espeakng_loader.get_data_path()
    logging.getLogger("phonemizer").setLevel(logging.ERROR)
