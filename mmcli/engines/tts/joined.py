"""An acoustic model and a vocoder as one synthesizer; neither knows the other, only what a spectrogram is."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli.mel import converted
from mmcli.stages import Audio
from mmcli.text import has_words, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from mmcli.options import SpeakOptions
    from mmcli.stages import Acoustic, Vocoder, Voice

_LOG = logging.getLogger(__name__)


class Joined:
    """Text to spectrogram to sound, sentence by sentence. What the two have to have in common, checks.py has compared."""

    def __init__(self, acoustic: Acoustic, vocoder: Vocoder) -> None:
        self._acoustic = acoustic
        self._vocoder = vocoder
        self.reads_numbers: bool = getattr(acoustic, "reads_numbers", True)
        self.device: str = getattr(acoustic, "device", "cpu")

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """Sound at the vocoder's rate, one block a sentence. UsageError at once for options that cannot be honoured."""
        self._acoustic.check(options)
        return self._speak(sentences, options)

    def _speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        left_out: Counter[str] = Counter()
        try:
            for sentence in spoken(sentences):
                mel = self._acoustic.spectrogram(sentence, options)
                left_out.update(mel.left_out)
                if mel.values.shape[1]:
                    facts = self._vocoder.facts
                    audio = self._vocoder.vocode(mel if facts is None else converted(mel, facts))
                    yield Audio(limited(audio.samples), audio.rate)
        finally:
            tell_left_out(left_out)

    def voices(self) -> tuple[Voice, ...]:
        return self._acoustic.voices()


def spoken(sentences: Iterable[str]) -> Iterator[str]:
    """Those sentences that have words, without characters that nobody sees."""
    for sentence in sentences:
        text = visible(sentence, keep="", instead=" ").strip()
        if has_words(text):
            yield text


def limited(samples: NDArray[Any]) -> NDArray[np.float32]:
    """The same sound as float32, softer where it went beyond -1..1: nothing is clipped; what is no number is silence."""
    finite: NDArray[np.float32] = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    peak = finite.dtype.type(np.abs(finite).max(initial=0.0))
    return finite / peak if peak > 1 else finite


def tell_left_out(characters: Counter[str]) -> None:
    """One note about all the characters that a model had no sign for."""
    if characters:
        shown = " ".join(repr(character) for character, _ in characters.most_common(5))
        more = ", ..." if len(characters) > 5 else ""
        _LOG.warning("%d characters were left out, the voice does not know them: %s%s", characters.total(), shown, more)
