"""The one table of what differs between the speech families of transformers, by `architectures` of config.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.engines.stt.transformers_stt import ctc, generation
from mmcli.engines.stt.transformers_stt.kyutai import kyutai
from mmcli.engines.stt.transformers_stt.transducer import tdt
from mmcli.engines.stt.transformers_stt.whisper import OPTIONS, Whisper

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmcli.engines.stt.transformers_stt.loading import Loaded
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Segment

Begin = Callable[
    ["Loaded", "TranscribeOptions", "str | None"], "Callable[[list[NDArray[np.float32]]], list[list[Segment]]]"
]


@dataclass(frozen=True, slots=True)
class Family:
    """`model` and `processor` are classes of transformers.

    `begin(loaded, options, language)` gives what hears one recording: sounds [n] in, for each its segments, times in
    seconds of the sound. `language` is what the text is in where the card tells; it may raise UsageError.
    """

    model: str
    processor: str
    begin: Begin
    honours: tuple[str, ...] = ()
    """Options that it takes beside those that the engine sees to itself."""
    settings: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """What it needs beside torch and transformers."""
    languages: bool = False
    """Whether `begin` sees to the option `language` itself."""
    packs: bool = False
    """Whether it wants windows of many utterances."""
    masked: bool = False
    """Whether padding leaves the shorter sounds of a batch as they are. Where not, sounds of one length go together."""


_WORDS = ("word_timestamps",)
_WAV2VEC2 = ctc.Ctc(ctc.wav2vec2_frame, ctc.wav2vec2_valid)
_PARAKEET = ctc.Ctc(ctc.parakeet_frame, ctc.parakeet_valid)
_SEAMLESS = Family(
    "SeamlessM4Tv2ForSpeechToText",
    "SeamlessM4TProcessor",
    generation.seamless,
    (*generation.SEARCH, "task"),
    settings=("target_language",),
    languages=True,
)

FAMILIES: dict[str, Family] = {
    "WhisperForConditionalGeneration": Family(
        "WhisperForConditionalGeneration",
        "WhisperProcessor",
        Whisper,
        (*generation.SEARCH, *OPTIONS, *_WORDS),
        languages=True,
        packs=True,
        masked=True,
    ),
    "Wav2Vec2ForCTC": Family("Wav2Vec2ForCTC", "Wav2Vec2Processor", _WAV2VEC2, _WORDS, masked=True),
    "Wav2Vec2ConformerForCTC": Family("Wav2Vec2ConformerForCTC", "Wav2Vec2Processor", _WAV2VEC2, _WORDS),
    "Wav2Vec2BertForCTC": Family("Wav2Vec2BertForCTC", "Wav2Vec2BertProcessor", _WAV2VEC2, _WORDS),
    "ParakeetForCTC": Family("ParakeetForCTC", "ParakeetProcessor", _PARAKEET, _WORDS, masked=True),
    "ParakeetForTDT": Family("ParakeetForTDT", "ParakeetProcessor", tdt, _WORDS, masked=True),
    "MoonshineForConditionalGeneration": Family(
        "MoonshineForConditionalGeneration", "Wav2Vec2Processor", generation.moonshine, generation.SEARCH
    ),
    "SpeechT5ForSpeechToText": Family(
        "SpeechT5ForSpeechToText",
        "SpeechT5Processor",
        generation.seq2seq,
        generation.SEARCH,
        packages=("sentencepiece",),
    ),
    "SeamlessM4Tv2Model": _SEAMLESS,
    "SeamlessM4Tv2ForSpeechToText": _SEAMLESS,
    "GraniteSpeechForConditionalGeneration": Family(
        "GraniteSpeechForConditionalGeneration",
        "GraniteSpeechProcessor",
        generation.granite,
        (*generation.SEARCH, "task"),
        settings=("prompt",),
        packages=("torchaudio",),
    ),
    "KyutaiSpeechToTextForConditionalGeneration": Family(
        "KyutaiSpeechToTextForConditionalGeneration",
        "KyutaiSpeechToTextProcessor",
        kyutai,
        _WORDS,
        packs=True,
        masked=True,
    ),
}
