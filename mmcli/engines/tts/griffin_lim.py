"""Spectrograms as sound without any trained vocoder: the phases are found by iteration (Griffin and Lim, 1984).

With the momentum of Perraudin et al. (2013). It understands every model's spectrograms and sounds hollow.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import librosa
import numpy as np
import scipy.signal

from mmcli.engines.options import check_settings
from mmcli.errors import ConfigError
from mmcli.mel import energies, filters
from mmcli.stages import Audio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.mel import Mel, MelFacts

# `sharpness` is an exponent on the magnitudes, which averaging in training has made flat; 1.5 is the field's custom.
_SETTINGS = {"iterations": 60.0, "momentum": 0.99, "sharpness": 1.5}
_SEED = 0


class GriffinLim:
    """Settings: iterations, momentum, sharpness. The same spectrogram always gives the same sound."""

    facts = None

    def __init__(self, card: ModelCard) -> None:
        """ConfigError for a setting that is unknown or no number in its range."""
        check_settings(card, _SETTINGS)
        for key, value in card.settings.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:
                raise ConfigError(
                    f"{card.origin}: [models.{card.name}] {key} is a number from 0 to 1000, not {value!r}"
                )
        settings = {**_SETTINGS, **card.settings}
        self._iterations = int(settings["iterations"])
        self._momentum = float(settings["momentum"])
        self._sharpness = float(settings["sharpness"])

    def vocode(self, mel: Mel) -> Audio:
        """Sound of (frames - 1) * hop samples, which may go beyond -1..1."""
        facts = mel.facts
        magnitudes = np.maximum(1e-10, _inverse(facts) @ energies(mel)) ** (self._sharpness / facts.power)
        samples = librosa.griffinlim(
            magnitudes,
            n_iter=self._iterations,
            n_fft=facts.n_fft,
            hop_length=facts.hop,
            win_length=facts.win,
            momentum=self._momentum,
            pad_mode="reflect",
            random_state=np.random.RandomState(_SEED),
        )
        if facts.preemphasis:
            samples = scipy.signal.lfilter([1], [1, -facts.preemphasis], samples)
        return Audio(samples.astype(np.float32), facts.rate)


@functools.lru_cache(maxsize=8)
def _inverse(facts: MelFacts) -> NDArray[np.floating]:
    """From bands to frequencies: [n_fft / 2 + 1, n_mels]."""
    inverse: NDArray[np.floating] = np.linalg.pinv(filters(facts))
    return inverse
