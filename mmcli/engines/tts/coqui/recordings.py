"""Recordings of a voice that a model takes over."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli.errors import InputError
from mmcli.media.audio import open_audio

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_S = 0.33


def recording(name: str, rate: int, longest_s: float) -> NDArray[np.float32]:
    """The first seconds of a recording at that rate. InputError for one that is shorter than a third of a second."""
    pieces: list[Any] = []
    count = 0
    with closing(open_audio(name).blocks(rate)) as blocks:  # type: ignore[type-var]
        for block in blocks:
            pieces.append(block.samples)
            count += len(block.samples)
            if count >= longest_s * rate:
                break
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if len(samples) < _LEAST_S * rate:
        raise InputError(name, "is too short to take a voice from", "three seconds or more are good")
    return samples[: int(longest_s * rate)]
