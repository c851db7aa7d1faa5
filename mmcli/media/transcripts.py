"""Transcripts in: JSON and JSON lines of mmcli, and the JSON of openai-whisper, faster-whisper and whisperX."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcli.errors import InputError
from mmcli.media.files import head, open_input, read_limited, source_name
from mmcli.media.quality import FLAGS
from mmcli.stages import Decoding, Segment, Word
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Ten hours with words and tokens are a fourth of it.
_MAX_BYTES = 64_000_000
_MAX_SECONDS = 1e7
_MAX_DEPTH = 20
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")
_MEND = 'a transcript is JSON with a list "segments" of start, end and text, or such segments one a line'


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard before, and what made it where that is told."""

    source: str
    segments: tuple[Segment, ...]
    provenance: Mapping[str, Any]

    @property
    def has_words(self) -> bool:
        """Whether anything said has word times; aligners leave out segments. Nothing said needs none."""
        return not self.segments or any(segment.words for segment in self.segments)

    @property
    def has_speakers(self) -> bool:
        """Whether anything was said by somebody known; nothing said needs nobody."""
        return not self.segments or any(segment.speaker for segment in self.segments)


def is_transcript(path: str | Path) -> bool:
    """Whether a file or standard input begins as JSON does, which no recording does; the bytes stay to be read."""
    return head(path).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def read_transcript(path: str | Path, language: str | None = None) -> Transcript:
    """A transcript that was written before, and perhaps corrected: a segment whose text was deleted is not in it.

    `language` is for one that does not tell its own.

    InputError: no JSON, no transcript, times or texts that are none, more than 64 MB.
    """
    source = source_name(path)
    with open_input(path) as stream:
        data = read_limited(stream, source, _MAX_BYTES)
    try:
        entries, rest = _parsed(data.decode("utf-8-sig"), source)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(source, f"begins as JSON and is none ({reason[:100]})", _MEND) from error
    given = rest.get("language")
    language = given if _is_language(given) else language
    segments = (_segment(entry, language, f"{source}: segment {n}") for n, entry in enumerate(entries, 1))
    said = tuple(segment for segment in segments if segment.text.strip())
    return Transcript(source, said, _plain(rest.get("provenance")))


def _plain(provenance: Any) -> Mapping[str, Any]:
    """What made a transcript, to be told again; nothing where it is none or is too deep or unfit to be written."""
    if not isinstance(provenance, dict):
        return {}
    try:
        written = json.dumps(provenance, ensure_ascii=False, indent=1, allow_nan=False)
    except (ValueError, RecursionError):
        return {}
    return provenance if visible(written) == written and "\n" + " " * _MAX_DEPTH not in written else {}


def _parsed(text: str, source: str) -> tuple[list[Any], dict[str, Any]]:
    """The segments and what is told beside them."""
    lines = [line for line in text.split("\n") if line.strip()]
    try:
        first = json.loads(lines[0])
    except ValueError:
        first = None
    if isinstance(first, dict) and "segments" not in first:
        entries, rest = _parsed_lines(lines, source)
        if entries or "provenance" in rest:
            return entries, rest
    document = first if first is not None and len(lines) == 1 else json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("segments"), list):
        raise InputError(source, "is JSON, but no transcript", _MEND)
    return document["segments"], document


def _parsed_lines(lines: list[str], source: str) -> tuple[list[Any], dict[str, Any]]:
    entries: list[Any] = []
    rest: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise InputError(f"{source}: line {number}", "is not JSON", _MEND) from error
        if not isinstance(entry, dict):
            raise InputError(f"{source}: line {number}", "is no segment", _MEND)
        if "text" in entry:
            entries.append(entry)
        else:
            rest.update(entry)
    return entries, rest


def _segment(entry: Any, language: str | None, where: str) -> Segment:
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
        raise InputError(where, "has no text", _MEND)
    start, end = (_time(entry.get(edge), edge, where) for edge in ("start", "end"))
    own, speaker, flags = entry.get("language"), entry.get("speaker"), entry.get("flags")
    return Segment(
        start,
        max(start, end),
        entry["text"],
        tuple(_words(entry.get("words"), (start, max(start, end)), where)),
        own if _is_language(own) else language,
        speaker if isinstance(speaker, str) and speaker else None,
        _decoding(entry),
        tuple(flag for flag in FLAGS if flag in flags) if isinstance(flags, list) else (),
    )


def _is_language(value: Any) -> bool:
    return isinstance(value, str) and _LANGUAGE.fullmatch(value) is not None


def _number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


def _time(value: Any, what: str, where: str) -> float:
    seconds = _number(value)
    if seconds is None or not -1 <= seconds <= _MAX_SECONDS:
        raise InputError(where, f"{what} is no time in seconds", _MEND)
    return max(0.0, seconds)


def _words(entries: Any, bounds: tuple[float, float], where: str) -> Iterator[Word]:
    """Words in order. Aligners leave out the times of what they could not place: it goes between its neighbours."""
    if not isinstance(entries, list):
        return
    known: list[dict[str, Any]] = []
    for entry in entries:
        text = entry.get("word", entry.get("text")) if isinstance(entry, dict) else None
        if not isinstance(text, str):
            raise InputError(where, "has a word without text", _MEND)
        known.append({**entry, "text": text})
    last = bounds[0]
    for number, entry in enumerate(known):
        start = _time(entry["start"], "the time of a word", where) if entry.get("start") is not None else last
        if entry.get("end") is not None:
            end = _time(entry["end"], "the time of a word", where)
        else:
            later = known[number + 1].get("start") if number + 1 < len(known) else None
            end = _time(later, "the time of a word", where) if later is not None else max(start, bounds[1])
        last = max(start, end)
        probability = _number(entry.get("probability", entry.get("score")))
        known_one = probability is not None and 0 <= probability <= 1
        speaker = entry.get("speaker")
        told = speaker if isinstance(speaker, str) and speaker else None
        yield Word(entry["text"], start, last, probability if known_one else None, told)


def _decoding(entry: Mapping[str, Any]) -> Decoding | None:
    """What Whisper told of the segment; None where it is not all there."""
    names = ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
    tokens, seek = entry.get("tokens"), entry.get("seek")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens) or type(seek) is not int:
        return None
    told = [number for name in names if (number := _number(entry.get(name))) is not None]
    return Decoding(tuple(tokens), seek, *told) if len(told) == len(names) else None
