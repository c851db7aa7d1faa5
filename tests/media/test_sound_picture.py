"""Pictures of sound, of the tempo of speech, and samples of voices: held against what is known of the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile

from mmcli.errors import InputError, UsageError
from mmcli.media import sound_picture
from mmcli.media.sound_picture import SoundPicture
from mmcli.media.tempo import at_tempo
from mmcli.media.voice_samples import check_voice_sample
from mmcli.stages import Audio


def tone(hertz: float, seconds: float, rate: int = 22050) -> Audio:
    return Audio((0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32), rate)


def brightest_row(path: Path, share: float) -> int:
    """The row of the spectrogram that is brightest at that share of the time."""
    pixels = np.asarray(PIL.Image.open(path).convert("L"), np.float32)
    left, right = sound_picture._LEFT, sound_picture._SIZE[0] - sound_picture._RIGHT
    top = sound_picture._TOP + sound_picture._WAVE + sound_picture._GAP
    return int(np.argmax(pixels[top + 2 : top + sound_picture._MEL - 2, round(left + share * (right - left))]))


def test_a_picture_shows_which_frequencies_sound_when(tmp_path: Path) -> None:
    picture = SoundPicture()
    for block in (tone(300, 1.0), tone(3000, 1.0)):
        for start in range(0, 22050, 1000):
            picture.add(Audio(block.samples[start : start + 1000], block.rate))
    picture.draw(tmp_path / "a.png", "two tones")
    assert picture.seconds == pytest.approx(2.0)
    size = sound_picture._MEL
    for share, hertz in ((0.25, 300), (0.75, 3000)):
        expected = size * (1 - sound_picture._mel(hertz) / sound_picture._mel(11025))
        assert brightest_row(tmp_path / "a.png", share) == pytest.approx(expected, abs=size / 40)


def test_a_long_sound_keeps_few_columns_and_its_time(tmp_path: Path) -> None:
    picture = SoundPicture()
    low, high = tone(200, 20.0, 8000), tone(2000, 20.0, 8000)
    for number in range(6):
        picture.add(low if number < 3 else high)
    assert len(picture._columns) < sound_picture._COLUMNS
    assert picture._hops > 1
    picture.draw(tmp_path / "a.png", "long")
    assert brightest_row(tmp_path / "a.png", 0.45) > brightest_row(tmp_path / "a.png", 0.55) + 50


def test_a_picture_needs_a_pictures_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.png"):
        SoundPicture().draw(tmp_path / "a.txt", "x")


@pytest.mark.parametrize("factor", [1.1, 1.5, 2.0])
def test_a_tempo_changes_the_length_and_not_the_pitch(factor: float) -> None:
    changed = at_tempo(tone(440, 2.0), factor)
    assert changed.seconds == pytest.approx(2.0 / factor, abs=0.02)
    spectrum = np.abs(np.fft.rfft(changed.samples))
    assert np.argmax(spectrum) / changed.seconds == pytest.approx(440, abs=8)


@pytest.mark.parametrize(
    "seconds, level, words", [(0.1, 0.5, "too short"), (3600.0, 0.5, "too long"), (10.0, 0.0, "is silent")]
)
def test_a_sample_of_a_voice_that_is_none_is_one_line(tmp_path: Path, seconds: float, level: float, words: str) -> None:
    path = tmp_path / "voice.wav"
    soundfile.write(path, np.full(int(seconds * 8000), level, np.float32), 8000)
    with pytest.raises(InputError, match=words) as raised:
        check_voice_sample(path)
    assert "\n" not in str(raised.value)


def test_a_real_voice_is_a_sample() -> None:
    check_voice_sample(Path(__file__).parent.parent.parent / "samples" / "question-receipt.flac")
