"""Families that write text without times: an encoder that hears and a decoder that writes, or a language model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mmcli.engines.options import written_in
from mmcli.engines.stt.transformers_stt.loading import setting
from mmcli.engines.stt.transformers_stt.words import segment_of
from mmcli.errors import UsageError, did_you_mean
from mmcli.languages import seamless_code

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.engines.stt.transformers_stt.loading import Loaded
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Segment

    Hear = Callable[[list[NDArray[np.float32]]], list[list[Segment]]]

SEARCH = ("beam_size", "length_penalty", "repetition_penalty", "no_repeat_ngram_size", "max_new_tokens")
"""The options that every search for text takes."""
_MOONSHINE_TOKENS_PER_S = 6.5
"""More than anybody says in a second; its authors' own bound, without which it may repeat itself."""
_LANGUAGE_MODEL_TOKENS = 16, 20.0
"""At least, and per second of sound: far above speech in any language, so that only a loop meets it."""
_GRANITE_PROMPT = "can you transcribe the speech into a written format?"
_GRANITE_TRANSLATE = "translate the speech to English"


def search(options: TranscribeOptions) -> dict[str, Any]:
    """Keyword arguments of `generate`. What was not asked for stays as the checkpoint has it."""
    given: dict[str, Any] = {"num_beams": 1 if options.fast else options.beam_size, "do_sample": False}
    plain = type(options)()
    for name in SEARCH[1:]:
        if getattr(options, name) != getattr(plain, name):
            given[name] = getattr(options, name)
    return given


def seq2seq(loaded: Loaded, options: TranscribeOptions, language: str | None) -> Hear:
    """SpeechT5 and its like: sound in, text out."""
    return _hear(loaded, search(options), language)


def seamless(loaded: Loaded, options: TranscribeOptions, language: str | None) -> Hear:
    """SeamlessM4T: it writes in the language that it is told, whichever it hears. UsageError where it is told none."""
    codes = getattr(loaded.model.generation_config, "text_decoder_lang_to_code_id", {})
    named = "en" if options.task == "translate" else options.language or setting(loaded.card, "target_language")
    if named is None:
        raise UsageError(f'model "{loaded.card.name}" has to be told the language to write in', "give --language")
    code = seamless_code(named)
    if code not in codes:
        raise UsageError(
            f'model "{loaded.card.name}" writes no language "{named}"', did_you_mean(named, codes) or "as en, de or zh"
        )
    return _hear(loaded, {**search(options), "tgt_lang": code}, named)


def moonshine(loaded: Loaded, options: TranscribeOptions, language: str | None) -> Hear:
    """Moonshine: as many tokens as the sound can hold at most."""
    given = search(options)

    def hear(sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
        limits = [max(1, int(len(sound) / loaded.rate * _MOONSHINE_TOKENS_PER_S)) for sound in sounds]
        if options.max_new_tokens is not None:
            limits = [min(limit, options.max_new_tokens) for limit in limits]
        written = loaded.model.generate(**loaded.features(sounds), **{**given, "max_new_tokens": max(limits)})
        # The first token begins the text. In a batch a short sound is bound as it would be alone.
        return _segments(
            loaded, sounds, [row[: 1 + limit] for row, limit in zip(written, limits, strict=True)], language
        )

    return hear


def granite(loaded: Loaded, options: TranscribeOptions, language: str | None) -> Hear:
    """Granite Speech: a language model that is asked to write down what it hears."""
    task = _GRANITE_TRANSLATE if options.task == "translate" else _GRANITE_PROMPT
    question = f"{loaded.processor.audio_token}{setting(loaded.card, 'prompt') or task}"
    prompt = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    least, per_s = _LANGUAGE_MODEL_TOKENS

    def hear(sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
        values = loaded.processor(
            text=[prompt] * len(sounds), audio=list(sounds), device=str(loaded.device), return_tensors="pt"
        )
        given = {name: loaded.place(value) for name, value in values.items()}
        bound = {"max_new_tokens": least + math.ceil(len(sounds[0]) / loaded.rate * per_s)}
        written = loaded.model.generate(**given, **{**bound, **search(options)})
        return _segments(loaded, sounds, list(written[:, given["input_ids"].shape[1] :]), written_in(options, language))

    return hear


def _hear(loaded: Loaded, given: dict[str, Any], language: str | None) -> Hear:
    def hear(sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
        return _segments(loaded, sounds, list(loaded.model.generate(**loaded.features(sounds), **given)), language)

    return hear


def _segments(
    loaded: Loaded, sounds: list[NDArray[np.float32]], rows: list[Any], language: str | None
) -> list[list[Segment]]:
    return [
        segment_of(loaded.tokenizer.decode(row, skip_special_tokens=True), (), len(sound) / loaded.rate, language)
        for sound, row in zip(sounds, rows, strict=True)
    ]
