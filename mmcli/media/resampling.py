"""The rate of a stream of sound changed, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np

from mmcli.stages import Audio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def resample(blocks: Iterable[Audio], rate: int) -> Iterator[Audio]:
    """The same sound at `rate` Hz, the filter's state carried from block to block; samples stay in -1..1.

    A stream whose own rate changes is one stream still. Blocks without samples are left out.
    """
    resampler: Any = None
    source_rate = rate
    for block in blocks:
        if block.rate != source_rate:
            yield from _converted(resampler, None, rate)
            source_rate = block.rate
            resampler = None if source_rate == rate else av.AudioResampler(format="flt", layout="mono", rate=rate)
        if not len(block.samples):
            continue
        if resampler is None:
            yield block
        else:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block.samples, np.float32)[None], format="flt", layout="mono"
            )
            frame.sample_rate = source_rate
            yield from _converted(resampler, frame, rate)
    yield from _converted(resampler, None, rate)


def _converted(resampler: Any, frame: Any, rate: int) -> Iterator[Audio]:
    """What a resampler gives for a frame, or for the end (None)."""
    if resampler is None:
        return
    pieces = [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if len(samples):
        yield Audio(np.clip(samples, -1.0, 1.0), rate)
