"""Text that arrives in pieces, cut into sentences as soon as each is complete."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# pysbd is quadratic in the length of its text, and nothing is spoken in one breath beyond this.
_MAX_CHARACTERS = 1000
_MAYBE_END = re.compile(r"[.!?…。！？:;]['\"”’)\]]*\s|\n|[。！？]")


@functools.cache
def _segmenter(language: str) -> Any:
    import pysbd

    known = pysbd.languages.LANGUAGE_CODES
    return pysbd.Segmenter(language=language if language in known else "en", clean=False)


def sentences(pieces: Iterable[str], language: str = "en") -> Iterator[str]:
    """Sentences of the joined pieces, stripped, each given as soon as the text after it shows that it has ended.

    A line break always ends a sentence; a run of text without an end is cut at a space after 1000 characters.
    """
    rest = ""
    for piece in pieces:
        rest += piece
        if not _MAYBE_END.search(rest) and len(rest) < _MAX_CHARACTERS:
            continue
        *complete, rest = _cut(rest, language)
        yield from _spoken(complete)
    yield from _spoken(_cut(rest, language))


def _cut(text: str, language: str) -> list[str]:
    """Sentences of a text; joined they are the text again, and the last one may go on."""
    parts: list[str] = []
    for line in text.splitlines(keepends=True):
        for chunk in _chunks(line):
            parts += _segmenter(language).segment(chunk) if chunk.strip() else [chunk]
    if text.endswith("\n") or not parts:
        parts.append("")
    return parts


def _chunks(line: str) -> Iterator[str]:
    while len(line) > _MAX_CHARACTERS:
        at = line.rfind(" ", 1, _MAX_CHARACTERS) + 1 or _MAX_CHARACTERS
        yield line[:at]
        line = line[at:]
    yield line


def _spoken(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if part.strip():
            yield part.strip()
