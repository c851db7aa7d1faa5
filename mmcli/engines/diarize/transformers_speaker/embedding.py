"""X-vectors of short windows, clustered: Snyder and others, "X-vectors: robust DNN embeddings for speaker recognition", 2018."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli.engines.diarize.clustering import cluster
from mmcli.stages import SpeakerTurn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mmcli.options import DiarizeOptions
    from mmcli.stages import Window

_LENGTH_S, _HOP_S = 1.5, 0.75
_LEAST_S = 0.5
"""The layers of some models need as much to give a frame at all."""
_BATCH = 16


class Embeddings:
    """One model; `threshold` is the cosine distance from which voices are two, None where only the data can tell."""

    def __init__(self, model: Any, extractor: Any, rate: int, threshold: float | None) -> None:
        self._model = model
        self._extractor = extractor
        self._rate = rate
        self._threshold = threshold

    def turns(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        """Speech is cut into windows of 1.5 s every 0.75 s; borders lie in the middle of what two windows share."""
        vectors: list[NDArray[np.float32]] = []
        spans: list[tuple[int, float, float]] = []
        for number, window in enumerate(windows):
            pieces, times = self._pieces(window)
            spans += [(number, start, end) for start, end in times]
            vectors += [self.embed(pieces[first : first + _BATCH]) for first in range(0, len(pieces), _BATCH)]
        if not vectors:
            return ()
        labels = cluster(np.concatenate(vectors), options.min_speakers, options.max_speakers, self._threshold)
        turns: list[SpeakerTurn] = []
        runs = groupby(zip(spans, labels, strict=True), key=lambda each: (each[0][0], int(each[1])))
        for (_, speaker), run in runs:
            parts = [span for span, _ in run]
            turns.append(SpeakerTurn(parts[0][1], parts[-1][2], speaker))
        return tuple(turns)

    def embed(self, pieces: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """One vector [d] for each sound; all of one length, so that nothing is padded."""
        given = self._extractor(pieces, sampling_rate=self._rate, return_tensors="pt", padding=True)
        model = self._model
        placed = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in given.items()
        }
        found: NDArray[np.float32] = model(**placed).embeddings.float().cpu().numpy()
        return found

    def _pieces(self, window: Window) -> tuple[list[NDArray[np.float32]], list[tuple[float, float]]]:
        """Sounds of one length, the last one up to the end, and the part of the time that each stands for."""
        samples, length, hop = window.audio.samples, round(_LENGTH_S * self._rate), round(_HOP_S * self._rate)
        if len(samples) <= length:
            lacking = max(0, round(_LEAST_S * self._rate) - len(samples))
            return [np.pad(samples, (0, lacking))], [(window.start, window.start + window.audio.seconds)]
        starts = [*range(0, len(samples) - length, hop), len(samples) - length]
        borders = [(one + length + other) / 2 for one, other in pairwise(starts)]
        edges = [window.start + place / self._rate for place in (0, *borders, len(samples))]
        return [samples[start : start + length] for start in starts], list(pairwise(edges))
