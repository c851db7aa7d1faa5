"""Qwen2.5-Omni (arXiv:2503.20215): hears, sees, writes (its thinker) and speaks what it wrote (its talker)."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcli.engines import torch_runtime, torch_streams
from mmcli.engines.e2e.transformers_e2e import chat
from mmcli.engines.e2e.transformers_e2e.loading import setting
from mmcli.errors import InputError, UsageError, did_you_mean
from mmcli.stages import Audio, AudioSource, Image, Said, Spoke, Usage, Video

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mmcli.catalogue import ModelCard
    from mmcli.engines.e2e.transformers_e2e.loading import Loaded
    from mmcli.options import ConverseOptions
    from mmcli.stages import Conversation, Part

_THINKER = "Qwen2_5OmniThinkerForConditionalGeneration"
_VOICES = "spk_dict.pt"
_RATE = 24000
_CODES_AT_LEAST, _CODES = 64, 30
"""Tokens of sound, and those for each token of text: 50 make a second, and nobody speaks so slowly."""
_SYSTEM = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of perceiving auditory and visual "
    "inputs, as well as generating text and speech."
)
"""Its talker was taught with this system message, word for word, and speaks badly without it."""


def choose(card: ModelCard, folder: Path) -> str:
    """The thinker alone where only text is wanted of it, or where its voices are not there."""
    speaks = "audio" in card.outputs and (folder / _VOICES).is_file()
    return "Qwen2_5OmniForConditionalGeneration" if speaks else _THINKER


def more(loaded: Loaded) -> Mapping[str, Any]:
    """Its voices, for a model that speaks. EngineError where their file is damaged."""
    if getattr(loaded.model, "has_talker", False):
        with torch_runtime.while_loading(loaded.card, loaded.folder):
            loaded.model.load_speakers(str(loaded.folder / _VOICES))  # the library reads weights alone, no programs
    return {}


def answer(loaded: Loaded, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
    """Text while it is written; then, where the talker is loaded, the sound of it. UsageError for an unknown voice."""
    values = loaded.place(_prompt(loaded, conversation))
    if not getattr(loaded.model, "has_talker", False):
        if options.speaker is not None:
            raise UsageError(f'model "{loaded.card.name}" writes only, and has no voice', "leave out --voice")
        yield from chat.written(loaded, values, options)
        return
    speaker = _speaker(loaded, options)
    prompt = int(values["input_ids"].shape[1])
    most = chat.room(loaded, prompt, options)
    search = {"num_beams": 1, **torch_streams.sampling(options)}

    def generate(streamer: Any, stop: Any) -> Any:
        thinker = {f"thinker_{name}": value for name, value in search.items()}
        with loaded.lock, torch.inference_mode(), torch_streams.seeded(loaded.device, options.seed):
            return loaded.model.generate(
                **values,
                **thinker,
                speaker=speaker,
                thinker_max_new_tokens=most,
                talker_max_new_tokens=_CODES_AT_LEAST + _CODES * most,
                thinker_streamer=streamer,
                thinker_stopping_criteria=stop,
                talker_stopping_criteria=stop,
            )

    written = torch_streams.Written(generate, lambda ids: loaded.tokenizer.decode(ids, skip_special_tokens=True))
    with closing(chat.ended(written, ())) as texts:
        yield from texts
    samples = written.result[1].reshape(-1).float().cpu().numpy()
    yield Spoke(Audio(np.clip(samples, -1, 1), _RATE))
    yield Usage(prompt, written.tokens, finish="length" if written.tokens >= most else "stop")


def _prompt(loaded: Loaded, conversation: Conversation) -> Any:
    sounds: list[Any] = []
    images: list[Any] = []
    videos: list[Any] = []

    def block(part: Part) -> dict[str, Any]:
        if isinstance(part, AudioSource):
            sounds.append(loaded.sound(part))
            return {"type": "audio", "audio": part.source}
        if isinstance(part, Image):
            images.append(part.pixels())
            return {"type": "image", "image": part.source}
        if isinstance(part, Video):
            frames = [np.asarray(frame.convert("RGB")) for _, frame in part.frames()]
            if not frames:
                raise InputError(part.source, "no picture of it could be decoded")
            videos.append(np.stack(frames))
            return {"type": "video", "video": part.source}
        return {"type": "text", "text": chat.neutral(loaded, str(part))}

    messages = [
        {"role": message.role, "content": [block(part) for part in message.parts]} for message in conversation.messages
    ]
    if messages[0]["role"] != "system" and getattr(loaded.model, "has_talker", False):
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": _SYSTEM}]})
    text = loaded.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    given = {"audio": sounds or None, "images": images or None, "videos": videos or None}
    return loaded.processor(
        text=text if isinstance(text, list) else [text],
        return_tensors="pt",
        **({"sampling_rate": loaded.rate} if sounds else {}),
        **{name: value for name, value in given.items() if value},
    )


def _speaker(loaded: Loaded, options: ConverseOptions) -> str:
    known = tuple(loaded.model.speaker_map)
    named = options.speaker or setting(loaded.card, "speaker") or known[0]
    if named not in known:
        raise UsageError(
            f'model "{loaded.card.name}" has no voice "{named}"',
            did_you_mean(named, known) or f"its voices: {', '.join(known)}",
        )
    return named
