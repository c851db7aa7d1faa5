"""Silero as a stream: what faster-whisper computes for a whole recording, block by block."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmcli.catalogue import read_catalogue
from mmcli.engines.vad.silero import Silero
from mmcli.errors import ConfigError, EngineError
from mmcli.media.audio import open_audio
from mmcli.stages import Audio

CARD = read_catalogue().model("silero")


@pytest.fixture(scope="module")
def silero() -> Silero:
    return Silero(CARD)


@pytest.fixture(scope="module")
def speech(data: Path) -> NDArray[np.float32]:
    return _samples(data / "a14.flac")


def _samples(path: Path) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in open_audio(path).blocks(16000)])


def _blocks(samples: NDArray[np.float32], sizes: Iterable[int]) -> Iterator[Audio]:
    first = 0
    for size in sizes:
        yield Audio(samples[first : first + size], 16000)
        first += size
        if first >= len(samples):
            return


def _sizes(seed: int) -> Iterator[int]:
    random = np.random.default_rng(seed)
    while True:
        yield int(random.choice([0, 1, 100, 512, 5000, 40000]))


def test_it_gives_what_faster_whisper_gives_for_the_whole_recording(
    silero: Silero, speech: NDArray[np.float32]
) -> None:
    from faster_whisper.vad import get_vad_model

    # faster-whisper overwrites the last 64 samples of what it is given, hence the silent frame at the end.
    whole = len(speech) // 512 * 512
    reference = get_vad_model()(np.concatenate([speech[:whole], np.zeros(512, np.float32)])).ravel()[:-1]
    assert reference.max() > 0.9
    assert reference.min() < 0.1
    for seed in range(3):
        streamed = list(silero.probabilities(_blocks(speech, _sizes(seed))))
        assert len(streamed) == len(reference)
        np.testing.assert_allclose(streamed, reference, atol=1e-5)


def test_long_blocks_are_the_same_as_short_ones(silero: Silero, speech: NDArray[np.float32]) -> None:
    long = np.tile(speech, 6)  # more than goes into one call
    once = list(silero.probabilities(iter([Audio(long, 16000)])))
    np.testing.assert_allclose(once, list(silero.probabilities(_blocks(long, _sizes(1)))), atol=1e-5)


def test_two_streams_at_once_do_not_know_of_each_other(silero: Silero, speech: NDArray[np.float32]) -> None:
    alone = list(silero.probabilities(_blocks(speech, [512] * 1000)))
    pairs = zip(
        silero.probabilities(_blocks(speech, [512] * 1000)),
        silero.probabilities(_blocks(speech[::-1].copy(), [512] * 1000)),
        strict=True,
    )
    assert [ahead for ahead, _ in pairs] == alone


def test_a_probability_comes_before_the_next_block_is_asked_for(silero: Silero) -> None:
    asked = 0

    def live() -> Iterator[Audio]:
        nonlocal asked
        for _ in range(3):
            asked += 1
            yield Audio(np.zeros(600, np.float32), 16000)

    stream = silero.probabilities(live())
    next(stream)
    assert asked == 1
    assert len(list(stream)) == 1800 // 512 - 1


def test_silence_is_no_speech(silero: Silero, data: Path) -> None:
    assert max(silero.probabilities(open_audio(data / "x04_silence.wav").blocks(16000))) < 0.1
    assert list(silero.probabilities(iter([]))) == []


def test_neither_faster_whisper_nor_ctranslate2_is_imported() -> None:
    program = (
        "import sys; from mmcli import engines; from mmcli.catalogue import read_catalogue;"
        "engines.load(read_catalogue().model('silero'));"
        "assert not {'faster_whisper', 'ctranslate2', 'torch', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_runtime_keeps_no_record_for_its_makers(tmp_path: Path) -> None:
    # Where these are set, it would keep none in any case.
    told_not_to = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    env = {name: value for name, value in os.environ.items() if name not in told_not_to}
    program = (
        "from mmcli.catalogue import read_catalogue\nfrom mmcli.engines.vad.silero import Silero\n"
        "Silero(read_catalogue().model('silero'))"
    )
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)
    assert list(tmp_path.iterdir()) == []


def test_sound_of_another_rate_is_refused(silero: Silero) -> None:
    with pytest.raises(EngineError, match="16000 Hz, not of 44100 Hz"):
        next(silero.probabilities(iter([Audio(np.zeros(4410, np.float32), 44100)])))


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match='unknown setting "threads"'):
        Silero(replace(CARD, settings={"threads": 2}))
