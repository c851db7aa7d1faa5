"""The one table of what differs between the end-to-end families of transformers, by `architectures` of config.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmcli.engines.e2e.transformers_e2e import chat, conversion, moshi, omni, seamless
from mmcli.engines.e2e.transformers_e2e.loading import tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from mmcli.catalogue import ModelCard
    from mmcli.engines.e2e.transformers_e2e.loading import Loaded
    from mmcli.options import ConverseOptions
    from mmcli.stages import Conversation, Said, Spoke, Usage

Answer = Callable[["Loaded", "Conversation", "ConverseOptions"], "Iterator[Said | Spoke | Usage]"]

_SAMPLING = ("max_new_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")


@dataclass(frozen=True, slots=True)
class Family:
    """`model` and `processor` are classes of transformers. `answer` answers the last message of a conversation."""

    model: str
    processor: str
    answer: Answer
    honours: tuple[str, ...]
    """Options that it takes."""
    alone: bool = False
    """Whether each utterance is answered by itself."""
    longest_s: float = 30.0
    """The longest piece of sound, in seconds."""
    most_s: float = 1200.0
    """The most sound in one question, in seconds."""
    takes: tuple[str, ...] = ("text", "audio")
    """text | audio | image | video."""
    instructed: bool = False
    """Whether it follows a system message and knows earlier turns."""
    settings: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """What it needs beside torch and transformers."""
    choose: Callable[[ModelCard, Path], str] | None = None
    """Another class than `model` for some folders or entries."""
    more: Callable[[Loaded], Mapping[str, Any]] | None = None
    """Loads what lies outside of the folder."""


_CHAT = Family("AutoModel", "AutoProcessor", chat.answer, (*_SAMPLING, "stop"), instructed=True)
_SEAMLESS = Family(
    "SeamlessM4Tv2Model",
    "SeamlessM4TProcessor",
    seamless.answer,
    ("max_new_tokens", "repetition_penalty", "target_language", "source_language", "speaker"),
    alone=True,
    settings=("target_language", "source_language", "speaker"),
)
_OMNI = Family(
    "Qwen2_5OmniForConditionalGeneration",
    "Qwen2_5OmniProcessor",
    omni.answer,
    (*_SAMPLING, "stop", "speaker"),
    # Its features are those of five minutes at most.
    longest_s=300.0,
    takes=("text", "audio", "image", "video"),
    instructed=True,
    settings=("speaker",),
    choose=omni.choose,
    more=omni.more,
)

FAMILIES: dict[str, Family] = {
    "SeamlessM4Tv2Model": _SEAMLESS,
    # Its encoder sees 30 s; what is longer goes in as several recordings.
    "Qwen2AudioForConditionalGeneration": replace(_CHAT, model="Qwen2AudioForConditionalGeneration", most_s=600.0),
    "Qwen2_5OmniModel": _OMNI,
    "Qwen2_5OmniForConditionalGeneration": _OMNI,
    # Cuts what it hears into pieces of 30 s by itself (arXiv:2507.13264: up to 40 minutes).
    "VoxtralForConditionalGeneration": replace(
        _CHAT,
        model="VoxtralForConditionalGeneration",
        processor="WhisperFeatureExtractor",
        answer=chat.answer_voxtral,
        longest_s=600.0,
        most_s=2400.0,
        more=tokenizer,
    ),
    "GraniteSpeechForConditionalGeneration": replace(
        _CHAT,
        model="GraniteSpeechForConditionalGeneration",
        processor="GraniteSpeechProcessor",
        answer=chat.answer_inline,
        longest_s=600.0,
        packages=("torchaudio",),
    ),
    # 12.5 frames a second; it attends to the last 3000 of them (arXiv:2410.00037).
    "MoshiForConditionalGeneration": Family(
        "MoshiForConditionalGeneration",
        "AutoFeatureExtractor",
        moshi.answer,
        ("max_new_tokens", "temperature", "top_k", "top_p", "seed"),
        longest_s=200.0,
        most_s=200.0,
        takes=("audio",),
        more=tokenizer,
    ),
    "SpeechT5ForSpeechToSpeech": Family(
        "SpeechT5ForSpeechToSpeech",
        "SpeechT5FeatureExtractor",
        conversion.answer,
        ("speaker",),
        alone=True,
        longest_s=20.0,
        takes=("audio",),
        settings=("speaker", "vocoder", "vocoder_revision"),
        more=conversion.more,
    ),
}
REMOTE = replace(_CHAT, answer=chat.answer_own, settings=("trust_remote_code",))
"""A model of a program of its own, which the user trusts: recordings stand in its text as the processor's audio token."""
