"""Timed tokens to timed words, and words to the segment that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcli.stages import Segment, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def special_ids(tokenizer: Any) -> set[int]:
    """The tokens that are no text."""
    added = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text with its times in seconds of the window; `begins` says that a word starts with it."""

    id: int
    begins: bool
    start: float
    end: float
    probability: float | None = None


def words_of(tokens: Iterable[Token], decode: Callable[[list[int]], str]) -> tuple[Word, ...]:
    """The words that tokens make; those without letters are left out."""
    groups: list[list[Token]] = []
    for token in tokens:
        if token.begins or not groups:
            groups.append([])
        groups[-1].append(token)
    words = []
    for group in groups:
        text = decode([token.id for token in group]).strip()
        if text:
            known = [token.probability for token in group if token.probability is not None]
            probability = sum(known) / len(known) if len(known) == len(group) else None
            words.append(Word(text, group[0].start, max(token.end for token in group), probability))
    return tuple(words)


def segment_of(text: str, words: tuple[Word, ...], seconds: float, language: str | None) -> list[Segment]:
    """One segment from the first word to the last, or over the whole window where no word has times; none for no text."""
    text = text.strip()
    if not text:
        return []
    start, end = (words[0].start, words[-1].end) if words else (0.0, seconds)
    if end <= start:
        start, end = 0.0, seconds
    return [Segment(start, end, text, words, language)]
