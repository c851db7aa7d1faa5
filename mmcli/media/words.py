"""The words of a segment with what stands between them, and text made fit for one line of a file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mmcli.media.files import display_name
from mmcli.stages import Word
from mmcli.text import gap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcli.stages import Segment

_BREAKS = re.compile(r"[ \t]*(?:\r\n?|[\n\v\f\x85\u2028\u2029])\s*")
_OPENING_GAP = re.compile(r"^\S*")


def safe(text: str) -> str:
    """Line breaks stay, as "\\n"; what else is a control character becomes U+FFFD, a tab a space."""
    return "\n".join(display_name(line.replace("\t", " ")) for line in _BREAKS.sub("\n", text).split("\n"))


def speaker_prefix(segment: Segment) -> str:
    """ "[NAME]: " where the speaker is known."""
    return f"[{display_name(segment.speaker)}]: " if segment.speaker else ""


def spaced(segment: Segment) -> tuple[Word, ...]:
    """The words, each with the space and punctuation that it has in the text: joined they are the segment.

    Whisper's words have them already. Those of other engines are looked up in the text, without regard to case, or
    stand for what is written between spaces where that is as many; else the language decides about spaces. A segment
    without words is one word.
    """
    words = segment.words
    if not words:
        return (Word(segment.text, segment.start, segment.end),)
    if "".join(word.text for word in words) == segment.text or any(word.text[:1].isspace() for word in words):
        return words
    return tuple(_found(segment) or _as_written(segment) or _set_apart(segment))


def _found(segment: Segment) -> list[Word]:
    """The words cut out of the text; none where one of them does not stand there."""
    text = segment.text.strip()
    folded = text.lower() if len(text.lower()) == len(text) else text
    words: list[Word] = []
    at = 0
    for word in segment.words:
        plain = word.text.strip()
        start = folded.find(plain if folded is text else plain.lower(), at)
        if start < 0:
            return []
        before = text[at:start]
        # What follows a word without a space, such as a comma, belongs to it; what precedes the next one to that.
        cut = len(before) if not words else _tail(before)
        if words:
            words[-1] = replace(words[-1], text=words[-1].text + before[:cut])
            before = before[cut:]
        words.append(replace(word, text=before + text[start : start + len(plain)]))
        at = start + len(plain)
    words[-1] = replace(words[-1], text=words[-1].text + text[at:])
    return words


def _tail(between: str) -> int:
    match = _OPENING_GAP.match(between)
    return match.end() if match is not None else 0


def _as_written(segment: Segment) -> list[Word]:
    """What is written between spaces, for words that are spelled otherwise, such as numbers; none where it is not as many."""
    written = segment.text.split()
    if len(written) != len(segment.words):
        return []
    return [replace(word, text=f" {text}") for word, text in zip(segment.words, written, strict=True)]


def _set_apart(segment: Segment) -> Iterator[Word]:
    before = ""
    for word in segment.words:
        plain = word.text.strip()
        yield replace(word, text=gap(before, plain, segment.language) + plain)
        before = plain or before
