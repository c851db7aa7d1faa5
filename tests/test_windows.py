"""What a transcriber is given: utterances packed, clipped, or the recording whole, always in the source's time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import decode_audio

from mmcli import engines
from mmcli.catalogue import read_catalogue
from mmcli.errors import UsageError
from mmcli.media.audio import open_audio
from mmcli.options import TranscribeOptions, VadOptions
from mmcli.speech import clip_pairs, clipped, pack, windows
from mmcli.stages import Audio, AudioSource, Window

RATE = 16000


def _window(start: float, seconds: float, value: float = 0.5) -> Window:
    return Window(Audio(np.full(round(seconds * RATE), value, np.float32), RATE), start)


def test_neighbours_are_packed_with_the_silence_that_was_between_them() -> None:
    packed = list(pack([_window(1, 2, 0.1), _window(4.5, 1, 0.2), _window(25, 6, 0.3), _window(40, 30, 0.4)]))
    assert [(window.start, window.audio.seconds) for window in packed] == [(1, 30), (40, 30)]
    samples = packed[0].audio.samples
    for start, end, value in ((0, 2, 0.1), (2, 3.5, 0), (3.5, 4.5, 0.2), (4.5, 24, 0), (24, 30, 0.3)):
        assert np.all(samples[round(start * RATE) : round(end * RATE)] == np.float32(value))


def test_a_window_comes_as_soon_as_the_next_one_does_not_fit() -> None:
    asked: list[int] = []

    def speech() -> Iterator[Window]:
        for number in range(100):
            asked.append(number)
            yield _window(12.0 * number, 10)

    packed = pack(speech())
    assert next(packed).audio.seconds == 22
    assert len(asked) == 3
    packed.close()


def test_windows_of_different_clips_are_not_joined() -> None:
    speech = [_window(0, 1), _window(2, 1), _window(5, 1), _window(7, 1)]
    assert [(w.start, w.audio.seconds) for w in pack(speech, apart=[0, 5])] == [(0, 3), (5, 3)]


def test_clips_cut_windows_to_the_sample() -> None:
    sound = np.arange(10 * RATE, dtype=np.float32)
    parts = list(clipped([Window(Audio(sound, RATE), 100.0)], ((0, 101), (103.25, 104), (109, float("inf")))))
    assert [(part.start, part.audio.seconds) for part in parts] == [(100, 1), (103.25, 0.75), (109, 1)]
    for part in parts:
        assert part.audio.samples[0] == round((part.start - 100) * RATE)


@pytest.mark.parametrize("times", [(5.0, 3.0), (0.0, 4.0, 2.0, 6.0), (-1.0,), (1.0, 1.0)])
def test_clips_out_of_order_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="one after the other"):
        clip_pairs(times)


def test_windows_longer_than_a_model_hears_are_refused(speech: Path) -> None:
    vad = engines.load(read_catalogue().model("fake-vad"))
    stt = engines.load(read_catalogue().model("fake-stt"))
    with pytest.raises(UsageError, match="at 30 seconds at the latest"):
        windows(open_audio(speech), vad, stt, VadOptions(max_speech_s=31), TranscribeOptions())
    with pytest.raises(UsageError, match="one after the other"):
        windows(
            open_audio(speech),
            vad,
            stt,
            VadOptions(),
            TranscribeOptions(windowing="sequential", clip_timestamps=(5.0, 3.0)),
        )


def test_what_follows_the_last_clip_is_not_decoded(speech: Path) -> None:
    asked: list[float] = []
    audio = open_audio(speech)

    def blocks(rate: int) -> Iterator[Audio]:
        for block in audio.blocks(rate):
            asked.append(block.seconds)
            yield block

    vad = engines.load(read_catalogue().model("fake-vad"))
    stt = engines.load(read_catalogue().model("fake-stt"))
    options = TranscribeOptions(clip_timestamps=(1.5, 2.5))
    heard = list(windows(AudioSource("x", None, blocks), vad, stt, VadOptions(), options))
    assert [w.start for w in heard] == [1.5]
    assert 0.5 < heard[0].audio.seconds <= 1.0
    assert sum(asked) < 4


@pytest.mark.parametrize(
    "name", ["a02.wav", "a05.flac", "a06.mp3", "a13_stereo2spk.wav", "a16.m4a", "a76.ac3", "a72.webm"]
)
def test_the_whole_recording_is_decoded_as_faster_whisper_decodes_it(data: Path, name: str) -> None:
    vad = engines.load(read_catalogue().model("fake-vad"))
    stt = engines.load(read_catalogue().model("fake-stt"))
    options = TranscribeOptions(windowing="sequential")
    (window,) = windows(open_audio(data / name), vad, stt, VadOptions(), options)
    assert window.start == 0
    assert np.array_equal(window.audio.samples, decode_audio(str(data / name)))
