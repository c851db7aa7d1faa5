"""Windows as faster-whisper is given them, and its segments as ours."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli.engines.stt.whisper_loading import RATE, BatchedInferencePipeline
from mmcli.stages import Decoding, Segment, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.stages import Window

_SEEKS_PER_S = 100
_STEP_S = 0.02


def groups(windows: Iterable[tuple[Window, str]], size: int, parts: int) -> Iterator[tuple[list[Window], str]]:
    """Neighbours of one language: up to `size` at once, in as many equal parts, so that all who work on them end together."""
    rest = iter(windows)
    ahead: list[tuple[Window, str]] = []
    while ahead := ahead + list(islice(rest, size - len(ahead))):
        language = ahead[0][1]
        same = next((i for i, (_, other) in enumerate(ahead) if other != language), len(ahead))
        group, ahead = [window for window, _ in ahead[:same]], ahead[same:]
        step = -(-same // parts)
        for first in range(0, same, step):
            yield group[first : first + step], language


def at_once(model: Any, windows: list[Window], given: dict[str, Any]) -> list[tuple[Window, Any]]:
    """The segments of windows decoded in one batch, times counted from the start of their window."""
    # Each begins on a whole second, so that its samples are found again whatever the floats do.
    seconds = [-(-len(window.audio.samples) // RATE) for window in windows]
    starts = [sum(seconds[:index]) for index in range(len(windows))]
    samples = np.zeros(sum(seconds) * RATE, np.float32)
    clips = []
    for start, window in zip(starts, windows, strict=True):
        count = len(window.audio.samples)
        samples[start * RATE : start * RATE + count] = window.audio.samples
        clips.append({"start": start, "end": (start * RATE + count + 0.5) / RATE})
    segments, _ = BatchedInferencePipeline(model).transcribe(samples, clip_timestamps=clips, **given)
    at = {start * _SEEKS_PER_S: (start, window) for start, window in zip(starts, windows, strict=True)}
    found = []
    for segment in segments:
        start, window = at[segment.seek]
        segment.seek = 0
        segment.start, segment.end = segment.start - start, segment.end - start
        for word in segment.words or ():
            word.start, word.end = word.start - start, word.end - start
        found.append((window, segment))
    return found


def segment_of(found: Any, offset: float, language: str | None) -> Segment:
    words = tuple(
        Word(word.word, float(word.start) + offset, float(word.end) + offset, float(word.probability))
        for word in found.words or ()
    )
    decoding = Decoding(
        tuple(found.tokens),
        found.seek + round(offset * _SEEKS_PER_S),
        float(found.temperature),
        float(found.avg_logprob),
        float(found.compression_ratio),
        float(found.no_speech_prob),
    )
    times = float(found.start) + offset, float(found.end) + offset
    return Segment(*times, found.text, words, language, decoding=decoding)


def within(window: Window, segment: Segment) -> Segment:
    """The segment with its times bound by the window's: Whisper may tell any up to 30 s."""
    last = window.start + window.audio.seconds

    def bound(time: float, least: float = window.start) -> float:
        return min(max(time, least), last)

    words = tuple(replace(word, start=bound(word.start), end=bound(word.end)) for word in segment.words)
    # What is placed behind the sound is put at its end, in a step of Whisper's clock.
    start = max(window.start, min(segment.start, last - _STEP_S))
    return replace(segment, start=start, end=bound(segment.end, min(start + _STEP_S, last)), words=words)
