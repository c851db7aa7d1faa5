"""Transcripts out, in the layouts of openai-whisper's writers, piece by piece as segments come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcli.errors import UsageError, did_you_mean
from mmcli.media.cues import PLAIN, Shape, cues
from mmcli.media.files import display_name
from mmcli.media.rttm import rttm
from mmcli.media.words import safe, speaker_prefix
from mmcli.text import gap, safe_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mmcli.stages import Segment

FORMATS: tuple[str, ...] = ("txt", "srt", "vtt", "tsv", "json", "jsonl", "lrc", "aud", "rttm")


def render(
    format: str, segments: Iterable[Segment], provenance: Callable[[], Mapping[str, Any]], shape: Shape = PLAIN
) -> Iterator[str]:
    """The transcript in one of FORMATS, each piece of text as soon as its segment is there.

    JSON is one piece after the last segment, when `provenance()` is asked what made it; it is the last line of JSONL.
    `shape` is for srt and vtt. UsageError: unknown format.
    """
    match format:
        case "txt":
            return (f"{_spoken(segment)}\n" for segment in segments)
        case "srt":
            return _srt(segments, shape)
        case "vtt":
            return _vtt(segments, shape)
        case "tsv":
            return _tsv(segments)
        case "json" | "jsonl":
            return (_json if format == "json" else _jsonl)(segments, provenance)
        case "lrc":
            return (f"[{_lyric_clock(segment.start)}]{_lyric(segment)}\n" for segment in segments)
        case "aud":
            return (f"{_label(segment.start)}\t{_label(segment.end)}\t{_spoken(segment)}\n" for segment in segments)
        case "rttm":
            return rttm(segments, str(provenance().get("source", "")))
    raise UsageError(
        f'there is no transcript format "{display_name(format)}"',
        did_you_mean(format, FORMATS) or f"formats: {', '.join(FORMATS)}",
    )


def _srt(segments: Iterable[Segment], shape: Shape) -> Iterator[str]:
    for number, (start, end, text) in enumerate(cues(segments, shape), 1):
        yield f"{number}\n{_clock(start, ',', hours=True)} --> {_clock(end, ',', hours=True)}\n{text}\n\n"


def _vtt(segments: Iterable[Segment], shape: Shape) -> Iterator[str]:
    yield "WEBVTT\n\n"
    for start, end, text in cues(segments, shape):
        yield f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n\n"


def _tsv(segments: Iterable[Segment]) -> Iterator[str]:
    yield "start\tend\ttext\n"
    for segment in segments:
        yield f"{_milliseconds(segment.start)}\t{_milliseconds(segment.end)}\t{_spoken(segment)}\n"


def _json(segments: Iterable[Segment], provenance: Callable[[], Mapping[str, Any]]) -> Iterator[str]:
    entries = []
    text = ""
    language = None
    for number, segment in enumerate(segments):
        language = language or segment.language
        entry = _entry(number, segment)
        # Whisper's own segments begin with the space that parts them, where there is one.
        text += entry["text"] if segment.decoding else gap(text, entry["text"], segment.language) + entry["text"]
        entries.append(entry)
    result = {"text": text, "segments": entries, "language": language, "provenance": dict(provenance())}
    yield safe_json(_filled(result, keep=("text", "segments")), indent=2) + "\n"


def _jsonl(segments: Iterable[Segment], provenance: Callable[[], Mapping[str, Any]]) -> Iterator[str]:
    language = None
    for number, segment in enumerate(segments):
        language = language or segment.language
        yield _line(_entry(number, segment) | _filled({"language": segment.language}))
    yield _line(_filled({"language": language, "provenance": dict(provenance())}))


def _line(entry: Mapping[str, Any]) -> str:
    return safe_json(entry) + "\n"


def _entry(number: int, segment: Segment) -> dict[str, Any]:
    words = [
        _filled(
            {
                "word": safe(word.text),
                "start": _seconds(word.start),
                "end": _seconds(word.end),
                "probability": None if word.probability is None else round(word.probability, 4),
                "speaker": word.speaker and display_name(word.speaker),
            }
        )
        for word in segment.words
    ]
    times = {"start": _seconds(segment.start), "end": _seconds(segment.end)}
    text = safe(segment.text)
    more: dict[str, Any] = {
        "speaker": segment.speaker and display_name(segment.speaker),
        "words": words,
        "flags": list(segment.flags),
    }
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


def _spoken(segment: Segment) -> str:
    """The text on one line, with the speaker where one is known."""
    return speaker_prefix(segment) + safe(segment.text).strip().replace("\n", " ")


def _lyric(segment: Segment) -> str:
    """The text of a lyric, whose own bracket must not be taken for a second time."""
    text = _spoken(segment)
    return f" {text}" if text.startswith("[") else text


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


def _lyric_clock(seconds: float) -> str:
    """MM:SS and hundredths; LRC has no hours."""
    hundredths = max(0, round(seconds * 100))
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _label(seconds: float) -> str:
    return f"{_seconds(seconds):.3f}"
