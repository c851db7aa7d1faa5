"""Words compared tolerantly: questions may come out of a weak speech recogniser, lines out of a weak OCR."""

from __future__ import annotations

import functools
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING

from rapidfuzz import fuzz

from mmcli.engines.backbone.reader.words import SYNONYMS

if TYPE_CHECKING:
    from collections.abc import Iterable

# From here on two words count as the same one.
SAME = 0.75
_SPELLED = 82.0

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")

_DIGITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
_NUMBERS = {word: str(value) for value, word in enumerate(_DIGITS.split())}


def tokens(text: str) -> tuple[str, ...]:
    """Words and numbers, without case, accents and punctuation; number words as digits."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    plain = unicodedata.normalize("NFC", plain).casefold().replace("’", "'")
    words = (word.removesuffix("'s") for word in _TOKEN.findall(plain))
    return tuple(_NUMBERS.get(word, word) for word in words)


@functools.lru_cache(maxsize=20000)
def similar(word: str, other: str) -> float:
    """How far two tokens are the same word, 0 to 1: spelling, endings, abbreviations and common synonyms."""
    if word == other:
        return 1.0
    if word[0].isdigit() or other[0].isdigit():
        return 0.97 if _number(word) == _number(other) or _same_time(word, other) else 0.0
    if stem(word) == stem(other):
        # a park is no parking
        return 0.95 if word.endswith("ing") == other.endswith("ing") else 0.8
    if other in SYNONYMS.get(word, ()):
        return 0.92
    if min(len(word), len(other)) < 4:
        return 0.0
    ratio = fuzz.ratio(word, other)
    if ratio >= _SPELLED:
        return 0.95 * ratio / 100
    if min(len(word), len(other)) >= 5 and (word.startswith(other) or other.startswith(word)):
        return 0.8
    return 0.0


def stem(word: str) -> str:
    """A word without the ending of plural, past or present participle."""
    for ending in ("ings", "ing", "ies", "ed", "es", "s", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def best(word: str, others: Iterable[str]) -> float:
    """The likeness of the most similar of some tokens; one letter stands for a word only where it stands alone."""
    others = tuple(others)
    if len(others) > 1:
        joined = (
            one + two
            for one, two in pairwise(others)
            if one[0] == word[0] and abs(len(one) + len(two) - len(word)) <= 2
        )
        others = (*(other for other in others if len(other) > 1 or other == word), *joined)
    return max((similar(word, other) for other in others), default=0.0)


def misheard(word: str, others: Iterable[str]) -> str | None:
    """The one token that sounds like a word although it is spelled otherwise; None where there is none, or several."""
    key = _sound(word)
    if len(key) < 3 or len(word) < 4:
        return None
    alike = {other for other in others if len(other) >= 4 and _sound(other) == key}
    return alike.pop() if len(alike) == 1 else None


_SOUNDS = str.maketrans({"b": "p", "d": "t", "g": "k", "c": "k", "q": "k", "x": "k", "z": "s", "v": "f", "j": "k"})


@functools.lru_cache(maxsize=20000)
def _sound(word: str) -> str:
    """The consonants as they sound, with the kind of the beginning: "total" and "turtle" are both ttl."""
    plain = word.replace("ph", "f").replace("th", "t").replace("ck", "k").replace("ce", "se").replace("ci", "si")
    # r after a vowel and before a consonant is hardly heard, nor is h
    plain = re.sub(r"(?<=[aeiou])r(?=[^aeiouy])|h", "", plain).translate(_SOUNDS)
    start = "a" if plain[:1] in "aeiou" else ""
    return start + re.sub(r"[aeiouyw]", "", re.sub(r"(.)\1+", r"\1", plain))


def _same_time(word: str, other: str) -> bool:
    """Whether one is the other as it is heard: 1015 for 10:15."""
    return ":" in word + other and word.replace(":", "") == other.replace(":", "")


def _number(word: str) -> str:
    return word.replace(",", ".").lstrip("0") or "0"
