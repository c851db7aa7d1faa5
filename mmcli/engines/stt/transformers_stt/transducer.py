"""Token-and-duration transducers: Parakeet says with each token how many frames it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcli.engines.stt.transformers_stt.words import segment_of
from mmcli.stages import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.engines.stt.transformers_stt.loading import Loaded
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Segment


def tdt(
    loaded: Loaded, options: TranscribeOptions, language: str | None
) -> Callable[[list[NDArray[np.float32]]], list[list[Segment]]]:
    """What hears one recording with these options."""
    config = loaded.model.config

    def hear(sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
        given = loaded.features(sounds)
        frames = given["input_features"].shape[1] // config.encoder_config.subsampling_factor + 1
        found = loaded.model.generate(**given, max_new_tokens=frames * config.max_symbols_per_step)
        ids, durations = found.sequences, found.durations
        # In a batch the library goes on with a shorter sound, past its end, until the longest one is over.
        valid = loaded.model._get_output_attention_mask(given["attention_mask"]).sum(-1, keepdim=True)
        ids = ids.masked_fill(durations.cumsum(-1) - durations >= valid, loaded.tokenizer.pad_token_id)
        texts, timed = loaded.processor.decode(ids.cpu(), durations=durations.cpu(), skip_special_tokens=True)
        return [
            segment_of(text, timed_words(tokens, seconds), seconds, language)
            for text, tokens, seconds in zip(texts, timed, (len(s) / loaded.rate for s in sounds), strict=True)
        ]

    return hear


def timed_words(tokens: list[dict[str, Any]], seconds: float) -> tuple[Word, ...]:
    """Words of tokens that carry the space before them, their times within the window."""
    words: list[Word] = []
    for token in tokens:
        text, start, end = token["token"], min(token["start"], seconds), min(token["end"], seconds)
        if not words or text.startswith(" "):
            words.append(Word(text.strip(), start, end))
        else:
            words[-1] = Word(words[-1].text + text, words[-1].start, max(words[-1].end, end))
    return tuple(word for word in words if word.text)
