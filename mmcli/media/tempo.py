"""Speech faster or slower at the same pitch."""

from __future__ import annotations

from fractions import Fraction

import av.filter
import numpy as np

from mmcli.stages import Audio


def at_tempo(audio: Audio, factor: float) -> Audio:
    """The same sound `factor` times as fast (0.5 to 2), by overlap and add (libav's atempo)."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=audio.rate, format="flt", layout="mono", time_base=Fraction(1, audio.rate))
    tempo, sink = graph.add("atempo", f"{factor:.6f}"), graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(audio.samples, np.float32)[None], format="flt", layout="mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = audio.rate, 0, Fraction(1, audio.rate)
    pieces = []
    for given in (frame, None):
        graph.push(given)
        while True:
            try:
                pieces.append(graph.pull().to_ndarray()[0])
            except (av.BlockingIOError, av.EOFError):
                break
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return Audio(np.clip(samples, -1.0, 1.0).astype(np.float32), audio.rate)
