"""Connectionist temporal classification: a token for each frame, repeats merged, blanks dropped. Words have true times."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from mmcli.engines.stt.transformers_stt.words import Token, segment_of, special_ids, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.engines.stt.transformers_stt.loading import Loaded
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Segment

_METASPACE = "▁"


def wav2vec2_frame(loaded: Loaded) -> float:
    return float(loaded.model.config.inputs_to_logits_ratio / loaded.rate)


def parakeet_frame(loaded: Loaded) -> float:
    hop = loaded.processor.feature_extractor.hop_length
    return float(hop * loaded.model.config.encoder_config.subsampling_factor / loaded.rate)


def wav2vec2_valid(loaded: Loaded, frames: int, mask: torch.Tensor) -> torch.Tensor:
    return loaded.model._get_feature_vector_attention_mask(frames, mask)


def parakeet_valid(loaded: Loaded, frames: int, mask: torch.Tensor) -> torch.Tensor:
    return loaded.model._get_output_attention_mask(mask, target_length=frames)


class Ctc:
    """How a family counts frames: `frame_s` is how long one lasts, `valid` tells those of a sound from its padding."""

    def __init__(
        self,
        frame_s: Callable[[Loaded], float],
        valid: Callable[[Loaded, int, torch.Tensor], torch.Tensor],
    ) -> None:
        self._frame_s = frame_s
        self._valid = valid

    def __call__(
        self, loaded: Loaded, options: TranscribeOptions, language: str | None
    ) -> Callable[[list[NDArray[np.float32]]], list[list[Segment]]]:
        """What hears one recording with these options."""
        frame_s = self._frame_s(loaded)

        def hear(sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
            if not _masks(loaded) and len(sounds) > 1:
                # Without a mask the padding would be heard as part of the shorter sounds.
                return [found for sound in sounds for found in hear([sound])]
            given = loaded.features(sounds)
            logits = loaded.model(**given).logits.float()
            mask = given.get("attention_mask")
            valid = (
                torch.ones(logits.shape[:2], dtype=torch.bool)
                if mask is None
                else self._valid(loaded, logits.shape[1], mask).cpu()
            )
            best = logits.softmax(-1).max(-1)
            rows = zip(sounds, best.indices.cpu(), best.values.cpu(), valid, strict=True)
            return [
                _segments(loaded, (ids[keep].tolist(), probabilities[keep].tolist()), len(sound), frame_s, language)
                for sound, ids, probabilities, keep in rows
            ]

        return hear


def _masks(loaded: Loaded) -> bool:
    return bool(getattr(loaded.processor.feature_extractor, "return_attention_mask", True))


def _segments(
    loaded: Loaded, frames: tuple[list[int], list[float]], samples: int, frame_s: float, language: str | None
) -> list[Segment]:
    seconds = samples / loaded.rate
    tokenizer = loaded.tokenizer
    silent = silent_ids(tokenizer)
    # A tokenizer of letters counts the mark between words among its special tokens.
    of_letters = _delimiter(tokenizer) is not None
    text = tokenizer.decode([id for id in frames[0] if id not in silent], skip_special_tokens=not of_letters)
    tokens = [
        replace(token, start=min(token.start, seconds), end=min(token.end, seconds))
        for token in timed_tokens(tokenizer, *frames, frame_s)
    ]

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, group_tokens=False))

    return segment_of(text, words_of(tokens, decode), seconds, language)


def _delimiter(tokenizer: Any) -> int | None:
    return getattr(tokenizer, "word_delimiter_token_id", None)


def silent_ids(tokenizer: Any) -> set[int]:
    """The special tokens that are left out before repeats are merged: neither the blank nor the mark between words."""
    return special_ids(tokenizer) - {tokenizer.pad_token_id, _delimiter(tokenizer)}


def timed_tokens(tokenizer: Any, ids: list[int], probabilities: list[float], frame_s: float) -> list[Token]:
    """The tokens of a row of frames: runs of the same id. `probabilities` has one for each frame."""
    silent, delimiter = silent_ids(tokenizer), _delimiter(tokenizer)
    frames = [frame for frame, id in enumerate(ids) if id not in silent]
    tokens: list[Token] = []
    begins = True
    for id, run in groupby(frames, key=ids.__getitem__):
        held = list(run)
        if id == delimiter:
            begins = True
        elif id != tokenizer.pad_token_id:
            begins = begins or str(tokenizer.convert_ids_to_tokens(id)).startswith(_METASPACE)
            times = (held[0] * frame_s, (held[-1] + 1) * frame_s)
            tokens.append(Token(id, begins, *times, max(probabilities[frame] for frame in held)))
            begins = False
    return tokens
