"""The words of a segment with what stands between them, and text made fit for one line of a file."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from mmcli.media.files import display_name
from mmcli.stages import Word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcli.stages import Segment

_BREAKS = re.compile(r"[ \t]*(?:\r\n?|[\n\v\f\x85\u2028\u2029])\s*")
_OPENING_GAP = re.compile(r"^\S*")
# Of one segment; comparing takes up to the square of it. Half a minute of speech has a hundred.
_MOST_WORDS = 1000


def safe(text: str) -> str:
    """Line breaks stay, as "\\n"; what else is a control character becomes U+FFFD, a tab a space."""
    return "\n".join(display_name(line.replace("\t", " ")) for line in _BREAKS.sub("\n", text).split("\n"))


def speaker_prefix(segment: Segment) -> str:
    """ "[NAME]: " where the speaker is known."""
    return f"[{display_name(segment.speaker)}]: " if segment.speaker else ""


def spaced(segment: Segment) -> tuple[Word, ...]:
    """The words, each with the space and punctuation that it has in the text: joined they are the segment.

    Whisper's words have them already. Those of other engines, and of a text that was corrected afterwards, are looked up in
    the text without regard to case; where they do not stand there, what is written between spaces has the times of
    the words that it stands for. A segment without words is one word, as is one whose text cannot be told by its words.
    """
    words = segment.words
    if words and "".join(word.text for word in words).strip() == segment.text.strip():
        return words
    found = _found(segment) or list(_aligned(segment)) if words else []
    return tuple(found) or (Word(segment.text, segment.start, segment.end),)


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


def _aligned(segment: Segment) -> Iterator[Word]:
    """What is written between spaces, with the times of the words in its place, which it shares where they are not as many."""
    words, written = segment.words, segment.text.split()
    if max(len(words), len(written)) > _MOST_WORDS:
        return
    pairs = SequenceMatcher(None, [_letters(word.text) for word in words], list(map(_letters, written)), autojunk=False)
    for _, first, last, begin, end in pairs.get_opcodes():
        texts = [f" {text}" for text in written[begin:end]]
        if len(texts) == last - first:
            yield from (replace(word, text=text) for word, text in zip(words[first:last], texts, strict=True))
            continue
        # Something was added (no words), or is spelled in more or fewer words; then they share the time.
        start = words[first].start if first < last else words[first - 1].end if first else segment.start
        stop = words[last - 1].end if first < last else words[last].start if last < len(words) else segment.end
        step = max(stop - start, 0.0) / max(len(texts), 1)
        for number, text in enumerate(texts):
            yield Word(text, start + number * step, start + (number + 1) * step)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))
