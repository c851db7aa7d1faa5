"""Kyutai's streaming speech-to-text: a text token for every 80 ms of sound, later than the sound by a fixed delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcli.engines.stt.transformers_stt.words import Token, segment_of, special_ids, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.engines.stt.transformers_stt.loading import Loaded
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Segment

_METASPACE = "▁"
# What the feature extractor appends, beyond the delay, so that the last words come out.
_TAIL_S = 1.0


def kyutai(
    loaded: Loaded, options: TranscribeOptions, language: str | None
) -> Callable[[list[NDArray[np.float32]]], list[list[Segment]]]:
    """What hears one recording with these options."""
    extractor = loaded.processor.feature_extractor
    frame = loaded.model.config.frame_size
    before_s, delay_s = extractor.audio_silence_prefix_seconds, extractor.audio_delay_seconds
    added = int(before_s * loaded.rate) + int((delay_s + _TAIL_S) * loaded.rate)

    def hear(sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
        rows = loaded.model.generate(**loaded.features(sounds)).cpu().tolist()
        found = []
        for sound, row in zip(sounds, rows, strict=True):
            # In a batch the shorter sounds go on in silence; alone they would end here. The first token is no text.
            ids = row[1 : 1 + (len(sound) + added) // frame]
            seconds = len(sound) / loaded.rate
            timed = timed_tokens(loaded, ids, seconds, before_s + delay_s)
            text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
            found.append(segment_of(text, words_of(timed, loaded.tokenizer.decode), seconds, language))
        return found

    return hear


def timed_tokens(loaded: Loaded, ids: list[int], seconds: float, late_s: float) -> list[Token]:
    """The tokens of text among one id for each frame; a word begins where it was said, `late_s` before its frame."""
    special = special_ids(loaded.tokenizer)
    frame_s = loaded.model.config.frame_size / loaded.rate

    def at(frames: int) -> float:
        return float(min(max(frames * frame_s - late_s, 0.0), seconds))

    return [
        Token(
            token,
            str(loaded.tokenizer.convert_ids_to_tokens(token)).startswith(_METASPACE),
            at(index),
            at(index + 1),
        )
        for index, token in enumerate(ids)
        if token not in special
    ]
