"""Transcripts out, in the layouts of openai-whisper's writers, piece by piece as segments come."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mmcli.errors import UsageError, did_you_mean
from mmcli.media.files import display_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mmcli.stages import Segment

FORMATS: tuple[str, ...] = ("txt", "srt", "vtt", "tsv", "json")

_BREAKS = re.compile(r"[ \t]*(?:\r\n?|[\n\v\f\x85\u2028\u2029])\s*")


def render(format: str, segments: Iterable[Segment], provenance: Callable[[], Mapping[str, Any]]) -> Iterator[str]:
    """The transcript in one of FORMATS, each piece of text as soon as its segment is there.

    JSON is one piece after the last segment, when `provenance()` is asked what made it. UsageError: unknown format.
    """
    match format:
        case "txt":
            return (f"{_spoken(segment)}\n" for segment in segments)
        case "srt":
            return _srt(segments)
        case "vtt":
            return _vtt(segments)
        case "tsv":
            return _tsv(segments)
        case "json":
            return _json(segments, provenance)
    raise UsageError(
        f'there is no transcript format "{display_name(format)}"',
        did_you_mean(format, FORMATS) or f"formats: {', '.join(FORMATS)}",
    )


def _srt(segments: Iterable[Segment]) -> Iterator[str]:
    for number, segment in enumerate(segments, 1):
        start, end = (_clock(time, ",", hours=True) for time in _shown(segment))
        yield f"{number}\n{start} --> {end}\n{_cue(segment)}\n\n"


def _vtt(segments: Iterable[Segment]) -> Iterator[str]:
    yield "WEBVTT\n\n"
    for segment in segments:
        start, end = (_clock(time, ".") for time in _shown(segment))
        yield f"{start} --> {end}\n{_cue(segment)}\n\n"


def _shown(segment: Segment) -> tuple[float, float]:
    """When a subtitle is on the screen: with its words, where their times are known."""
    return (segment.words[0].start, segment.words[-1].end) if segment.words else (segment.start, segment.end)


def _tsv(segments: Iterable[Segment]) -> Iterator[str]:
    yield "start\tend\ttext\n"
    for segment in segments:
        yield f"{_milliseconds(segment.start)}\t{_milliseconds(segment.end)}\t{_spoken(segment)}\n"


def _json(segments: Iterable[Segment], provenance: Callable[[], Mapping[str, Any]]) -> Iterator[str]:
    entries = []
    language = None
    for number, segment in enumerate(segments):
        language = language or segment.language
        entries.append(_entry(number, segment))
    # Whisper's own segments begin with the space that parts them.
    apart = "" if entries and "tokens" in entries[0] else " "
    result = {
        "text": apart.join(entry["text"] for entry in entries if entry["text"]),
        "segments": entries,
        "language": language,
        "provenance": dict(provenance()),
    }
    yield json.dumps(_filled(result, keep=("text", "segments")), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _entry(number: int, segment: Segment) -> dict[str, Any]:
    words = [
        _filled(
            {
                "word": _safe(word.text),
                "start": _seconds(word.start),
                "end": _seconds(word.end),
                "probability": None if word.probability is None else round(word.probability, 4),
            }
        )
        for word in segment.words
    ]
    times = {"start": _seconds(segment.start), "end": _seconds(segment.end)}
    text = _safe(segment.text)
    more: dict[str, Any] = {"speaker": segment.speaker, "words": words}
    decoding = segment.decoding
    if decoding is None:
        return _filled({"id": number, **times, "text": text.strip(), **more}, keep=("text",))
    # faster-whisper counts from 1.
    entry = {"id": number + 1, "seek": decoding.seek, **times, "text": text, "tokens": list(decoding.tokens)}
    for key in ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"):
        entry[key] = getattr(decoding, key)
    return _filled(entry | more, keep=("text", "tokens"))


def _filled(entry: Mapping[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """The entries that have a value."""
    return {key: value for key, value in entry.items() if key in keep or value not in (None, "", [], {})}


# ---------------------------------------------------------------- text and times


def _safe(text: str) -> str:
    """Line breaks stay, as "\\n"; what else is a control character becomes U+FFFD, a tab a space."""
    return "\n".join(display_name(line.replace("\t", " ")) for line in _BREAKS.sub("\n", text).split("\n"))


def _spoken(segment: Segment) -> str:
    """The text on one line, with the speaker where one is known."""
    text = _safe(segment.text).strip().replace("\n", " ")
    return f"[{display_name(segment.speaker)}]: {text}" if segment.speaker else text


def _cue(segment: Segment) -> str:
    """The text of a subtitle, whose arrow must not be taken for that of its times."""
    return _spoken(segment).replace("-->", "->")


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000.0))


def _seconds(seconds: float) -> float:
    return _milliseconds(seconds) / 1000


def _clock(seconds: float, point: str, *, hours: bool = False) -> str:
    """HH:MM:SS and milliseconds; without `hours`, those only from the first hour on."""
    minutes, milliseconds = divmod(_milliseconds(seconds), 60_000)
    whole, minutes = divmod(minutes, 60)
    hour = f"{whole:02d}:" if hours or whole else ""
    return f"{hour}{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
