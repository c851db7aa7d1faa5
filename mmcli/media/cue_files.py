"""Subtitles in: SubRip and WebVTT files, as what is said from when to when, and by whom where that is told."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.errors import InputError
from mmcli.media.document import read_text
from mmcli.media.files import source_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A recording of four days; what is longer is a mistake, and its silence would fill the disk.
MAX_SECONDS = 100 * 3600.0

_TIME = r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]{1,80})>")
_MARKS = re.compile(r"</?[a-zA-Z0-9.:][^>]*>|\{\\[^}]*\}")
_MEND = "a subtitle file has lines such as 00:00:01,000 --> 00:00:02,500"


@dataclass(frozen=True, slots=True)
class SpokenCue:
    """What is said from `start` to `end`, in seconds. `number` counts the cues of the file from 1."""

    number: int
    start: float
    end: float
    text: str
    speaker: str | None = None


def read_cues(path: str | Path) -> list[SpokenCue]:
    """The cues of an SRT or VTT file, or of "-" (standard input), in order of time; those without text are left out.

    InputError: what `read_text` refuses, no cues in it, a line of times that is none, an end that comes first.
    """
    source = source_name(path)
    cues = [cue for cue in _cues(read_text(path), source) if cue.text]
    if not cues:
        raise InputError(source, "holds no subtitles", _MEND)
    return sorted(cues, key=lambda cue: (cue.start, cue.end))


def _cues(text: str, source: str) -> Iterator[SpokenCue]:
    number = 0
    for block in re.split(r"\n[ \t]*\n", re.sub(r"\r\n?", "\n", text)):
        lines = block.strip("\n").split("\n")
        at = next((index for index, line in enumerate(lines[:3]) if "-->" in line), None)
        if at is None or lines[0].startswith(("NOTE", "STYLE", "REGION")):
            continue
        number += 1
        match = _TIMES.fullmatch(lines[at])
        if match is None:
            raise InputError(f"{source}: cue {number}", "has times that are none", _MEND)
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        if not start <= end <= MAX_SECONDS:
            problem = "ends before it begins" if end < start else "is later than 100 hours"
            raise InputError(f"{source}: cue {number}", problem, _MEND)
        said = " ".join(line.strip() for line in lines[at + 1 :])
        voice = _VOICE.search(said)
        words = " ".join(html.unescape(_MARKS.sub("", said)).split())
        yield SpokenCue(number, start, end, words, voice[1].strip() if voice else None)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return (
        int(hours or 0) * 3600
        + int(minutes or 0) * 60
        + int(seconds or 0)
        + int((fraction or "0").ljust(3, "0")) / 1000
    )
