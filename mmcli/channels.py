"""Recordings in which each speaker has a channel: whether one is such, who speaks when, and each channel by itself.

What is measured: in which frames the detector hears speech in which channel, and how loud it is there. Where two channels
hold speech at once, their levels rise and fall together if it is the same voice, which has leaked from the louder one into
the other, and by themselves if two people talk at once.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from contextlib import closing
from itertools import permutations, takewhile
from typing import TYPE_CHECKING

import numpy as np

from mmcli.stages import Audio, AudioSource, SpeakerTurn
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from mmcli.options import VadOptions
    from mmcli.stages import VoiceDetector

    Flags = NDArray[np.bool_]

_LEAK_DB = 3.0
"""A leaked voice is that much louder in its own channel."""
_ALIKE = 0.5
"""Correlation of the levels in dB of two channels from which they hold the same voice."""
_BOTH_S = 1.0
"""Shorter speech at once says nothing about that."""
_LEVEL_S = 0.5
"""Over which levels are averaged, about a word."""
_DISJOINT = 0.8
"""Of the time in which anybody speaks: when one channel alone speaks so much of it, channels are speakers."""
_OWN_S = 0.8
"""What each of at least two channels has to speak."""
_SILENT_DB = -100.0
_PAUSE_S = 0.6
"""Shorter ones stay within a turn."""
_SHORTEST_S = 0.1
_PAD_S = 0.25
"""Heard before and after a turn, where words begin and end softly."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """In which frames of the detector each channel's own speaker speaks [channels, frames]; whether voices leak."""

    own: Flags
    leaks: bool
    rate: float
    """Frames a second."""


def activity(sources: Sequence[AudioSource], detector: VoiceDetector, options: VadOptions) -> Activity:
    """Each channel decoded once, in constant memory but for two numbers a frame."""
    measured = [_measured(source, detector, options) for source in sources]
    frames = max(len(speech) for speech, _ in measured)
    speech = np.stack([np.pad(speech, (0, frames - len(speech))) for speech, _ in measured])
    levels = np.stack([np.pad(level, (0, frames - len(level)), constant_values=_SILENT_DB) for _, level in measured])
    rate = detector.rate / detector.frame
    width = round(_LEVEL_S * rate) | 1
    smooth = np.stack([_smoothed(level, width) for level in levels])
    own, leaks = speech.copy(), False
    for one, other in permutations(range(len(sources)), 2):
        both = speech[one] & speech[other]
        quieter = both & (smooth[one] < smooth[other] - _LEAK_DB)
        near = both & (np.abs(smooth[one] - smooth[other]) <= _LEAK_DB)
        if _alike(levels[one][quieter], levels[other][quieter], rate):
            own[one] &= ~quieter
            leaks = True
        leaks = leaks or _alike(levels[one][near], levels[other][near], rate)
    return Activity(own, leaks, rate)


def _alike(one: NDArray[np.float64], other: NDArray[np.float64], rate: float) -> bool:
    """Whether levels rise and fall together, in speech of some length."""
    if len(one) < _BOTH_S * rate:
        return False
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float(one @ other) > _ALIKE * size


def _smoothed(level: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Of levels in dB, that of the mean power over `width` frames around each."""
    power = np.pad(10 ** (level / 10), width // 2)
    return 10 * np.log10(np.convolve(power, np.ones(width) / width, mode="valid") + 10 ** (_SILENT_DB / 10))


def _measured(source: AudioSource, detector: VoiceDetector, options: VadOptions) -> tuple[Flags, NDArray[np.float64]]:
    """Of each frame, whether it is speech, and its level in dB."""
    powers: list[NDArray[np.float64]] = []
    rest = np.zeros(0, np.float32)

    def listened(blocks: Iterable[Audio]) -> Iterator[Audio]:
        nonlocal rest
        for block in blocks:
            samples = np.concatenate([rest, block.samples])
            whole = len(samples) // detector.frame * detector.frame
            rest = samples[whole:]
            powers.append(np.square(samples[:whole], dtype=np.float64).reshape(-1, detector.frame).mean(axis=1))
            yield block

    blocks = closable(source.blocks(detector.rate))
    with closing(blocks), closing(closable(detector.probabilities(listened(blocks)))) as probabilities:
        speech = np.fromiter((value >= options.threshold for value in probabilities), bool)
    power = np.concatenate(powers)[: len(speech)] if powers else np.zeros(0)
    return speech, 10 * np.log10(power + 10 ** (_SILENT_DB / 10))


def are_speakers(spoken: Activity) -> bool:
    """Whether at least two channels have speech of their own and share no voice, or mostly one alone speaks."""
    count = spoken.own.sum(axis=0)
    enough = spoken.own.sum(axis=1) >= _OWN_S * spoken.rate
    apart = not spoken.leaks or (count == 1).sum() >= _DISJOINT * (count > 0).sum()
    return bool(enough.sum() >= 2 and apart)


def turns(spoken: Activity) -> list[list[SpeakerTurn]]:
    """The turns of each channel, pauses bridged, bursts left out."""
    second = spoken.rate
    return [
        [
            SpeakerTurn(first / second, last / second, number)
            for first, last in _runs(row, round(_PAUSE_S * second))
            if last - first >= _SHORTEST_S * second
        ]
        for number, row in enumerate(spoken.own)
    ]


def _runs(row: Flags, pause: int) -> list[tuple[int, int]]:
    """First and behind the last of the frames that are true, with gaps of less than `pause` frames closed."""
    places = np.flatnonzero(row)
    if not len(places):
        return []
    gaps = np.flatnonzero(np.diff(places) > pause)
    firsts = [int(places[0]), *(int(places[gap + 1]) for gap in gaps)]
    lasts = [*(int(places[gap]) + 1 for gap in gaps), int(places[-1]) + 1]
    return list(zip(firsts, lasts, strict=True))


def gated(source: AudioSource, own: Sequence[SpeakerTurn]) -> AudioSource:
    """The same recording, silent outside the turns and a little around them."""

    def blocks(rate: int) -> Iterator[Audio]:
        begin = 0
        left = deque((round((turn.start - _PAD_S) * rate), round((turn.end + _PAD_S) * rate)) for turn in own)
        with closing(closable(source.blocks(rate))) as pieces:
            for piece in pieces:
                heard = np.zeros(len(piece.samples), bool)
                while left and left[0][1] <= begin:
                    left.popleft()
                for first, last in takewhile(lambda turn: turn[0] < begin + len(heard), left):  # noqa: B023
                    heard[max(0, first - begin) : last - begin] = True
                begin += len(heard)
                yield Audio(np.where(heard, piece.samples, np.float32(0.0)), rate)

    return dataclasses.replace(source, blocks=blocks, blocks16=None, channels=())
