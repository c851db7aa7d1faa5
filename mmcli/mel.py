"""Mel spectrograms: what acoustic models hand to vocoders, whether two mean the same by one, and conversion between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MelFacts:
    """How mel spectrograms are made; `differences` tells whether two fit.

    A value is slope * ln(energy of a band) + offset, held within low..high. `slope` and `offset` are one number, or one
    for each band (mean and variance scaling). log10 is a slope of 1 / ln 10, decibels one of 20 / ln 10.
    """

    rate: int
    """Hertz of the sound."""
    n_fft: int
    hop: int
    win: int
    """Samples of the transform, between frames, and of the window."""
    n_mels: int
    fmin: float
    fmax: float
    """Hertz of the lowest and the highest band's edge."""
    power: float = 1.0
    """Of the magnitudes that the bands sum up: 1 for amplitudes, 2 for energies."""
    htk: bool = False
    """HTK's mel scale; else Slaney's."""
    area_norm: bool = True
    """Whether every band's filter has the same area."""
    preemphasis: float = 0.0
    floor: float = 1e-8
    """The least energy of a band; less counts as this much."""
    slope: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    low: float = -math.inf
    high: float = math.inf
    own_scale: bool = False
    """Whether slope and offset are not told, so that only what was trained together understands it."""


@dataclass(frozen=True, slots=True, eq=False)
class Mel:
    """A mel spectrogram: float32 [n_mels, frames]. Without frames where its text held nothing that can be spoken."""

    values: NDArray[np.float32]
    facts: MelFacts
    left_out: str = ""
    """The characters of its text that the model has no sign for."""


# All that no arithmetic on the values can mend; the rest is a scale, an offset and limits.
_DECIDING = ("rate", "n_fft", "hop", "win", "n_mels", "fmin", "fmax", "power", "htk", "area_norm", "preemphasis")
_OWN_SCALE = "the scale of its values is not told"


def differences(one: MelFacts, other: MelFacts | None) -> tuple[str, ...]:
    """Why the spectrograms of one are none for the other, as "fmax is 8000 and 7600"; empty where `converted` will do.

    None understands all whose scale is told.
    """
    if other is None:
        return (_OWN_SCALE,) if one.own_scale else ()
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in _DECIDING)
    unlike = tuple(f"{name} is {a:g} and {b:g}" for name, a, b in pairs if not math.isclose(a, b))
    return unlike if one.own_scale == other.own_scale else (*unlike, _OWN_SCALE)


def converted(mel: Mel, facts: MelFacts) -> Mel:
    """The same spectrogram in the normalisation of `facts`, which must differ in nothing else.

    Exact, but for what lies beyond the limits of either: a model that was trained on limited values gets limited ones.
    """
    import numpy as np

    source = mel.facts
    values: NDArray[np.floating] = np.clip(mel.values, source.low, source.high)
    if (source.slope, source.offset) != (facts.slope, facts.offset):
        logs = np.maximum((values - _column(source.offset)) / _column(source.slope), math.log(facts.floor))
        values = logs * _column(facts.slope) + _column(facts.offset)
    return Mel(np.clip(values, facts.low, facts.high).astype(np.float32), facts, mel.left_out)


def _column(value: float | tuple[float, ...]) -> NDArray[np.float64]:
    import numpy as np

    return np.array(value, np.float64, ndmin=1)[:, None]


def energies(mel: Mel) -> NDArray[np.float64]:
    """What the bands hold, without logarithm and normalisation: [n_mels, frames]."""
    import numpy as np

    values = np.clip(mel.values, mel.facts.low, mel.facts.high)
    energy: NDArray[np.float64] = np.exp((values - _column(mel.facts.offset)) / _column(mel.facts.slope))
    return energy


def filters(facts: MelFacts) -> NDArray[np.float64]:
    """The weights of the bands: [n_mels, n_fft / 2 + 1]."""
    import numpy as np
    from librosa.filters import mel as mel_filters

    bank: NDArray[np.float64] = mel_filters(
        sr=facts.rate,
        n_fft=facts.n_fft,
        n_mels=facts.n_mels,
        fmin=facts.fmin,
        fmax=facts.fmax,
        htk=facts.htk,
        norm="slaney" if facts.area_norm else None,
        dtype=np.float64,
    )
    return bank


def analyse(samples: NDArray[np.float32], facts: MelFacts) -> Mel:
    """The spectrogram of sound at the rate of the facts: 1 + samples / hop frames."""
    import librosa
    import numpy as np

    if facts.preemphasis:
        samples = np.append(samples[:1], samples[1:] - facts.preemphasis * samples[:-1])
    spectrum = librosa.stft(samples, n_fft=facts.n_fft, hop_length=facts.hop, win_length=facts.win, pad_mode="reflect")
    energy = filters(facts) @ (np.abs(spectrum) ** facts.power)
    logs = np.log(np.maximum(energy, facts.floor))
    values = np.clip(logs * _column(facts.slope) + _column(facts.offset), facts.low, facts.high)
    return Mel(values.astype(np.float32), facts)
