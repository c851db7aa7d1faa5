"""--pitch of models that predict one: FastPitch (Łańcucki 2021, arXiv:2006.06873) and FastSpeech 2 (arXiv:2006.04558).

The library has no means for it. Its networks predict the F0 of each sign as (hertz - mean) / deviation over the voiced frames
of the training data; what they predict is changed as if its hertz were multiplied, before it becomes part of what is spoken.
Far from 1, a model speaks as it never heard anybody speak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcli.engines.tts.coqui import facts
from mmcli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from mmcli.catalogue import ModelCard

_STATISTICS = "pitch_stats.npy"
# Mean over deviation where that file, which training leaves, is not beside the weights: about what LJSpeech has.
_USUAL = 3.3
_LEAST, _MOST = 0.5, 2.0


class Pitch:
    """What stands between a model's pitch predictor and what it embeds. `factor` 1 changes nothing."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self.factor = 1.0

    def __call__(self, predictor: Any, given: Any, predicted: torch.Tensor) -> torch.Tensor | None:
        """A forward hook: normalised F0 [1, 1, signs]."""
        return None if self.factor == 1.0 else predicted * self.factor + (self.factor - 1.0) * self._ratio


def check(pitch: float) -> None:
    """UsageError for a pitch that no voice has."""
    if not _LEAST <= pitch <= _MOST:
        raise UsageError(f"the pitch goes from {_LEAST:g} to {_MOST:g}, not {pitch:g}")


def of_model(card: ModelCard, folder: Path, model: Any) -> Pitch | None:
    """Hooked into the model; None where it predicts no pitch. EngineError for statistics that are damaged."""
    if not getattr(model, "use_pitch", False):
        return None
    ratio = _USUAL
    if (folder / _STATISTICS).is_file():
        try:
            table = facts.read_table(folder / _STATISTICS)
            mean, deviation = float(table["mean"]), float(table["std"])
            if not (0 < mean < 2000 and 0 < deviation < 2000):
                raise ValueError(f"a mean of {mean:g} Hz and a deviation of {deviation:g} Hz")
            ratio = mean / deviation
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise facts.damaged(card, folder, f"{_STATISTICS}: {error}") from error
    pitch = Pitch(ratio)
    model.pitch_predictor.register_forward_hook(pitch)
    return pitch
