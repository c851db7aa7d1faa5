"""Text to phonemes for models that were trained on them, by the espeak-ng that mmcli brings instead of a program on PATH."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from TTS.tts.utils.text import phonemizers
from TTS.tts.utils.text.phonemizers.base import BasePhonemizer
from TTS.tts.utils.text.punctuation import Punctuation

from mmcli.engines.tts import libespeak

# What the library's own wrapper takes these for.
_VOICES = {"en": "en-us", "zh-cn": "cmn"}
# espeak marks words of another language: "(en)fˈʊtbɔːl(fr)".
_LANGUAGE_FLAGS = re.compile(r"\(.+?\)")


class LibEspeak(BasePhonemizer):  # type: ignore[misc]
    """As TTS.tts.utils.text.phonemizers.ESpeak, which starts the program espeak-ng for each piece of text."""

    def __init__(
        self, language: str, punctuations: str = Punctuation.default_puncs(), *, keep_puncs: bool = True, **_: Any
    ) -> None:
        super().__init__(_VOICES.get(language, language), punctuations=punctuations, keep_puncs=keep_puncs)

    def _phonemize(self, text: str, separator: str = "") -> str:
        clauses = libespeak.phonemes(text, self._language)
        return "".join(_LANGUAGE_FLAGS.sub("", clause).strip() for clause in clauses)

    @staticmethod
    def name() -> str:
        return "espeak"

    @classmethod
    def is_available(cls) -> bool:
        return True

    @staticmethod
    def supported_languages() -> dict[str, str]:
        voices, _ = libespeak.list_voices()
        return {tag: voice.name for voice in voices for tag, _ in voice.languages} | dict.fromkeys(_VOICES, "")

    def version(self) -> str:
        return version("espeakng-loader")


def register() -> None:
    """Put it in the place of the library's wrapper."""
    phonemizers._register_phonemizers()
    languages = LibEspeak.supported_languages()
    phonemizers.PHONEMIZERS[LibEspeak.name()] = LibEspeak
    phonemizers.DEF_LANG_TO_PHONEMIZER.update(
        {tag: LibEspeak.name() for tag in languages if tag not in phonemizers.DEF_LANG_TO_PHONEMIZER}
    )
