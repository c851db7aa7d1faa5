"""Which family of models a folder of weights belongs to: its role, its engine, and the files that it needs.

A family is recognised by config.json and the names of the files beside it. A new one is one line in FAMILIES.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

CONFIG = "config.json"
MAX_CONFIG_BYTES = 4 << 20
"""Longer ones exist nowhere; it is parsed whole."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a family is for. `needs` and `also` are patterns of names in the top folder."""

    role: str
    engine: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    needs: tuple[str, ...]
    """Without these the engine cannot load it."""
    also: tuple[str, ...] = ()
    """These it uses where they are there."""


_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")

# Keyed by the name of config.json's `architectures`; CTranslate2 writes none.
FAMILIES: dict[str, Family] = {
    "CTranslate2 Whisper": Family(
        "stt",
        "faster-whisper",
        ("audio",),
        ("text",),
        needs=(CONFIG, "model.bin", "tokenizer.json"),
        also=("preprocessor_config.json", "vocabulary.*"),
    ),
    "WhisperForConditionalGeneration": Family(
        "stt",
        "faster-whisper",
        ("audio",),
        ("text",),
        needs=(CONFIG, "model*.safetensors", "tokenizer.json"),
        also=(
            "model.safetensors.index.json",
            "generation_config.json",
            "preprocessor_config.json",
            "normalizer.json",
            *_TOKENIZER,
        ),
    ),
}

_PROCESSOR = (
    "model.safetensors.index.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.*",
    "tokenizer.json",
    "*.model",
    *_TOKENIZER,
)

_SPEECH = Family(
    "stt",
    "transformers-stt",
    ("audio",),
    ("text",),
    needs=(CONFIG, "model*.safetensors"),
    also=(*_PROCESSOR, "adapter_config.json", "adapter_model.safetensors"),
)
# One line for each architecture that the engine has in its own table; Whisper is its other engine's by default.
FAMILIES |= dict.fromkeys(
    (
        "Wav2Vec2ForCTC",
        "Wav2Vec2ConformerForCTC",
        "Wav2Vec2BertForCTC",
        "ParakeetForCTC",
        "ParakeetForTDT",
        "MoonshineForConditionalGeneration",
        "SpeechT5ForSpeechToText",
        "SeamlessM4Tv2Model",
        "SeamlessM4Tv2ForSpeechToText",
        "GraniteSpeechForConditionalGeneration",
        "KyutaiSpeechToTextForConditionalGeneration",
    ),
    _SPEECH,
)

_VOICE = Family(
    "tts",
    "transformers-tts",
    ("text",),
    ("audio",),
    needs=(CONFIG, "model*.safetensors"),
    also=(
        *_PROCESSOR,
        "vocab.txt",
        "speaker_embeddings_path.json",
        "speaker_embeddings/*.npy",
        "speaker_embeddings/*.safetensors",
        "codec/*",
        "feats_stats.npz",
    ),
)
# Before the others: where these are, its model.safetensors is for the program of its makers, and config.json names these.
FAMILIES["CsmForConditionalGeneration"] = replace(
    _VOICE, needs=(CONFIG, "transformers-*.safetensors"), also=("transformers.safetensors.index.json", *_VOICE.also)
)
# One line for each other architecture that the engine has in its own table.
FAMILIES |= dict.fromkeys(
    (
        "VitsModel",
        "FastSpeech2ConformerWithHifiGan",
        "BarkModel",
        "DiaForConditionalGeneration",
        "SpeechT5ForTextToSpeech",
        "FastSpeech2ConformerModel",
    ),
    _VOICE,
)

FAMILIES["SpeechT5HifiGan"] = FAMILIES["FastSpeech2ConformerHifiGan"] = Family(
    "vocoder", "transformers-vocoder", (), ("audio",), needs=(CONFIG, "model*.safetensors"), also=("feats_stats.npz",)
)

_TRANSFORMERS = (
    *_PROCESSOR,
    "video_preprocessor_config.json",
    "vocab.txt",
    "qformer_tokenizer/*",
    # A model's own program and what it reads; it is run only where the catalogue and the user both allow it.
    "*.py",
    "*.tiktoken",
)


def _backbone(*inputs: str) -> Family:
    return Family(
        "backbone", "transformers", inputs, ("text",), needs=(CONFIG, "model*.safetensors"), also=_TRANSFORMERS
    )


# One name for each architecture that the engine has in its own table.
FAMILIES |= dict.fromkeys(
    (
        *("LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM"),
        *("Gemma3ForCausalLM", "Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"),
        *("PhiForCausalLM", "Phi3ForCausalLM", "GraniteForCausalLM", "SmolLM3ForCausalLM", "Olmo2ForCausalLM"),
        *("StableLmForCausalLM", "GPTNeoXForCausalLM", "OPTForCausalLM", "BloomForCausalLM", "FalconForCausalLM"),
        "GPT2LMHeadModel",
    ),
    _backbone("text"),
)
FAMILIES |= dict.fromkeys(
    (
        *("LlavaForConditionalGeneration", "Mistral3ForConditionalGeneration", "LlavaNextForConditionalGeneration"),
        *("MllamaForConditionalGeneration", "IdeficsForVisionText2Text", "Idefics2ForConditionalGeneration"),
        *("Idefics3ForConditionalGeneration", "Gemma3ForConditionalGeneration", "PaliGemmaForConditionalGeneration"),
        *("AriaForConditionalGeneration", "Emu3ForConditionalGeneration", "JanusForConditionalGeneration"),
        *("FuyuForCausalLM", "BlipForConditionalGeneration", "BlipForQuestionAnswering"),
        *("Blip2ForConditionalGeneration", "InstructBlipForConditionalGeneration", "Florence2ForConditionalGeneration"),
        *("Kosmos2ForConditionalGeneration", "GitForCausalLM", "ViltForQuestionAnswering"),
        *("VisionEncoderDecoderModel", "GotOcr2ForConditionalGeneration"),
    ),
    _backbone("text", "image"),
)
FAMILIES |= dict.fromkeys(
    (
        *("LlavaNextVideoForConditionalGeneration", "LlavaOnevisionForConditionalGeneration"),
        *("VideoLlavaForConditionalGeneration", "VideoLlama3ForConditionalGeneration"),
        *("Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration"),
        *("Qwen3VLMoeForConditionalGeneration", "Glm4vForConditionalGeneration", "InternVLForConditionalGeneration"),
        *("SmolVLMForConditionalGeneration", "Molmo2ForConditionalGeneration"),
        "InstructBlipVideoForConditionalGeneration",
    ),
    _backbone("text", "image", "video"),
)


def _end_to_end(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Family:
    also = (*_TRANSFORMERS, "spk_dict.pt", "tekken.json", "adapter_config.json", "adapter_model.safetensors")
    return Family("e2e", "transformers-e2e", inputs, outputs, needs=(CONFIG, "model*.safetensors"), also=also)


_HEARS, _SPEAKS = ("audio", "text"), ("text", "audio")
_OMNI = _end_to_end(("audio", "text", "image", "video"), _SPEAKS)
FAMILIES |= {
    "Qwen2AudioForConditionalGeneration": _end_to_end(_HEARS, ("text",)),
    "VoxtralForConditionalGeneration": _end_to_end(_HEARS, ("text",)),
    "Qwen2_5OmniModel": _OMNI,
    "Qwen2_5OmniForConditionalGeneration": _OMNI,
    "MoshiForConditionalGeneration": _end_to_end(("audio",), _SPEAKS),
    "SpeechT5ForSpeechToSpeech": _end_to_end(("audio",), ("audio",)),
}
SECOND: dict[tuple[str, str], Family] = {
    ("SeamlessM4Tv2Model", "e2e"): _end_to_end(_HEARS, _SPEAKS),
    ("GraniteSpeechForConditionalGeneration", "e2e"): _end_to_end(_HEARS, ("text",)),
}
"""Families that can play another role too, when that one is asked for."""

_SPEAKER = Family(
    "diarize",
    "transformers-speaker",
    ("audio",),
    (),
    needs=(CONFIG, "model*.safetensors"),
    also=("model.safetensors.index.json", "preprocessor_config.json", "processor_config.json"),
)
FAMILIES |= dict.fromkeys(
    (
        "WavLMForXVector",
        "Wav2Vec2ForXVector",
        "Wav2Vec2BertForXVector",
        "Wav2Vec2ConformerForXVector",
        "UniSpeechSatForXVector",
        "Data2VecAudioForXVector",
        "Nemotron3DiarizationForAudioFrameClassification",
    ),
    _SPEAKER,
)

# Coqui's models, recognised by config.json's `model`; XTTS has files of its own.
COQUI_XTTS, COQUI_VOICE, COQUI_VOCODER, HIFI_GAN = "Coqui XTTS", "Coqui TTS", "Coqui vocoder", "HiFi-GAN"
_COQUI_ALSO = (
    "speaker*",
    "d_vector*",
    "language_ids.json",
    "scale_stats.npy",
    "*.pth.tar",
    "config_se.json",
    "model_se.pth",
)
FAMILIES |= {
    COQUI_XTTS: Family(
        "tts", "coqui", ("text",), ("audio",), needs=(CONFIG, "model.pth", "vocab.json"), also=("speakers_xtts.pth",)
    ),
    COQUI_VOICE: Family("tts", "coqui", ("text",), ("audio",), needs=(CONFIG, "*.pth*"), also=_COQUI_ALSO),
    COQUI_VOCODER: Family("vocoder", "coqui-vocoder", (), ("audio",), needs=(CONFIG, "*.pth*"), also=_COQUI_ALSO),
    HIFI_GAN: Family("vocoder", "coqui-vocoder", (), ("audio",), needs=(CONFIG, "g*")),
}
_COQUI_VOCODERS = ("hifigan", "melgan", "univnet", "parallel_wavegan", "wavernn", "wavegrad")

# What CTranslate2 writes into the config.json of a Whisper model, and of no other.
_CTRANSLATE2_WHISPER = ("alignment_heads", "lang_ids", "suppress_ids_begin")

PICKLED = ("pytorch_model.bin", "model.pt", "model.pth", "pytorch_model.bin.index.json")
"""Weights that only a program can read which runs what is in them."""

# The same weights again, in formats of other programs; not taken where there are safetensors.
_DUPLICATES = (
    *("*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.ot", "*.ckpt", "*.onnx", "*.onnx_data", "*.tflite", "*.gguf"),
    *("onnx/*", "openvino/*", "coreml/*", "original/*", "*.mlpackage/*", "consolidated*.safetensors"),
)
# Weights of another precision beside the plain ones.
_VARIANTS = ("*.fp16.*", "*.fp16-*", "*.fp32.*", "*.fp32-*", "*.bf16.*", "*.bf16-*")
_USELESS = (".*", "*/.*", "*.md", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.mp4")


# Licences that ask for nothing but their text or the author's name, as the hub writes them; without versions.
_FREE = (
    *("mit", "apache", "bsd", "isc", "zlib", "unlicense", "cc0", "pddl", "wtfpl", "0bsd", "ms-pl", "bsl-1", "openmdw"),
    *("gpl", "lgpl", "agpl", "mpl", "epl", "eupl", "cc-by-2", "cc-by-3", "cc-by-4", "cc-by-sa", "artistic", "afl"),
)


def is_free(license: str) -> bool:
    """Whether weights under a licence may be fetched unasked: a free one, or none that anybody named."""
    return not license or license.lower().startswith(_FREE)


def is_coquis(license: str) -> bool:
    """Whether it is the Coqui Public Model License, in short or as the hub writes it; it forbids commercial use."""
    return license.lower().startswith(("cpml", "coqui-public-model"))


def is_noncommercial(license: str) -> bool:
    """Whether a licence forbids commercial use by its name."""
    return is_coquis(license) or any(
        part in ("nc", "noncommercial", "research") for part in license.lower().replace(" ", "-").split("-")
    )


def family_name(config: Mapping[str, Any], names: Collection[str]) -> str | None:
    """The key in FAMILIES of a model with this config.json and these files; None for one that is not known."""
    architectures = config.get("architectures")
    if isinstance(architectures, list):
        return next((name for name in architectures if isinstance(name, str) and name in FAMILIES), None)
    if "upsample_rates" in config and "num_mels" in config:
        return HIFI_GAN
    if isinstance(config.get("audio"), dict) and isinstance(config.get("model", config.get("generator_model")), str):
        return _coqui_name(str(config.get("model", config.get("generator_model"))).lower())
    if "model.bin" in names and any(key in config for key in _CTRANSLATE2_WHISPER):
        return "CTranslate2 Whisper"
    return None


def _coqui_name(model: str) -> str:
    if model == "xtts":
        return COQUI_XTTS
    return COQUI_VOCODER if any(name in model for name in _COQUI_VOCODERS) else COQUI_VOICE


def recognise(config: Mapping[str, Any], names: Collection[str], role: str | None = None) -> Family | None:
    """The family of a model with this config.json and these files; None for one that is not known.

    `role` is the one that it should play, where its family can.
    """
    name = family_name(config, names)
    return None if name is None else SECOND.get((name, role or ""), FAMILIES[name])


def recognise_folder(folder: Path, to_come: Iterable[str] = (), role: str | None = None) -> Family | None:
    """The family of the model in a folder, with the files that are still to come there; None where it is not known."""
    return recognise(read_config(folder), {*file_names(folder), *to_come}, role)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder; empty where there is none that can be read."""
    try:
        with (folder / CONFIG).open("rb") as file:
            return parse_config(file.read(MAX_CONFIG_BYTES + 1))
    except OSError:
        return {}


def parse_config(content: bytes) -> dict[str, Any]:
    """A config.json; empty where it is none."""
    if len(content) > MAX_CONFIG_BYTES:
        return {}
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def file_names(folder: Path) -> list[str]:
    """The names of the files in a folder, those in folders below it not; a link to nothing is no file."""
    return [path.name for path in folder.iterdir() if path.is_file()]


def lacking(engine: str, names: Iterable[str]) -> tuple[str, ...]:
    """What an engine needs and is not among the names; of several forms of a model, the one that lacks least."""
    have = list(names)
    forms = [family for family in FAMILIES.values() if family.engine == engine]
    gaps = [tuple(need for need in form.needs if not any(fnmatchcase(name, need) for name in have)) for form in forms]
    return min(gaps, key=len, default=())


def wanted(engine: str, names: Iterable[str]) -> list[str]:
    """Those files of a repository that are worth fetching: what the engine uses; for an unknown one, no doubles."""
    have = list(names)
    for family in FAMILIES.values():
        if family.engine == engine and all(any(fnmatchcase(name, need) for name in have) for need in family.needs):
            return [name for name in have if _any(name, (*family.needs, *family.also)) and not _any(name, _VARIANTS)]
    doubles = _DUPLICATES if any(name.endswith(".safetensors") for name in have) else ()
    return [name for name in have if not _any(name, (*_USELESS, *_VARIANTS, *doubles))]


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
