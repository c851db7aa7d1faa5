"""Language models that hear: Qwen2-Audio, Granite Speech, Voxtral and those of a program of their own. They answer in text."""

from __future__ import annotations

import inspect
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcli.engines import torch_streams
from mmcli.engines.answers import until
from mmcli.errors import InputError
from mmcli.stages import AudioSource, Image, Said, Usage, Video
from mmcli.text import without

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from mmcli.engines.e2e.transformers_e2e.loading import Loaded
    from mmcli.options import ConverseOptions
    from mmcli.stages import Conversation, Message, Part, Spoke

_RECORDING = "<|audio|>"
_WINDOW = 375
"""Tokens of Voxtral for 30 s: 12.5 a second."""


def answer(loaded: Loaded, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
    """Recordings in their places, laid out by the processor's chat template."""
    sounds: list[NDArray[np.float32]] = []
    messages = [
        {"role": message.role, "content": [_block(loaded, part, sounds) for part in message.parts]}
        for message in conversation.messages
    ]
    text = loaded.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    values = loaded.processor(
        text=[text], **({"audio": sounds, "sampling_rate": loaded.rate} if sounds else {}), return_tensors="pt"
    )
    yield from written(loaded, loaded.place(values), options)


def answer_inline(
    loaded: Loaded, conversation: Conversation, options: ConverseOptions
) -> Iterator[Said | Spoke | Usage]:
    """Recordings as the processor's audio token within the text, which the tokenizer's chat template lays out."""
    text, sounds = _inline(loaded, conversation, getattr(loaded.processor, "audio_token", _RECORDING))
    values = loaded.processor(
        text=text if len(sounds) == 1 else [text], return_tensors="pt", **({"audio": sounds} if sounds else {})
    )
    yield from written(loaded, loaded.place(values), options)


def answer_own(loaded: Loaded, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
    """The same with a processor of the model's own program, as Ultravox has it: one text, `audio` or else `audios`."""
    processor = loaded.processor
    names = ("audio_token", "audio_placeholder")
    token = next((getattr(processor, name) for name in names if hasattr(processor, name)), _RECORDING)
    text, sounds = _inline(loaded, conversation, str(token))
    given: dict[str, Any] = {}
    if sounds:
        given = {"audio": sounds[0], "sampling_rate": loaded.rate}
    if len(sounds) > 1:
        if "audios" not in inspect.signature(processor.__call__).parameters:
            raise InputError("the question", f'model "{loaded.card.name}" takes one recording at a time')
        given = {"audios": sounds, "sampling_rate": loaded.rate}
    yield from written(loaded, loaded.place(processor(text=text, return_tensors="pt", **given)), options)


def _inline(loaded: Loaded, conversation: Conversation, token: str) -> tuple[str, list[NDArray[np.float32]]]:
    """The text of a conversation with a token for each recording, and these."""
    sounds: list[NDArray[np.float32]] = []

    def inline(part: Part) -> str:
        if isinstance(part, AudioSource):
            sounds.append(loaded.sound(part))
            return token
        return neutral(loaded, str(part), token)

    messages = [
        {"role": message.role, "content": "".join(map(inline, _ordered(message)))} for message in conversation.messages
    ]
    text: str = loaded.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text, sounds


def _ordered(message: Message) -> tuple[Part, ...]:
    """Sound before text: what is asked of it follows it, as these models were taught."""
    heard = tuple(part for part in message.parts if isinstance(part, AudioSource))
    return (*heard, *(part for part in message.parts if not isinstance(part, AudioSource)))


def answer_voxtral(
    loaded: Loaded, conversation: Conversation, options: ConverseOptions
) -> Iterator[Said | Spoke | Usage]:
    """Voxtral (arXiv:2507.13264), laid out as its authors' package does: `[INST]`, recordings, text, `[/INST]`."""
    tokenizer, ids = loaded.tokenizer, []
    known = tokenizer.convert_tokens_to_ids
    features: list[torch.Tensor] = []
    told = ""
    for message in conversation.messages:
        text = neutral(loaded, message.text)
        if message.role == "system":
            told = f"{text}\n\n"
        elif message.role == "assistant":
            ids += [*tokenizer.encode(text, add_special_tokens=False), known("</s>")]
        else:
            ids += [*([] if ids else [known("<s>")]), known("[INST]")]
            for part in message.parts:
                if isinstance(part, AudioSource):
                    windows = _voxtral_windows(loaded, loaded.sound(part))
                    features += windows
                    ids += [known("[BEGIN_AUDIO]"), *[loaded.model.config.audio_token_id] * (_WINDOW * len(windows))]
            ids += [*tokenizer.encode(told + text, add_special_tokens=False), known("[/INST]")]
            told = ""
    values = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones((1, len(ids)), dtype=torch.long)}
    if features:
        values["input_features"] = torch.stack(features)
    yield from written(loaded, loaded.place(values), options)


def _voxtral_windows(loaded: Loaded, sound: NDArray[np.float32]) -> list[torch.Tensor]:
    """Spectrograms [mel bands, frames] of 30 s each, the last one padded with silence."""
    length = loaded.processor.n_samples
    found = []
    for start in range(0, max(len(sound), 1), length):
        window = np.pad(sound[start : start + length], (0, max(0, start + length - len(sound))))
        found.append(
            loaded.processor(window, sampling_rate=loaded.rate, return_tensors="pt", padding=False).input_features[0]
        )
    return found


def _block(loaded: Loaded, part: Part, sounds: list[NDArray[np.float32]]) -> dict[str, Any]:
    if isinstance(part, AudioSource):
        sounds.append(loaded.sound(part))
        # The template only looks for the key; the sound itself goes to the processor.
        return {"type": "audio", "audio_url": part.source, "audio": part.source}
    return {"type": "text", "text": neutral(loaded, str(part))}


def neutral(loaded: Loaded, text: str, *also: str) -> str:
    """A user's text without what the tokenizer would take for the end, or the processor for a recording."""
    return without(text, (*also, *(token for token in loaded.tokenizer.get_added_vocab() if len(token) > 1)))


def written(loaded: Loaded, values: Mapping[str, Any], options: ConverseOptions) -> Iterator[Said | Usage]:
    """The answer to a prompt of one row. InputError where the prompt leaves no room for one."""
    prompt = int(values["input_ids"].shape[1])
    most = room(loaded, prompt, options)

    def generate(streamer: Any, stop: Any) -> Any:
        with loaded.lock, torch.inference_mode(), torch_streams.seeded(loaded.device, options.seed):
            return loaded.model.generate(
                **values,
                num_beams=1,
                max_new_tokens=most,
                **torch_streams.sampling(options),
                streamer=streamer,
                stopping_criteria=stop,
            )

    answer = torch_streams.Written(generate, lambda ids: loaded.tokenizer.decode(ids, skip_special_tokens=True))
    with closing(ended(answer, options.stop)) as pieces:
        yield from pieces
    yield Usage(prompt, answer.tokens, finish="length" if answer.tokens >= most else "stop")


def ended(answer: torch_streams.Written[Any], stop: tuple[str, ...]) -> Generator[Said, None, None]:
    """The text of an answer up to the first of the stop strings."""
    with closing(until(answer.texts(), stop)) as texts:
        for text in texts:
            if isinstance(text, str):
                yield Said(text)


def room(loaded: Loaded, prompt: int, options: ConverseOptions) -> int:
    """The tokens that an answer may have. InputError where the context leaves none."""
    config = getattr(loaded.model.config, "thinker_config", loaded.model.config)
    context = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    most = options.max_new_tokens if context is None else min(options.max_new_tokens, context - prompt)
    if most < 1:
        raise InputError(
            "the question",
            f'has {prompt} tokens, and the context of model "{loaded.card.name}" is {context}',
            "ask about less sound",
        )
    return most


def takes(part: Part) -> str:
    """What a part is."""
    for kind, name in ((AudioSource, "audio"), (Image, "image"), (Video, "video"), (str, "text")):
        if isinstance(part, kind):
            return name
    return "document"
