"""Text on its way through the program: cut into sentences while it arrives, made safe before it is shown."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# pysbd is quadratic in the length of its text, and nothing is spoken in one breath beyond this.
_MAX_CHARACTERS = 1000
_UNSAFE = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
_NOT_PLAIN = re.compile(r"[^\n -~]+")
_JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner
# ISO 639 codes of the languages that write no space between words: Chinese, Cantonese, Japanese, Thai, Lao, Burmese, Khmer.
_UNSPACED = {"zh", "zho", "cmn", "yue", "ja", "jpn", "th", "tha", "lo", "lao", "my", "mya", "km", "khm"}
_LATIN_END = 0x250
_SEGMENTED_AS = {"yue": "zh", "cmn": "zh", "zho": "zh", "jpn": "ja", "mya": "my"}
# Where a text is best cut that is too long to be spoken in one breath: after a sentence, else a clause, else a word.
_BREAKS = (re.compile(r"[.!?…。！？]['\"”’)\]]*\s|[。！？\n]"), re.compile(r"[,;:–—]\s|[，、；：]"), re.compile(r"\s"))
_MAYBE_END = re.compile(r"[.!?…。！？:;]['\"”’)\]]*\s|\n|[。！？]")


@functools.cache
def _segmenter(language: str) -> Any:
    import pysbd

    language = _SEGMENTED_AS.get(primary(language), primary(language))
    known = pysbd.languages.LANGUAGE_CODES
    return pysbd.Segmenter(language=language if language in known else "en", clean=False)


def without(text: str, tokens: Iterable[str]) -> str:
    """The text without any of the tokens, also where leaving one out would join what is around it to another."""
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    while any(token in text for token in longest_first):
        for token in longest_first:
            text = text.replace(token, "")
    return text


def visible(text: str, keep: str = "\n\t", instead: str = "") -> str:
    """The text without what could steer a terminal or hide itself: control, format and unassigned characters.

    Joiners and marks that scripts and emoji need stay; `keep` names control characters that stay too, `instead` is put
    in the place of what goes.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or c in _JOINERS or unicodedata.category(c) not in _UNSAFE else instead for c in text)


def safe_json(value: Any, indent: int | None = None) -> str:
    """JSON as people read it, with `visible`'s unsafe characters as escapes. ValueError for what is no JSON number.

    What is no character, as in a file name of undecodable bytes, is a question mark: half a pair is no JSON to many.
    """
    written = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False).encode("utf-8", "replace").decode()
    return _NOT_PLAIN.sub(lambda found: "".join(c if visible(c) else json.dumps(c)[1:-1] for c in found[0]), written)


def clock(seconds: float) -> str:
    """HH:MM:SS."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def has_words(text: str) -> bool:
    """Whether there is anything in a text that a voice could read: a letter or a digit."""
    return any(character.isalnum() for character in text)


def primary(language: str) -> str:
    """The language of a tag, without its country or script, in lower case: en of en-GB."""
    return re.split("[-_]", language.strip().lower())[0]


def writes_spaces(language: str | None) -> bool:
    """Whether words have spaces between them in a language (its ISO 639 code)."""
    return primary(language or "") not in _UNSPACED


def gap(before: str, after: str, language: str | None) -> str:
    """What stands between two texts of a language: a space, or nothing where one is there or the language has none.

    Latin words and numbers are kept apart inside the other scripts too.
    """
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    if writes_spaces(language):
        return " "
    return " " if all(c.isalnum() and ord(c) < _LATIN_END for c in (before[-1], after[0])) else ""


def joined(texts: Iterable[str], language: str | None = None) -> str:
    """Texts of a language as one, with spaces between them where it writes them."""
    parts: list[str] = []
    for text in filter(None, texts):
        parts += [gap(parts[-1] if parts else "", text, language), text]
    return "".join(parts)


def sentences(pieces: Iterable[str], language: str = "en") -> Iterator[str]:
    """Sentences of the joined pieces, stripped, each given as soon as the text after it shows that it has ended.

    A line break always ends a sentence; a run of text without an end is cut at a space after 1000 characters.
    """
    rest = ""
    for piece in pieces:
        rest += piece
        if not _MAYBE_END.search(rest) and len(rest) < _MAX_CHARACTERS:
            continue
        *complete, rest = split_sentences(rest, language)
        yield from _spoken(complete)
    yield from _spoken(split_sentences(rest, language))


def split_sentences(text: str, language: str) -> list[str]:
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


def utterances(sentence: str, longest: int) -> Iterator[str]:
    """What can be spoken of a sentence; beyond `longest` characters it is cut after a full stop, else a comma, else a space.

    Control characters go, and so do pieces of nothing but space.
    """
    start = 0
    while start < len(sentence):
        part = sentence[start : start + longest]
        if start + len(part) < len(sentence):
            part = part[: _last_break(part)]
        start += len(part)
        spoken = visible(part, keep="\n\r\t")
        if spoken.strip():
            yield spoken


def _last_break(part: str) -> int:
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(part)]
        if ends:
            return ends[-1]
    return len(part)
