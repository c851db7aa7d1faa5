"""Spectrograms: what decides whether two fit, exact conversion between normalisations, analysis of a real recording."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmcli.media.audio import open_audio
from mmcli.mel import Mel, MelFacts, analyse, converted, differences, energies

FACTS = MelFacts(rate=22050, n_fft=1024, hop=256, win=1024, n_mels=80, fmin=0.0, fmax=8000.0)
OTHERS = {
    "log10": dataclasses.replace(FACTS, slope=1 / math.log(10)),
    "decibels": dataclasses.replace(FACTS, slope=20 / math.log(10), offset=-20.0),
    "a range": dataclasses.replace(FACTS, slope=0.7, offset=3.1, low=-40.0, high=40.0),
    "mean and variance": dataclasses.replace(
        FACTS, slope=tuple(np.linspace(0.3, 0.9, 80)), offset=tuple(np.linspace(-2, 3, 80))
    ),
}


@pytest.fixture(scope="module")
def clip(data: Path) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in open_audio(data / "a04.wav").blocks(22050)])[:22050]


@pytest.mark.parametrize("name", OTHERS)
def test_a_spectrogram_comes_through_another_normalisation_unchanged(name: str, clip: NDArray[np.float32]) -> None:
    there = converted(analyse(clip, FACTS), OTHERS[name])
    np.testing.assert_allclose(there.values, analyse(clip, OTHERS[name]).values, atol=1e-4)
    np.testing.assert_allclose(converted(there, FACTS).values, analyse(clip, FACTS).values, atol=1e-4)


def test_values_beyond_what_the_vocoder_was_trained_on_are_held_at_its_limits(clip: NDArray[np.float32]) -> None:
    limited = dataclasses.replace(FACTS, slope=2.0, low=-4.0, high=1.0)
    values = converted(analyse(clip, FACTS), limited).values
    assert values.min() == -4.0
    assert values.max() == 1.0
    floor = dataclasses.replace(FACTS, slope=1 / math.log(10), floor=1e-5)
    silent = Mel(np.full((80, 3), -18.0, np.float32), FACTS)
    np.testing.assert_allclose(converted(silent, floor).values, -5.0, atol=1e-5)


def test_only_what_no_arithmetic_can_mend_is_a_difference() -> None:
    for other in OTHERS.values():
        assert differences(FACTS, other) == ()
    unlike = dataclasses.replace(FACTS, rate=16000, fmax=7600.0, htk=True)
    assert differences(FACTS, unlike) == ("rate is 22050 and 16000", "fmax is 8000 and 7600", "htk is 0 and 1")


def test_a_tone_lies_in_the_band_of_its_pitch() -> None:
    seconds = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)
    mel = analyse(tone, FACTS)
    assert mel.values.shape == (80, 1 + 22050 // 256)
    # Slaney's scale: 1000 Hz is 15 of the 45.2 mel up to 8000 Hz, and 80 bands have 81 distances.
    assert np.all(np.abs(energies(mel)[:, 5:-5].argmax(axis=0) - 26) <= 1)
