"""Paragraphs -> utterances: sentences with the pauses before them and who says them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.errors import UsageError
from mmcli.text import sentences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mmcli.media.prose import Paragraph

MAX_PAUSE_S = 60.0

_PAUSE = re.compile(
    r"\[\[\s*pause\s+(\d{1,6}(?:\.\d{1,3})?)\s*(ms|s)?\s*\]\]"
    r"|<break\s+time\s*=\s*[\"'](\d{1,6}(?:\.\d{1,3})?)(ms|s)[\"']\s*/?>",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"\[?([^\s:\[\]][^:\[\]\n]{0,39})\]?:\s+")
# A line is handed on in such pieces, so that a long one is spoken while the rest is still being cut.
_PIECE = 200


@dataclass(frozen=True, slots=True)
class Utterance:
    """A sentence, the silence before it in seconds, and the name of who says it, where the text has several voices."""

    text: str
    pause: float = 0.0
    speaker: str | None = None


def script(
    paragraphs: Iterable[Paragraph], language: str | None = None, speakers: Collection[str] = ()
) -> Iterator[Utterance]:
    """The sentences of the paragraphs, each as soon as its end is known.

    `[[pause 0.5]]` and `<break time="500ms"/>` are pauses of up to a minute. A line that begins with the name of one of
    the `speakers` and a colon is said by that one, and so is what follows, up to the next name. A pause at the very end is an
    utterance without text.
    """
    names = {name.casefold(): name for name in speakers}
    speaker, pause = None, 0.0
    for paragraph in paragraphs:
        pause = max(pause, paragraph.pause)
        text = paragraph.text
        named = _SPEAKER.match(text.lstrip()) if names else None
        if named is not None and named[1].strip().casefold() in names:
            speaker = names[named[1].strip().casefold()]
            text = text.lstrip()[named.end() :]
        for part, silence in _parts(text):
            pause += silence
            for sentence in sentences(_pieces(part), language or "en"):
                yield Utterance(sentence, pause, speaker)
                pause = 0.0
    if pause:
        yield Utterance("", pause, speaker)


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def _parts(text: str) -> Iterator[tuple[str, float]]:
    """What stands between the marks of pauses, each with the seconds before it."""
    at, seconds = 0, 0.0
    for mark in _PAUSE.finditer(text):
        yield text[at : mark.start()], seconds
        number, unit = (mark[1], mark[2]) if mark[1] else (mark[3], mark[4])
        scale = 0.001 if (unit or "s").lower() == "ms" else 1.0
        at, seconds = mark.end(), min(float(number) * scale, MAX_PAUSE_S)
    yield text[at:], seconds


def parse_voices(given: str) -> dict[str, str]:
    """The voices of "ANNA=en-us+f3,BEN=en-gb" by name. UsageError where it is no such list."""
    voices: dict[str, str] = {}
    for part in given.split(","):
        name, equals, voice = (item.strip() for item in part.partition("="))
        if not (name and equals and voice) or ":" in name:
            raise UsageError(f'--voices "{given}": "{part.strip()}" is not NAME=VOICE', "as in ANNA=en-us+f3,BEN=en-gb")
        if name.casefold() in (known.casefold() for known in voices):
            raise UsageError(f'--voices names "{name}" twice')
        voices[name] = voice
    return voices
