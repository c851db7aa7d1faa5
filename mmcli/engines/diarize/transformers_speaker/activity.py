"""Streaming Sortformer: for every 10 ms how likely each speaker speaks, chunk by chunk with a memory of the speakers.

Medennikov and others, "Streaming Sortformer: speaker cache-based online speaker diarization", 2025. The chunks are those
that the model takes when it is given a whole recording, so the result is the same and memory stays constant.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers.models.nemotron3_diarization.modeling_nemotron3_diarization import Nemotron3DiarizationSpeakerCache

from mmcli.stages import SpeakerTurn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from mmcli.options import DiarizeOptions
    from mmcli.stages import Window

_MODE = "recording"
_SILENCE_S = 1.0
"""Longer pauses between windows are shortened to this."""
_ACTIVE = 0.5


class Activity:
    """One model; it follows as many speakers at once as it has outputs, and cannot be told the least number."""

    def __init__(self, model: Any, processor: Any) -> None:
        config = model.config
        processor.streaming_modes = {
            **processor.streaming_modes,
            _MODE: (config.chunk_length, config.chunk_right_context),
        }
        processor.set_streaming_mode(_MODE)
        self._model = model
        self._processor = processor
        self._rate: int = processor.feature_extractor.sampling_rate

    def turns(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        """The likeliest speaker of each frame of speech; where none is likely, who spoke before."""
        placed: list[tuple[int, int, float]] = []
        found = [chunk.astype(np.float16) for chunk in self.probabilities(self._joined(windows, placed))]
        if not found:
            return ()
        chances = np.concatenate(found)
        if options.max_speakers is not None:
            rest = np.argsort(-chances.sum(axis=0, dtype=np.float64))[options.max_speakers :]
            chances[:, rest] = 0.0
        hop = self._processor.feature_extractor.hop_length
        turns: list[SpeakerTurn] = []
        for first, length, start in placed:
            speaker = _likeliest(chances[first // hop : -(-(first + length) // hop)])
            edges = [0, *(np.flatnonzero(np.diff(speaker)) + 1), len(speaker)] if len(speaker) else []
            for edge, next_edge in pairwise(edges):
                end = min(next_edge * hop, length) if next_edge < len(speaker) else length
                turns.append(SpeakerTurn(start + edge * hop / self._rate, start + end / self._rate, int(speaker[edge])))
        return tuple(turns)

    def _joined(self, windows: Iterable[Window], placed: list[tuple[int, int, float]]) -> Iterator[NDArray[np.float32]]:
        """The samples of the windows with short silence between; `placed` gets where each begins in them, its length in
        samples and its start in the source.
        """
        count = 0
        until: float | None = None
        for window in windows:
            pause = 0 if until is None else round(min(max(window.start - until, 0.0), _SILENCE_S) * self._rate)
            yield np.zeros(pause, np.float32)
            placed.append((count + pause, len(window.audio.samples), window.start))
            count += pause + len(window.audio.samples)
            until = window.start + window.audio.seconds
            yield window.audio.samples

    def probabilities(self, sound: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Of a stream of samples, [frames, speakers] for frames of 10 ms, in pieces."""
        processor, config = self._processor, self._model.config
        cache = Nemotron3DiarizationSpeakerCache(
            config.streaming_config,
            fifo_length=config.fifo_length,
            speaker_cache_update_period=config.speaker_cache_update_period,
        )
        held, held_from, frame = np.zeros(0, np.float32), 0, 0
        for samples in sound:
            held = np.concatenate([held, samples])
            while True:
                begin = 0 if frame == 0 else processor.audio_chunk_start(frame)
                size = processor.num_samples_first_audio_chunk if frame == 0 else processor.num_samples_per_audio_chunk
                if len(held) - (begin - held_from) <= size:
                    break
                given = self._features(held[begin - held_from : begin - held_from + size], first=frame == 0, last=False)
                yield self._chances(given, cache)
                frame += processor.num_mel_frames_per_step
                begin = processor.audio_chunk_start(frame)
                held, held_from = held[begin - held_from :], begin
        if not len(held):
            return
        given = self._features(held, first=frame == 0, last=True)
        step = config.chunk_length * processor.subsampling_factor
        if given["input_features"].shape[1] > step:
            left = -(-given["input_features"].shape[1] // processor.subsampling_factor) - config.chunk_length
            yield self._chances({**given, "num_lookahead_frames": left}, cache)
            given = {name: value[:, step:] for name, value in given.items()}
        yield self._chances(given, cache)

    def _features(self, samples: NDArray[np.float32], *, first: bool, last: bool) -> dict[str, Any]:
        return dict(
            self._processor(
                samples,
                sampling_rate=self._rate,
                is_streaming=True,
                is_first_audio_chunk=first,
                is_last_audio_chunk=last,
                return_tensors="pt",
            )
        )

    def _chances(self, given: dict[str, Any], cache: Any) -> NDArray[np.float32]:
        model = self._model
        features = given["input_features"].to(model.device, model.dtype)
        mask = given["attention_mask"].to(model.device)
        ahead = given.get("num_lookahead_frames")
        logits = model(features, attention_mask=mask, speaker_cache=cache, num_lookahead_frames=ahead).logits
        found: NDArray[np.float32] = logits[0].sigmoid().float().cpu().numpy()
        return found


def _likeliest(chances: NDArray[np.float16]) -> NDArray[np.intp]:
    """The speaker of each frame of a window; empty where the model hears nobody in it."""
    speaker = np.where(chances.max(axis=1, initial=0.0) > _ACTIVE, chances.argmax(axis=1), -1)
    heard = np.flatnonzero(speaker >= 0)
    if not len(heard):
        return heard
    # Who spoke last goes on, and who speaks first has begun with the window.
    before = np.maximum(np.searchsorted(heard, np.arange(len(speaker)), side="right") - 1, 0)
    kept: NDArray[np.intp] = speaker[heard[before]]
    return kept
