"""The sentences of the micro Whisper, spoken by espeak-ng, and windows of sound that hold some of them.

Training and tests make their sound here, from different random draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmcli.catalogue import ModelCard
from mmcli.engines.tts.espeak import Espeak
from mmcli.media.resampling import resample
from mmcli.options import SpeakOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RATE = 16000

SENTENCES = {
    "en": (
        "What is the weather like in Berlin today?",
        "Please turn off the lights in the kitchen.",
        "How many red circles are in this picture?",
        "Set a timer for twenty-five minutes.",
        "Read me the first page of the document.",
        "Thank you very much, that is all.",
        "My number is five five five, zero one two three.",
        "The train leaves at half past seven.",
    ),
    "de": (
        "Wie spät ist es jetzt in London?",
        "Bitte mach das Fenster im Bad zu.",
        "Was steht auf dem gelben Schild dort?",
        "Ich hätte gern eine Tasse Kaffee mit Milch.",
    ),
}
VOICES = {
    "en": ("en-us", "en-gb", "en-us+f2", "en-gb+f4", "en-us+m3", "en-gb+m7"),
    "de": ("de", "de+f2", "de+f4", "de+m3", "de+m7"),
}
# A multiple of the voice's own pace and pitch; at these paces the sentences take 1.1 to 4.5 s.
SPEEDS = 0.75, 1.15
PITCHES = 0.85, 1.2
# Full scale is 1; the noise is that of a quiet to a busy room beside speech at half of full scale.
GAINS = 0.08, 0.9
SIGNAL_TO_NOISE_DB = 15.0, 45.0


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A sentence spoken once: float32 samples [n] at 16 kHz with a peak of 1 and without silence around them."""

    text: str
    language: str
    samples: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Sound at 16 kHz, and the clips in it, each with its start in seconds."""

    samples: NDArray[np.float32]
    spoken: tuple[tuple[float, Clip], ...]


def engine() -> Espeak:
    return Espeak(ModelCard(name="espeak", role="tts", engine="espeak", source="embedded:"))


def say(espeak: Espeak, text: str, language: str, rng: np.random.Generator) -> Clip:
    """The sentence with a voice, pace and pitch drawn at random."""
    options = SpeakOptions(
        voice=str(rng.choice(VOICES[language])), speed=rng.uniform(*SPEEDS), pitch=rng.uniform(*PITCHES)
    )
    blocks = [block.samples for block in resample(espeak.speak([text], options), RATE)]
    samples = np.concatenate(blocks)
    samples = samples / np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return Clip(text, language, samples[loud[0] : loud[-1] + 1])


def noise(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """White or brownish noise of unit power, or silence."""
    kind = rng.choice(("none", "white", "brown"))
    if kind == "none":
        return np.zeros(count, np.float32)
    white = rng.standard_normal(count + 64, np.float32)
    if kind == "brown":
        white = np.convolve(white, np.exp(-np.arange(64, dtype=np.float32) / 12))[: count + 64]
    noisy: NDArray[np.float32] = (white / white.std())[:count]
    return noisy


def scene(clips: Sequence[Clip], gaps: Sequence[float], rng: np.random.Generator) -> Scene:
    """The clips one after the other: `gaps` are the seconds before each of them and after the last.

    Loudness and noise are drawn at random; every clip keeps the loudness of the scene.
    """
    pieces, spoken, at = [], [], 0.0
    for gap, clip in zip(gaps, clips, strict=False):
        pieces += [np.zeros(round(gap * RATE), np.float32), clip.samples]
        spoken.append((at + gap, clip))
        at += gap + clip.seconds
    pieces.append(np.zeros(round(gaps[-1] * RATE), np.float32))
    samples = np.concatenate(pieces)
    # Speech with a peak of 1 has a power of about 0.2 squared.
    ratio = 10 ** (-rng.uniform(*SIGNAL_TO_NOISE_DB) / 20)
    mixed = samples + np.float32(0.2 * ratio) * noise(len(samples), rng)
    level = np.exp(rng.uniform(*np.log(GAINS)))
    return Scene(np.float32(level) * np.clip(mixed, -1.1, 1.1), tuple(spoken))
