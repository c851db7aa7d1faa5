"""SeamlessM4T v2 (arXiv:2312.05187): speech or text of a hundred languages to text, and to speech of 36 of them."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

import torch

from mmcli.engines import torch_streams
from mmcli.engines.e2e.transformers_e2e.loading import setting
from mmcli.errors import UsageError, did_you_mean
from mmcli.languages import seamless_code
from mmcli.stages import Audio, AudioSource, Said, Spoke, Usage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from mmcli.engines.e2e.transformers_e2e.loading import Loaded
    from mmcli.options import ConverseOptions
    from mmcli.stages import Conversation

_LOG = logging.getLogger(__name__)
_LEAST_S = 0.1
"""The encoder needs a few frames of sound."""


def answer(loaded: Loaded, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
    """Each part in the target language. UsageError where a language is not told or not known."""
    target = _language(loaded, options, "target_language", "--to", "text_decoder_lang_to_code_id")
    speaks = "audio" in loaded.card.outputs
    known = getattr(loaded.model.generation_config, "vocoder_lang_code_to_id", {})
    if speaks and target not in known:
        _LOG.warning('model "%s" writes %s and does not speak it', loaded.card.name, target)
        speaks = False
    given: dict[str, Any] = {"tgt_lang": target, "generate_speech": speaks}
    if speaks:
        given |= {"return_intermediate_token_ids": True, "speaker_id": _speaker(loaded, options)}
    for part in conversation.messages[-1].parts:
        if isinstance(part, AudioSource):
            sound = loaded.sound(part)
            if len(sound) < _LEAST_S * loaded.rate:
                continue
            values = loaded.processor(audio=sound, sampling_rate=loaded.rate, return_tensors="pt")
        else:
            source = _language(loaded, options, "source_language", "--from", "text_decoder_lang_to_code_id")
            values = loaded.processor(text=str(part), src_lang=source, return_tensors="pt")
        yield from _translate(loaded, loaded.place(values), given, options)


def _translate(
    loaded: Loaded, values: dict[str, Any], given: dict[str, Any], options: ConverseOptions
) -> Generator[Said | Spoke | Usage, None, None]:
    # Only the writing is a search for tokens; the units of the sound come all at once.
    search = {"num_beams": 1, "max_new_tokens": options.max_new_tokens, **torch_streams.sampling(options)}

    def generate(streamer: Any, stop: Any) -> Any:
        text = {f"text_{name}": value for name, value in search.items()}
        with loaded.lock, torch.inference_mode():
            return loaded.model.generate(**values, **given, **text, text_streamer=streamer, text_stopping_criteria=stop)

    written = torch_streams.Written(generate, lambda ids: loaded.tokenizer.decode(ids, skip_special_tokens=True))
    with closing(written.texts()) as texts:
        yield from map(Said, texts)
    if given["generate_speech"]:
        made = written.result
        samples = made.waveform.reshape(-1)[: int(made.waveform_lengths)].float().cpu().numpy()
        yield Spoke(Audio(samples, loaded.model.config.sampling_rate))
    yield Usage(values["input_ids"].shape[1] if "input_ids" in values else 0, written.tokens)


def _language(loaded: Loaded, options: ConverseOptions, name: str, flag: str, table: str) -> str:
    """The model's code of a language."""
    codes = getattr(loaded.model.generation_config, table, {})
    named = getattr(options, name) or setting(loaded.card, name)
    if named is None:
        what = "to answer in" if name == "target_language" else "of the text"
        raise UsageError(f'model "{loaded.card.name}" has to be told the language {what}', f"give {flag} CODE")
    code = seamless_code(named)
    if code not in codes:
        raise UsageError(
            f'model "{loaded.card.name}" knows no language "{named}"', did_you_mean(named, codes) or "as en, de or zh"
        )
    return code


def _speaker(loaded: Loaded, options: ConverseOptions) -> int:
    named = options.speaker or setting(loaded.card, "speaker") or "0"
    count = loaded.model.config.vocoder_num_spkrs
    if not named.isdecimal() or int(named) >= count:
        raise UsageError(f'the voices of model "{loaded.card.name}" are 0 to {count - 1}, not "{named}"')
    return int(named)
