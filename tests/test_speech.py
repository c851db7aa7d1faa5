"""Where speech is cut: exact to the sample, at once, in pauses, and in the same memory for hours."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmcli import engines
from mmcli.catalogue import read_catalogue
from mmcli.errors import EngineError, UsageError
from mmcli.media.audio import open_audio
from mmcli.options import VadOptions
from mmcli.speech import utterances
from mmcli.stages import Audio, VoiceDetector, Window

RATE = 16000
FRAME = 512


@pytest.fixture(scope="module")
def loud() -> VoiceDetector:
    """Loud is speech."""
    detector: VoiceDetector = engines.load(read_catalogue().model("fake-vad"))
    return detector


@pytest.fixture(scope="module")
def silero() -> VoiceDetector:
    detector: VoiceDetector = engines.load(read_catalogue().model("silero"))
    return detector


class Scripted:
    """Gives the probabilities of a list, one for each frame that comes."""

    rate = RATE
    frame = FRAME

    def __init__(self, probabilities: Iterable[float]) -> None:
        self.script = list(probabilities)

    def probabilities(self, blocks: Iterable[Audio]) -> Iterator[float]:
        seen = given = 0
        for block in blocks:
            seen += len(block.samples)
            while given < seen // FRAME:
                yield self.script[given]
                given += 1


def _blocks(samples: NDArray[np.float32], size: int) -> Iterator[Audio]:
    for first in range(0, len(samples), size):
        yield Audio(samples[first : first + size], RATE)


def _noise(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


def _quiet(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return 0.001 * _noise(seconds, seed)


def _span(window: Window) -> tuple[int, int]:
    first = round(window.start * RATE)
    assert first == window.start * RATE
    return first, first + len(window.audio.samples)


def _frames_span(window: Window) -> tuple[float, float]:
    first, last = _span(window)
    return first / FRAME, last / FRAME


BURSTS = np.concatenate(
    [_quiet(1.3), _noise(0.9, 1), _quiet(0.7), _noise(2.1, 2), _quiet(0.3), _noise(0.4, 3), _quiet(3), _noise(0.77, 4)]
)


@pytest.mark.parametrize("size", [1, 160, 511, 512, 4097, 16000, len(BURSTS)])
def test_windows_are_the_samples_of_the_source_however_it_is_cut_into_blocks(loud: VoiceDetector, size: int) -> None:
    options = VadOptions(min_silence_ms=500, speech_pad_ms=200)
    windows = list(utterances(_blocks(BURSTS, size), loud, options))
    assert len(windows) == 3
    end_before = 0
    covered = np.zeros(len(BURSTS), bool)
    for window in windows:
        first, last = _span(window)
        assert first >= end_before
        assert np.array_equal(window.audio.samples, BURSTS[first:last])
        covered[first:last] = True
        end_before = last
    assert covered[np.abs(BURSTS) > 0.02].all()


def test_windows_of_real_speech_are_the_samples_of_the_source(silero: VoiceDetector, data: Path) -> None:
    samples = np.concatenate([block.samples for block in open_audio(data / "a14.flac").blocks(RATE)])
    windows = list(utterances(open_audio(data / "a14.flac").blocks(RATE), silero, VadOptions()))
    assert len(windows) > 1
    for window in windows:
        first, last = _span(window)
        assert np.array_equal(window.audio.samples, samples[first:last])


# A frame is 32 ms; a pause of 160 ms, 5 frames, ends an utterance; 64 ms, 2 frames, are kept around it.
FIVE = [0.0] * 5


@pytest.mark.parametrize(
    "script, spans",
    [
        ([0.0] * 20, []),
        ([0.0] * 4 + [0.9] * 6 + [0.0] * 20, [(2, 12)]),
        ([0.9] * 6 + [0.0] * 20, [(0, 8)]),
        # Between the two thresholds speech neither begins nor ends.
        ([0.4] * 20, []),
        ([0.0] * 4 + [0.9] * 4 + [0.4] * 10 + [0.9] * 2 + FIVE, [(2, 22)]),
        # But it does not interrupt a pause either.
        ([0.0] * 4 + [0.9] * 4 + [0.0] + [0.4] * 10, [(2, 10)]),
        # A pause of four frames does not end an utterance, a pause of five does.
        ([0.9] * 4 + [0.0] * 4 + [0.9] * 4 + FIVE, [(0, 14)]),
        ([0.9] * 4 + [0.0] * 5 + [0.9] * 4 + FIVE, [(0, 6), (7, 15)]),
        # 96 ms are less than min_speech_ms, 128 ms are not.
        ([0.0] * 4 + [0.9] * 3 + [0.0] * 10, []),
        ([0.0] * 4 + [0.9] * 4 + [0.0] * 10, [(2, 10)]),
        # The end of the stream ends an utterance.
        ([0.0] * 4 + [0.9] * 6, [(2, 10.5)]),
        ([0.0] * 4 + [0.9] * 6 + [0.0] * 3, [(2, 12)]),
    ],
)
def test_hysteresis_pauses_and_padding(script: list[float], spans: list[tuple[float, float]]) -> None:
    options = VadOptions(threshold=0.5, min_speech_ms=100, min_silence_ms=160, speech_pad_ms=64)
    samples = _noise((len(script) + 0.5) * FRAME / RATE)  # and half a frame that gets no probability
    windows = list(utterances(_blocks(samples, 1000), Scripted(script), options))
    assert [_frames_span(window) for window in windows] == spans


def test_windows_do_not_overlap_where_the_padding_is_longer_than_the_pause() -> None:
    options = VadOptions(min_silence_ms=160, speech_pad_ms=1000)
    script = [0.9] * 40 + [0.0] * 6 + [0.9] * 40 + [0.0] * 6
    samples = _noise(len(script) * FRAME / RATE)
    first, second = utterances(_blocks(samples, 777), Scripted(script), options)
    assert _span(first)[1] <= _span(second)[0]


def test_an_utterance_is_given_as_soon_as_its_pause_is_long_enough(loud: VoiceDetector) -> None:
    heard = 0

    def live() -> Iterator[Audio]:
        nonlocal heard
        for block in _blocks(np.concatenate([_quiet(1), _noise(1), _quiet(60)]), FRAME):
            heard += len(block.samples)
            yield block

    next(utterances(live(), loud, VadOptions(min_silence_ms=500)))
    assert heard <= 2.5 * RATE + 2 * FRAME


def test_a_monologue_is_cut_in_its_pauses_and_nothing_is_lost(loud: VoiceDetector) -> None:
    random = np.random.default_rng(5)
    words = [part for _ in range(150) for part in (_noise(random.uniform(0.2, 0.7)), _quiet(random.uniform(0.2, 0.3)))]
    samples = np.concatenate(words)
    # Pauses are marked by the detector in one run, and invisible to it in the other: then only loudness tells them.
    for detector in (loud, Scripted([0.99] * (len(samples) // FRAME))):
        windows = list(utterances(_blocks(samples, 1600), detector, VadOptions(max_speech_s=10)))
        spans = [_span(window) for window in windows]
        assert len(spans) >= len(samples) / RATE / 10
        assert all(last - first <= 10 * RATE for first, last in spans)
        assert spans[0][0] == 0
        assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
        assert (np.abs(samples[spans[-1][1] :]) < 0.02).all()
        for _, cut in spans[:-1]:
            assert np.abs(samples[cut - 160 : cut + 160]).max() < 0.02


def test_speech_that_goes_on_for_an_hour_is_cut_though_it_has_no_pause(loud: VoiceDetector) -> None:
    minute = _noise(60)
    windows = [
        (window.start, window.audio.seconds)
        for window in utterances((Audio(minute, RATE) for _ in range(60)), loud, VadOptions(max_speech_s=30))
    ]
    assert max(seconds for _, seconds in windows) <= 30
    assert min(seconds for _, seconds in windows[:-1]) >= 19
    assert sum(seconds for _, seconds in windows) == 3600


def test_hours_of_silence_or_speech_take_no_more_memory_than_a_window() -> None:
    def peak(probability: float, hours: float) -> float:
        second = _noise(1)
        detector = Scripted([probability] * int(hours * 3600 * RATE / FRAME + 1))
        tracemalloc.start()
        for _ in utterances((Audio(second, RATE) for _ in range(int(hours * 3600))), detector, VadOptions()):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most / 1e6

    assert peak(0.0, 2) < 0.5
    # 30 s of float32 are 1.9 MB; for a moment there are the old and the new buffer and the window itself.
    assert peak(0.9, 0.25) < 8


def test_closing_it_closes_the_blocks(loud: VoiceDetector) -> None:
    closed = []

    def live() -> Iterator[Audio]:
        try:
            yield from _blocks(BURSTS, 800)
        finally:
            closed.append(True)

    windows = utterances(live(), loud, VadOptions())
    next(windows)
    assert not closed
    windows.close()
    assert closed


@pytest.mark.parametrize(
    "options",
    [
        VadOptions(threshold=0),
        VadOptions(threshold=1.5),
        VadOptions(threshold=float("nan")),
        VadOptions(min_silence_ms=-1),
        VadOptions(min_speech_ms=-1),
        VadOptions(speech_pad_ms=-200),
        VadOptions(max_speech_s=0.5),
        VadOptions(max_speech_s=float("inf")),
        VadOptions(max_speech_s=2, speech_pad_ms=600),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(loud: VoiceDetector, options: VadOptions) -> None:
    with pytest.raises(UsageError, match=r"^the VAD [^\n]+$"):
        next(utterances(_blocks(BURSTS, 800), loud, options))


def test_blocks_of_another_rate_are_refused(loud: VoiceDetector) -> None:
    with pytest.raises(EngineError, match="16000 Hz, not of 8000 Hz"):
        next(utterances(iter([Audio(BURSTS, 8000)]), loud, VadOptions()))
