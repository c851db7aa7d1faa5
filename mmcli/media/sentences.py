"""Segments cut anew at the ends of sentences, with times from their words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmcli.media.words import spaced
from mmcli.stages import Segment
from mmcli.text import gap, split_sentences, writes_spaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.stages import Word

# A sentence does not go on over so long a silence, and one without an end is cut between segments before it is as long.
_PAUSE_S = 3.0
# Where an engine writes neither punctuation nor capitals, only the pauses tell sentences.
_UNPUNCTUATED_PAUSE_S = 0.5
_MARKS = frozenset(".,;:!?…。，、；：！？।؟،")
_LONGEST_S = 30.0
_LONGEST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class _Part:
    """A word, its text with the space before it, and the segment that it comes from."""

    word: Word
    text: str
    segment: Segment


def by_sentence(segments: Iterable[Segment]) -> Iterator[Segment]:
    """One segment for each sentence, as soon as its end is there, whatever segments it came in; no word is lost.

    A change of speaker or language, a silence of three seconds and a length of 30 s end a sentence too; as long
    as no punctuation or capital has come, which some engines do not write, half a second between segments is enough. What is known
    of a segment as a whole (decoding) is left out; its flags go to all its sentences. A segment without words stays
    whole.
    """
    held: list[_Part] = []
    # Speakers may talk at once: a sentence that begins after what may still come has to wait for it.
    waiting: list[Segment] = []
    pause_s = _UNPUNCTUATED_PAUSE_S
    for segment in segments:
        parts = [_Part(word, word.text, segment) for word in spaced(segment)]
        if held and _is_apart(held, segment, parts[0].word, pause_s):
            waiting.append(_sentence(held))
            held = []
        if any(c in _MARKS or c.isupper() for c in segment.text):
            pause_s = _PAUSE_S
        if held:
            first = parts[0]
            parts[0] = replace(first, text=gap(held[-1].text, first.text, segment.language) + first.text)
        *complete, held = _cut(held + parts)
        waiting += map(_sentence, complete)
        waiting.sort(key=lambda sentence: sentence.start)
        next_start = held[0].word.start if held else segment.start
        while waiting and (segment.speaker is None or waiting[0].start <= min(next_start, segment.start)):
            yield waiting.pop(0)
    if held:
        waiting.append(_sentence(held))
    yield from sorted(waiting, key=lambda sentence: sentence.start)


def _is_apart(held: list[_Part], segment: Segment, first: Word, pause_s: float) -> bool:
    last = held[-1]
    return (
        (segment.speaker, segment.language) != (last.segment.speaker, last.segment.language)
        or first.start - last.word.end >= pause_s
        or segment.end - held[0].word.start > _LONGEST_S
        or sum(len(part.text) for part in held) + len(segment.text) > _LONGEST_CHARACTERS
    )


def _cut(parts: list[_Part]) -> list[list[_Part]]:
    """The words of each complete sentence, and last those of one that may go on, which may be none."""
    text = "".join(part.text for part in parts)
    language = parts[0].segment.language or "en"
    # What a sentence would be followed by tells the point at its end from that of an abbreviation.
    probe = gap(text, "a", language) + ("a" if writes_spaces(language) else "字")
    line = text.replace("\n", " ") + probe
    ends: list[int] = []
    at = 0
    for sentence in split_sentences(line, language):
        found = line.find(sentence.strip(), at)
        if sentence.strip() and found >= 0:
            at = found + len(sentence.strip())
            ends.append(at)
    groups: list[list[_Part]] = [[]]
    at = 0
    for part in parts:
        groups[-1].append(part)
        at += len(part.text.rstrip())
        while ends and at >= ends[0]:
            del ends[0]
            if groups[-1]:
                groups.append([])
        at += len(part.text) - len(part.text.rstrip())
    return groups


def _sentence(parts: list[_Part]) -> Segment:
    first, last = parts[0], parts[-1]
    return Segment(
        first.word.start,
        max(last.word.end, first.word.start),
        "".join(part.text for part in parts).strip(),
        tuple(part.word for part in parts if part.segment.words),
        first.segment.language,
        first.segment.speaker,
        flags=tuple(dict.fromkeys(flag for part in parts for flag in part.segment.flags)),
    )
