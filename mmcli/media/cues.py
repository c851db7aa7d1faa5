"""Subtitles out of segments: what is on the screen at once, in how many lines, and which word is being said.

The layout is that of openai-whisper and whisper-ctranslate2, so that the same segments give the same files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmcli.media.words import safe, spaced, speaker_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.stages import Segment, Word

Cue = tuple[float, float, str]
"""Start and end in seconds, and the text, its lines parted by "\\n"."""

# Where the flags say nothing.
_WIDTH = 1000
_WORDS = 1000
_ARROW = re.compile("-{2,}>")
_LONG_PAUSE_S = 3.0
"""From the beginning of a word to that of the next; it ends a cue that may go on over the end of a segment."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a cue may be, where word times are known; None is as large as its segment."""

    max_line_width: int | None = None
    """Characters, unless one word is longer."""
    max_line_count: int | None = None
    """Lines of a cue; only with a width."""
    max_words_per_line: int | None = None
    """Words of a cue."""
    highlight_words: bool = False
    """A cue for each word as it is said, underlined with <u>."""

    @property
    def flows(self) -> bool:
        """Whether cues go on over the ends of segments: where all three sizes are given."""
        return None not in (self.max_line_width, self.max_line_count, self.max_words_per_line)


PLAIN = Shape()


def cues(segments: Iterable[Segment], shape: Shape) -> Iterator[Cue]:
    """The cues of a transcript, each as soon as its last word is there; no word is lost.

    A segment without words is shown whole. What would be taken for the arrow of the times is shortened.
    """
    for words in _groups(segments, shape):
        for start, end, text in _highlighted(words) if shape.highlight_words else [_plain(words)]:
            yield start, end, _ARROW.sub("->", text)


def _plain(words: list[Word]) -> Cue:
    return words[0].start, words[-1].end, "".join(word.text for word in words)


def _highlighted(words: list[Word]) -> Iterator[Cue]:
    """The cue once for each word and once for each pause between words, never back in time."""
    shown = words[0].start
    text = "".join(word.text for word in words)
    for number, word in enumerate(words):
        start = max(word.start, shown)
        if round(start * 1000) > round(shown * 1000):
            yield shown, start, text
        shown = max(word.end, start)
        marked = (_underlined(other.text) if number == index else other.text for index, other in enumerate(words))
        yield start, shown, "".join(marked)


def _underlined(text: str) -> str:
    bare = text.lstrip()
    return f"{text[: len(text) - len(bare)]}<u>{bare}</u>"


# ---------------------------------------------------------------- layout


def _groups(segments: Iterable[Segment], shape: Shape) -> Iterator[list[Word]]:
    """The words of each cue, with line breaks before those that begin a line."""
    layout = _Layout(shape)
    # Speakers may talk at once: a cue that begins after the next segment does has to wait for it.
    waiting: list[list[Word]] = []
    speaker = None
    for segment in segments:
        if segment.speaker != speaker:
            waiting += layout.finished()
        speaker = segment.speaker
        waiting.sort(key=_start)
        while waiting and _start(waiting[0]) <= segment.start:
            yield waiting.pop(0)
        placed = _placed(segment, layout, shape)
        if speaker is not None:
            waiting += placed
        else:
            yield from placed
    yield from sorted([*waiting, *layout.finished()], key=_start)


def _start(words: list[Word]) -> float:
    return words[0].start


def _placed(segment: Segment, layout: _Layout, shape: Shape) -> Iterator[list[Word]]:
    """The cues that are complete with the words of a segment."""
    layout.prefix = speaker_prefix(segment)
    size = _WORDS if shape.max_words_per_line is None else shape.max_words_per_line
    words = [replace(word, text=safe(word.text).replace("\n", " ")) for word in spaced(segment)]
    for first in range(0, len(words), size):
        for word in words[first : first + size]:
            yield from layout.place(word)
        if not shape.flows:
            yield from layout.finished()


class _Layout:
    """The cue that is being filled."""

    def __init__(self, shape: Shape) -> None:
        self._width = _WIDTH if shape.max_line_width is None else shape.max_line_width
        self._most_lines = shape.max_line_count
        self._pauses = shape.flows
        self._words: list[Word] = []
        self._length = 0
        """Characters of the last line."""
        self._lines = 1
        self._last_start: float | None = None
        self.prefix = ""
        """Stands before the next word that begins a line, once."""

    def finished(self) -> Iterator[list[Word]]:
        """The cue, where there is one, which is then empty."""
        if self._words:
            yield self._words
        self._words, self._length, self._lines = [], 0, 1

    def place(self, word: Word) -> Iterator[list[Word]]:
        """Add a word to the line, or to a new one. Gives the cue that it no longer fits in."""
        pause = self._pauses and self._last_start is not None and word.start - self._last_start > _LONG_PAUSE_S
        self._last_start = word.start
        text = word.text
        if self._length and self._length + len(text) <= self._width and not pause:
            self._length += len(text)
        else:
            text = self.prefix + text.strip()
            self.prefix = ""
            length = len(text)
            if self._words and self._most_lines is not None and (pause or self._lines >= self._most_lines):
                yield from self.finished()
            elif self._length:
                self._lines += 1
                text = "\n" + text
            self._length = length
        self._words.append(replace(word, text=text))
