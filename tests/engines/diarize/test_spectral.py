"""The speakers that need no model: clearly different voices are told apart, one voice stays one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmcli import engines
from mmcli.catalogue import package_data, read_catalogue
from mmcli.engines.diarize.voice_features import RATE, features
from mmcli.media.audio import open_audio
from mmcli.options import DiarizeOptions, VadOptions
from mmcli.speech import utterances
from mmcli.stages import Audio, SpeakerTurn, Window

SAMPLES = package_data("samples")


@pytest.fixture(scope="module")
def spectral() -> Any:
    return engines.load(read_catalogue().model("spectral", "diarize"))


@pytest.fixture(scope="module")
def detector() -> Any:
    return engines.load(read_catalogue().model("silero"))


def read(path: Path) -> np.ndarray:
    samples = np.concatenate([block.samples for block in open_audio(path).blocks(RATE)])
    return 0.5 * samples / np.abs(samples).max()


def speech(sound: np.ndarray, detector: Any) -> Iterator[Window]:
    return utterances(iter([Audio(sound.astype(np.float32), RATE)]), detector, VadOptions())


def one_after_the_other(*sounds: np.ndarray) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Joined with half a second between, and from when to when each is."""
    pause = np.zeros(RATE // 2, np.float32)
    spans, start = [], 0
    for sound in sounds:
        spans.append((start / RATE, (start + len(sound)) / RATE))
        start += len(sound) + len(pause)
    return np.concatenate([part for sound in sounds for part in (sound, pause)]), spans


def mostly(turns: tuple[SpeakerTurn, ...], start: float, end: float) -> tuple[int, float]:
    """Who speaks longest between two times, and the share of the speech there that is theirs."""
    shares: Counter[int] = Counter()
    for turn in turns:
        shares[turn.speaker] += max(0.0, min(end, turn.end) - max(start, turn.start))
    (who, most), *_ = shares.most_common()
    return who, most / sum(shares.values())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("a04.wav", "a01.wav", "a06.mp3", "a01.wav", "a27.wav"), "ABABA"),
        (("a01.wav", "a14.flac", "a01.wav"), "ABA"),
        (("a07.wav", "a01.wav", "a08.wav", "a44.wav"), "ABAC"),
        (("a02.wav", "a03.wav", "a20.wav", "a02.wav", "a03.wav"), "ABCAB"),
        (("a04.wav", "a01.wav", "a07.wav", "a05.flac", "a14.flac", "a08.wav", "a44.wav"), "ABCADCE"),
    ],
)
def test_people_are_told_apart_and_counted(
    data: Path, spectral: Any, detector: Any, files: tuple[str, ...], expected: str
) -> None:
    sound, spans = one_after_the_other(*[read(data / name) for name in files])
    turns = spectral.speakers(speech(sound, detector), DiarizeOptions())
    found = [mostly(turns, *span) for span in spans]
    assert all(share > 0.95 for _, share in found)
    letters = {who: letter for (who, _), letter in zip(found, expected, strict=True)}
    assert "".join(letters[who] for who, _ in found) == expected
    assert len({turn.speaker for turn in turns}) == len(set(expected))


@pytest.mark.parametrize(
    "name",
    ["a01.wav", "a02.wav", "a03.wav", "a04.wav", "a07.wav", "a14.flac", "a18_noise10dB.wav", "a20.wav", "a44.wav"],
)
def test_one_person_is_one_speaker(data: Path, spectral: Any, detector: Any, name: str) -> None:
    turns = spectral.speakers(speech(read(data / name), detector), DiarizeOptions())
    assert {turn.speaker for turn in turns} == {0}


def test_one_person_on_several_recordings_is_one_speaker(data: Path, spectral: Any, detector: Any) -> None:
    files = ("a04.wav", "a06.mp3", "a16.m4a", "a05.flac", "a27.wav")
    sound, _ = one_after_the_other(*[read(data / name) for name in files])
    assert {turn.speaker for turn in spectral.speakers(speech(sound, detector), DiarizeOptions())} == {0}


def test_silence_has_no_speaker(data: Path, spectral: Any, detector: Any) -> None:
    silence = np.zeros(5 * RATE, np.float32)
    assert spectral.speakers(speech(silence, detector), DiarizeOptions()) == ()


def test_the_number_of_speakers_can_be_given(spectral: Any, detector: Any) -> None:
    sound = read(SAMPLES / "dialogue.flac")
    turns = spectral.speakers(speech(sound, detector), DiarizeOptions(min_speakers=2, max_speakers=2))
    # The two voices of the sample are nearly one: their number has to be told, who is who has not.
    ends = [3.9, 6.1, 9.6, 12.5, 15.0, 18.9, 21.7]
    who = [mostly(turns, start, end) for start, end in itertools.pairwise([0.0, *ends])]
    assert [speaker for speaker, _ in who] == [who[0][0], who[1][0]] * 3 + [who[0][0]]
    assert who[0][0] != who[1][0]
    assert all(share > 0.9 for _, share in who)
    one = spectral.speakers(speech(sound, detector), DiarizeOptions(max_speakers=1))
    assert {turn.speaker for turn in one} == {0}


def test_a_border_is_found_inside_an_utterance(data: Path, spectral: Any, detector: Any) -> None:
    first, second = read(data / "a04.wav")[: int(5.2 * RATE)], read(data / "a01.wav")[RATE // 2 : RATE * 5]
    turns = spectral.speakers(
        iter([Window(Audio(np.concatenate([first, second]).astype(np.float32), RATE), 10.0)]),
        DiarizeOptions(min_speakers=2, max_speakers=2),
    )
    assert mostly(turns, 10.0, 15.2)[0] != mostly(turns, 15.2, 19.7)[0]
    (border,) = [one.end for one, other in itertools.pairwise(turns) if one.speaker != other.speaker]
    assert border == pytest.approx(15.2, abs=0.5)


def test_a_recording_of_many_pieces_is_clustered_in_blocks(
    data: Path, spectral: Any, detector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmcli.engines.diarize import bic

    sound, spans = one_after_the_other(
        *[read(data / name) for name in ("a04.wav", "a01.wav", "a05.flac", "a44.wav", "a27.wav")]
    )
    whole = spectral.speakers(speech(sound, detector), DiarizeOptions())
    monkeypatch.setattr(bic, "_BLOCK", 5)
    blocks = spectral.speakers(speech(sound, detector), DiarizeOptions())
    assert len({turn.speaker for turn in blocks}) == 3
    assert [mostly(blocks, *span)[0] for span in spans] == [mostly(whole, *span)[0] for span in spans]


def test_the_pitch_of_a_tone_is_its_frequency_and_noise_has_none() -> None:
    seconds = np.arange(RATE) / RATE
    for hertz in (80.0, 123.0, 220.0, 330.0):
        # With overtones, as a voice has them.
        tone = sum(np.sin(2 * np.pi * hertz * order * seconds) / order for order in range(1, 8))
        _, pitch = features((0.2 * tone).astype(np.float32))
        assert 2 ** np.nanmedian(pitch) == pytest.approx(hertz, rel=0.02)
        assert np.isnan(pitch).mean() < 0.1
    _, pitch = features(np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32))
    assert np.isnan(pitch).mean() > 0.9


def test_features_of_less_than_a_frame_are_none() -> None:
    mfcc, pitch = features(np.zeros(100, np.float32))
    assert len(mfcc) == len(pitch) == 0
