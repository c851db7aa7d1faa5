"""The table of engines. `load()` is the only place where an engine is imported; nothing else names its module."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mmcli.engines.options import check_runtime
from mmcli.errors import ConfigError, MissingPackage, did_you_mean
from mmcli.options import Runtime

if TYPE_CHECKING:
    from mmcli.catalogue import ModelCard
    from mmcli.mel import MelFacts


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Where an engine is and what it needs. `extra` is None for what the core install brings."""

    role: str
    target: str
    """module:Class, or a function. It is called with the ModelCard, and where it takes one the Runtime: the loaded stage."""
    packages: tuple[str, ...] = ()
    """Import names of what it needs."""
    extra: str | None = None
    about: str = ""
    takes_runtime: bool = False
    """Whether the class wants the Runtime too."""
    instructed: bool = True
    """Whether a backbone follows instructions and examples and takes text beside its question, as language models do."""
    served: bool = False
    """Whether it asks a server, so that its models have no weights here."""
    facts: str | None = None
    """module:function, for what makes or takes spectrograms: ModelCard -> MelFacts | None, from config.json alone."""


ENGINES: dict[str, EngineSpec] = {
    "silero": EngineSpec(
        "vad", "mmcli.engines.vad.silero:Silero", ("onnxruntime", "faster_whisper"), about="finds speech in sound"
    ),
    "transformers-speaker": EngineSpec(
        "diarize",
        "mmcli.engines.diarize.transformers_speaker.engine:TransformersDiarizer",
        ("torch", "transformers", "scipy"),
        extra="vlm",
        about="speakers by WavLM, Wav2Vec2 and other x-vectors, or Nemotron Diarization",
        takes_runtime=True,
    ),
    "spectral": EngineSpec(
        "diarize", "mmcli.engines.diarize.spectral:Spectral", ("numpy",), about="tells clearly different voices apart"
    ),
    "pocketsphinx": EngineSpec(
        "stt", "mmcli.engines.stt.pocketsphinx:PocketSphinx", ("pocketsphinx",), about="English speech, no download"
    ),
    "faster-whisper": EngineSpec(
        "stt",
        "mmcli.engines.stt.faster_whisper:FasterWhisper",
        ("faster_whisper", "ctranslate2", "tokenizers"),
        about="Whisper of every size, a hundred languages",
        takes_runtime=True,
    ),
    "transformers-stt": EngineSpec(
        "stt",
        "mmcli.engines.stt.transformers_stt.engine:TransformersTranscriber",
        ("torch", "transformers"),
        extra="vlm",
        about="Wav2Vec2, Parakeet, Moonshine, SeamlessM4T and more",
        takes_runtime=True,
    ),
    "openai-stt": EngineSpec(
        "stt",
        "mmcli.engines.stt.openai_stt:OpenAiTranscriber",
        ("httpx2",),
        served=True,
        about="any server that OpenAI's clients can use",
    ),
    "reader": EngineSpec(
        "backbone",
        "mmcli.engines.backbone.reader:Reader",
        ("rapidocr", "zxingcpp", "rapidfuzz"),
        instructed=False,
        about="answers out of what is written in pictures, PDFs and texts",
    ),
    "openai": EngineSpec(
        "backbone",
        "mmcli.engines.backbone.openai_chat:OpenAiBackbone",
        ("httpx2", "jsonschema"),
        served=True,
        about="any chat model on a server that OpenAI's clients can use",
    ),
    "transformers": EngineSpec(
        "backbone",
        "mmcli.engines.backbone.transformers_backbone.engine:TransformersBackbone",
        ("torch", "torchvision", "transformers"),
        extra="vlm",
        about="vision-language models and language models of forty families",
        takes_runtime=True,
    ),
    "espeak": EngineSpec(
        "tts", "mmcli.engines.tts.espeak:Espeak", ("espeakng_loader",), about="a hundred languages, instant"
    ),
    "transformers-tts": EngineSpec(
        "tts",
        "mmcli.engines.tts.transformers_tts.engine:load",
        ("torch", "transformers"),
        extra="vlm",
        about="VITS and MMS, SpeechT5, Bark, CSM, Dia and more",
        takes_runtime=True,
        facts="mmcli.engines.tts.transformers_tts.facts:of_model",
    ),
    "transformers-vocoder": EngineSpec(
        "vocoder",
        "mmcli.engines.tts.transformers_tts.vocoder:HifiGan",
        ("torch", "transformers"),
        extra="vlm",
        about="the HiFi-GAN of SpeechT5 and of FastSpeech 2",
        takes_runtime=True,
        facts="mmcli.engines.tts.transformers_tts.facts:of_vocoder",
    ),
    "openai-tts": EngineSpec(
        "tts",
        "mmcli.engines.tts.openai_tts:OpenAiSynthesizer",
        ("httpx2",),
        served=True,
        about="any voice on a server that OpenAI's clients can use",
    ),
    "transformers-e2e": EngineSpec(
        "e2e",
        "mmcli.engines.e2e.transformers_e2e.engine:TransformersSpeechModel",
        ("torch", "transformers"),
        extra="vlm",
        about="SeamlessM4T, Qwen2-Audio, Qwen2.5-Omni, Voxtral, Moshi and more",
        takes_runtime=True,
    ),
    "coqui": EngineSpec(
        "tts",
        "mmcli.engines.tts.coqui.engine:load",
        ("TTS", "torch", "torchaudio", "torchcodec", "transformers", "six"),
        extra="tts",
        about="Tacotron 2, FastPitch, Glow-TTS, VITS, XTTS and more",
        takes_runtime=True,
        facts="mmcli.engines.tts.coqui.facts:mel_facts",
    ),
    "coqui-vocoder": EngineSpec(
        "vocoder",
        "mmcli.engines.tts.coqui.vocoder:CoquiVocoder",
        ("TTS", "torch", "torchaudio", "torchcodec", "transformers", "six"),
        extra="tts",
        about="HiFi-GAN, MelGAN, UnivNet, WaveRNN and more",
        takes_runtime=True,
        facts="mmcli.engines.tts.coqui.facts:mel_facts",
    ),
    "griffin-lim": EngineSpec(
        "vocoder",
        "mmcli.engines.tts.griffin_lim:GriffinLim",
        ("librosa",),
        extra="tts",
        about="spectrograms of any model as sound, without weights",
    ),
    "fake-vad": EngineSpec("vad", "mmcli.engines.fake:FakeDetector", about="loud is speech"),
    "fake-diarize": EngineSpec("diarize", "mmcli.engines.fake:FakeDiarizer", about="two speakers take turns"),
    "fake-stt": EngineSpec("stt", "mmcli.engines.fake:FakeTranscriber", about="counts what it hears"),
    "fake-backbone": EngineSpec("backbone", "mmcli.engines.fake:FakeBackbone", about="says what it was given"),
    "fake-tts": EngineSpec("tts", "mmcli.engines.fake:FakeSynthesizer", about="one tone a word"),
    "fake-e2e": EngineSpec("e2e", "mmcli.engines.fake:FakeSpeechModel", about="answers sound with the same sound"),
}


def spec_of(card: ModelCard) -> EngineSpec:
    """The engine of a model. ConfigError where the card names none that exists, or one of another role."""
    spec = ENGINES.get(card.engine)
    if spec is None:
        raise ConfigError(
            f'{card.origin}: [models.{card.name}] engine: there is no engine "{card.engine}"',
            did_you_mean(card.engine, ENGINES) or f"engines: {', '.join(ENGINES)}",
        )
    if spec.role != card.role:
        raise ConfigError(
            f'{card.origin}: [models.{card.name}] engine "{card.engine}" is for the role {spec.role}, not {card.role}'
        )
    return spec


def missing_packages(spec: EngineSpec) -> tuple[str, ...]:
    """Which of the engine's packages are not installed, found out without importing them."""
    return tuple(name for name in spec.packages if find_spec(name) is None)


def mel_facts(card: ModelCard) -> MelFacts | None:
    """How the spectrograms of a model are made, known before it loads.

    None for one that speaks without any, and for a vocoder that takes all. Raises what the engine raises where its
    config.json is missing or cannot be understood.
    """
    target = spec_of(card).facts
    if target is None:
        return None
    module, _, name = target.partition(":")
    facts: MelFacts | None = getattr(importlib.import_module(module), name)(card)
    return facts


def load(card: ModelCard, runtime: Runtime | None = None) -> Any:
    """The loaded stage of a model: weights in memory, ready for use.

    MissingPackage where a package of the engine is absent; UsageError for a Runtime without sense, whether the engine
    has a use for it or not; what the engine itself raises otherwise.
    """
    spec = spec_of(card)
    check_runtime(runtime or Runtime())
    module, _, name = spec.target.partition(":")
    try:
        engine = getattr(importlib.import_module(module), name)
        return engine(card, runtime or Runtime()) if spec.takes_runtime else engine(card)
    except ModuleNotFoundError as error:
        # Only a package that the engine is known to need is the user's to install; anything else is a fault of ours.
        if error.name is None or error.name.partition(".")[0] not in spec.packages:
            raise
        extra = f"mmcli[{spec.extra}]" if spec.extra else "mmcli"
        raise MissingPackage(
            f'model "{card.name}" needs the Python package {error.name}', f"pip install '{extra}'"
        ) from error
