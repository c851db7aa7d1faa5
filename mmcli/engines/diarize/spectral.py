"""Who speaks, by the colour and pitch of the voices alone: rough, small, and always there.

Pieces of three seconds are joined by BIC (bic.py) into as many speakers as the criterion finds; then the borders between
speakers are set anew where the frames themselves say so (Viterbi over the speakers' Gaussians).
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from mmcli.engines.diarize import bic
from mmcli.engines.diarize.voice_features import COEFFICIENTS, HOP, RATE, features
from mmcli.engines.options import check_settings
from mmcli.stages import SpeakerTurn
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.options import DiarizeOptions
    from mmcli.stages import Window

_LOG = logging.getLogger(__name__)
_PIECE_S = 3.0
_LEAST_FRAMES = 20
"""Fewer loud frames say nothing about a voice."""
_STEP = 25
"""Frames that keep one speaker when borders are set anew."""
_ROUNDS = 3
"""Borders are set and voices learnt from what lies between them in turn."""
_SWITCH = 10.0
"""What another speaker has to gain in log-likelihood, of which one frame in five counts as frames overlap and are alike."""
_INDEPENDENT = 0.2


class Spectral:
    """Two to a handful of clearly different voices; alike voices become one speaker."""

    rate = RATE

    def __init__(self, card: ModelCard) -> None:
        """ConfigError for a setting, as there are none."""
        self._told = False
        check_settings(card)

    def speakers(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        """Turns in order of time. It keeps 8 kB for each second of speech."""
        starts: list[float] = []
        ends: list[float] = []
        heard: list[NDArray[np.float32]] = []
        pieces: list[bic.Sums] = []
        with closing(closable(windows)) as source:
            for window in source:
                mfcc, pitch = features(window.audio.samples)
                starts.append(window.start)
                ends.append(window.start + window.audio.seconds)
                heard.append(mfcc.astype(np.float32))
                count = max(1, round(window.audio.seconds / _PIECE_S))
                parts = zip(np.array_split(mfcc, count), np.array_split(pitch, count), strict=True)
                pieces += [bic.sums(*part) for part in parts]
        telling = [piece for piece in pieces if piece.count[0] >= _LEAST_FRAMES]
        if not telling:
            return tuple(SpeakerTurn(start, end, 0) for start, end in zip(starts, ends, strict=True))
        groups = bic.stacked(telling)
        if not self._told:
            self._told = True
            _LOG.warning(
                "voices are told apart roughly; `mmcli models list --role diarize` names better models, for --speaker-model"
            )
        labels = bic.cluster(groups, options.min_speakers, options.max_speakers)
        voices = _grouped(groups, labels)
        for _ in range(_ROUNDS):
            paths = [_path(mfcc32, bic.gaussians(voices)) for mfcc32 in heard]
            voices = _heard_again(heard, paths, voices)
        turns: list[SpeakerTurn] = []
        for start, end, path in zip(starts, ends, paths, strict=True):
            turns += _turns(start, end, path)
        return tuple(turns)


def _grouped(pieces: bic.Sums, labels: NDArray[np.intp]) -> bic.Sums:
    return bic.stacked([bic.total(pieces[np.flatnonzero(labels == label)]) for label in range(labels.max() + 1)])


def _heard_again(heard: list[NDArray[np.float32]], paths: list[NDArray[np.intp]], voices: bic.Sums) -> bic.Sums:
    """The voices as the frames say that the paths give them; one that lost all its frames stays as it was."""
    found = [voices[slice(number, number + 1)] for number in range(len(voices))]
    parts: list[list[bic.Sums]] = [[] for _ in found]
    for mfcc, path in zip(heard, paths, strict=True):
        owner = np.repeat(path, _STEP)[: len(mfcc)]
        for number in np.unique(owner):
            own = mfcc[owner == number].astype(np.float64)
            parts[number].append(bic.sums(own, np.empty(0)))
    for number, own_parts in enumerate(parts):
        if sum(part.count[0] for part in own_parts) >= _LEAST_FRAMES:
            found[number] = bic.total(bic.stacked(own_parts))
    return bic.stacked(found)


def _path(mfcc: NDArray[np.float32], voices: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.intp]:
    """The likeliest speaker of each step of a window [steps], changing seldom."""
    likelihoods = _likelihoods(mfcc, voices)
    score = likelihoods[0]
    came: list[NDArray[np.intp]] = []
    for row in likelihoods[1:]:
        best = int(score.argmax())
        stay = score >= score[best] - _SWITCH
        came.append(np.where(stay, np.arange(len(score)), best))
        score = np.where(stay, score, score[best] - _SWITCH) + row
    path = [int(score.argmax())]
    for before in reversed(came):
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])


def _likelihoods(
    mfcc: NDArray[np.float32], voices: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """log p of each step under each speaker, [steps, speakers]; quiet frames say nothing."""
    means, covariances = voices
    steps = max(1, -(-len(mfcc) // _STEP))
    padded = np.full((steps * _STEP, COEFFICIENTS), np.nan)
    padded[: len(mfcc)] = mfcc
    columns = []
    for mean, covariance in zip(means, covariances, strict=True):
        root = np.linalg.cholesky(covariance)
        away = np.linalg.solve(root, (padded - mean).T)
        columns.append(-0.5 * np.square(away).sum(axis=0) - np.log(np.diag(root)).sum())
    frames = np.nan_to_num(np.stack(columns, axis=1), nan=0.0)
    summed: NDArray[np.float64] = _INDEPENDENT * frames.reshape(steps, _STEP, -1).sum(axis=1)
    return summed


def _turns(start: float, end: float, path: NDArray[np.intp]) -> list[SpeakerTurn]:
    """The runs of one speaker in a window that lasts from `start` to `end`."""
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1), len(path)]
    times = [start + edge * _STEP * HOP / RATE for edge in edges]
    times[-1] = end
    return [
        SpeakerTurn(first, last, int(path[edge]))
        for first, last, edge in zip(times[:-1], times[1:], edges[:-1], strict=True)
        if last > first
    ]
