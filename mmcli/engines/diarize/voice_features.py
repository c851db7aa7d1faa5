"""What a voice sounds like, frame by frame, with numpy alone: the shape of its spectrum and its pitch.

MFCC as in Davis and Mermelstein, 1980; pitch is the highest peak of the normalised autocorrelation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.fft import irfft, rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16000
HOP = 160
"""Samples from frame to frame: 10 ms."""
COEFFICIENTS = 19
_WINDOW, _FFT = 400, 512
_BANDS, _LOWEST_HZ, _HIGHEST_HZ = 40, 100.0, 7600.0
_PREEMPHASIS = 0.97
# Pitch is looked for in these Hz, in frames long enough for two periods of the lowest voice.
_PITCH_HZ = (65.0, 400.0)
_PITCH_WINDOW = 640
_VOICED = 0.5
"""Of a perfect repetition, from which a frame counts as voiced."""
_QUIET_DB = 35.0
"""Frames that much below the loud ones of their window say nothing about the voice."""


def features(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of a sound [n] at RATE: MFCC [frames, COEFFICIENTS] without the level, and log2 of the pitch in Hz [frames].

    Both are NaN in frames that are too quiet, the pitch also where the voice has none.
    """
    frames = _frames(samples, _WINDOW)
    if not len(frames):
        return np.empty((0, COEFFICIENTS)), np.empty(0)
    emphasised = frames[:, 1:] - _PREEMPHASIS * frames[:, :-1]
    power = np.square(np.abs(rfft(emphasised * np.hamming(_WINDOW - 1), _FFT, axis=1)))
    bands = np.log(power @ _mel_bands() + 1e-10)
    mfcc = bands @ _cosines()
    level = 10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-10)
    quiet = level < np.percentile(level, 95) - _QUIET_DB
    mfcc[quiet] = np.nan
    pitch = _pitch(_frames(samples, _PITCH_WINDOW))[: len(mfcc)]
    pitch[quiet[: len(pitch)]] = np.nan
    return mfcc, np.pad(pitch, (0, len(mfcc) - len(pitch)), constant_values=np.nan)


def _frames(samples: NDArray[np.float32], length: int) -> NDArray[np.float64]:
    if len(samples) < length:
        return np.empty((0, length))
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::HOP].astype(np.float64)


@lru_cache(maxsize=1)
def _mel_bands() -> NDArray[np.float64]:
    """Triangles of equal width on the mel scale: [frequencies, bands]."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    mel = np.linspace(lowest, highest, _BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.linspace(0, RATE / 2, _FFT // 2 + 1)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    bands: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return bands


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """The orthonormal DCT-II without its first term, the level: [bands, coefficients]."""
    order = np.arange(1, COEFFICIENTS + 1)
    place = (np.arange(_BANDS)[:, None] + 0.5) / _BANDS
    cosines: NDArray[np.float64] = np.sqrt(2 / _BANDS) * np.cos(np.pi * place * order)
    return cosines


def _pitch(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """log2 of the pitch in Hz, NaN where a frame does not repeat itself."""
    if not len(frames):
        return np.empty(0)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(frames.shape[1])
    size = 2 * frames.shape[1]
    shortest, longest = round(RATE / _PITCH_HZ[1]), round(RATE / _PITCH_HZ[0])
    repeated = irfft(np.square(np.abs(rfft(frames, size, axis=1))), size, axis=1)[:, : longest + 1]
    # The window's own autocorrelation is taken out, so that long periods are not at a disadvantage.
    window = np.hanning(frames.shape[1])
    own = irfft(np.square(np.abs(rfft(window, size))), size)[: longest + 1]
    repeated = repeated / (own / own[0]) / (repeated[:, :1] + 1e-10)
    lags = repeated[:, shortest:]
    best = lags.argmax(axis=1)
    # An octave too low is the usual mistake: the shortest period that is nearly as good is the right one.
    good = lags >= 0.9 * lags.max(axis=1, keepdims=True)
    rise = np.diff(lags, axis=1, prepend=-np.inf) > 0
    fall = np.diff(lags, axis=1, append=-np.inf) < 0
    peaks = good & rise & fall
    best = np.where(peaks.any(axis=1), peaks.argmax(axis=1), best)
    strength = np.take_along_axis(lags, best[:, None], 1)[:, 0]
    return np.where(strength > _VOICED, np.log2(RATE / (best + shortest)), np.nan)
