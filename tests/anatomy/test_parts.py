"""Parts and their parameters equal the submodules of the models of transformers, at full size, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig

from mmcli.anatomy.checkpoint import read
from mmcli.anatomy.facts import DEFAULTS
from mmcli.anatomy.memory import Cache, verdict
from mmcli.anatomy.report import report
from tests.anatomy.skeletons import STATISTICS, build, parameters, write, write_header

VISION, AUDIO, TEXT = "vision encoder", "audio encoder", "text encoder"
PROJECTOR, BACKBONE, HEAD, CODEC, VOCODER = "projector", "backbone", "output head", "codec", "vocoder"
ITT = "ForConditionalGeneration"
_MODEL = {VISION: "model.vision_tower", PROJECTOR: "model.multi_modal_projector", BACKBONE: "model.language_model"}
_LLAVA = {**_MODEL, HEAD: "lm_head"}
_IDEFICS = {VISION: "model.vision_model", PROJECTOR: "model.connector", BACKBONE: "model.text_model", HEAD: "lm_head"}

# Family -> class, and the submodules of each part; a head without one is tied.
FAMILIES: dict[str, tuple[str, dict[str, str]]] = {
    "llava": (f"Llava{ITT}", _LLAVA),
    "llava_next": (f"LlavaNext{ITT}", {**_LLAVA, PROJECTOR: "model.multi_modal_projector model.image_newline"}),
    "llava_onevision": (
        f"LlavaOnevision{ITT}",
        {**_LLAVA, PROJECTOR: "model.multi_modal_projector model.image_newline"},
    ),
    "video_llava": (f"VideoLlava{ITT}", {**_LLAVA, VISION: "model.image_tower model.video_tower"}),
    "mllama": (f"Mllama{ITT}", {**_LLAVA, VISION: "model.vision_model"}),
    "mistral3": (f"Mistral3{ITT}", _MODEL),
    "internvl": (f"InternVL{ITT}", _MODEL),
    "paligemma": (f"PaliGemma{ITT}", _MODEL),
    "gemma3": (f"Gemma3{ITT}", _MODEL),
    "florence2": (f"Florence2{ITT}", _MODEL),
    "got_ocr2": (f"GotOcr2{ITT}", _MODEL),
    "aria": (f"Aria{ITT}", _LLAVA),
    "idefics": (
        "IdeficsForVisionText2Text",
        {
            VISION: "model.vision_model",
            BACKBONE: "model.layers model.gated_cross_attn_layers model.embed_tokens model.norm",
            HEAD: "lm_head",
        },
    ),
    "idefics2": (f"Idefics2{ITT}", _IDEFICS),
    "idefics3": (f"Idefics3{ITT}", _IDEFICS),
    "smolvlm": (f"SmolVLM{ITT}", _IDEFICS),
    "blip-2": (
        f"Blip2{ITT}",
        {VISION: "vision_model", PROJECTOR: "qformer query_tokens language_projection", BACKBONE: "language_model"},
    ),
    "kosmos-2": (
        f"Kosmos2{ITT}",
        {VISION: "vision_model", PROJECTOR: "image_to_text_projection", BACKBONE: "text_model"},
    ),
    "fuyu": (
        "FuyuForCausalLM",
        {PROJECTOR: "model.vision_embed_tokens", BACKBONE: "model.language_model", HEAD: "lm_head"},
    ),
    "molmo2": (
        f"Molmo2{ITT}",
        {
            VISION: "model.vision_tower",
            PROJECTOR: "model.multi_modal_projector",
            BACKBONE: "model.language_model",
            HEAD: "lm_head",
        },
    ),
    "video_llama_3": (
        f"VideoLlama3{ITT}",
        {VISION: "model.vision_model", PROJECTOR: "model.projector", BACKBONE: "model.language_model", HEAD: "lm_head"},
    ),
    "granite_speech": (
        f"GraniteSpeech{ITT}",
        {AUDIO: "model.encoder", PROJECTOR: "model.projector", BACKBONE: "model.language_model"},
    ),
    "qwen2_audio": (
        f"Qwen2Audio{ITT}",
        {
            AUDIO: "model.audio_tower",
            PROJECTOR: "model.multi_modal_projector",
            BACKBONE: "model.language_model",
            HEAD: "lm_head",
        },
    ),
    "whisper": (f"Whisper{ITT}", {AUDIO: "model.encoder", BACKBONE: "model.decoder"}),
    "moonshine": (f"Moonshine{ITT}", {AUDIO: "model.encoder", BACKBONE: "model.decoder"}),
    "wav2vec2": ("Wav2Vec2ForCTC", {AUDIO: "wav2vec2", HEAD: "lm_head"}),
    "parakeet_ctc": ("ParakeetForCTC", {AUDIO: "encoder", HEAD: "ctc_head"}),
    "speecht5": ("SpeechT5ForSpeechToText", {AUDIO: "speecht5.encoder", BACKBONE: "speecht5.decoder"}),
    "seamless_m4t_v2": ("SeamlessM4Tv2ForSpeechToText", {AUDIO: "speech_encoder", BACKBONE: "text_decoder shared"}),
    "kyutai_speech_to_text": (
        f"KyutaiSpeechToText{ITT}",
        {CODEC: "codec_model", BACKBONE: "model", HEAD: "lm_head"},
    ),
    "vits": (
        "VitsModel",
        {TEXT: "text_encoder", VOCODER: "decoder", "acoustic model": "flow duration_predictor posterior_encoder"},
    ),
    "llama": ("LlamaForCausalLM", {BACKBONE: "model", HEAD: "lm_head"}),
    "gpt2": ("GPT2LMHeadModel", {BACKBONE: "transformer"}),
    "t5": (f"T5{ITT}", {TEXT: "encoder", BACKBONE: "decoder shared"}),
    "clip": (
        "CLIPModel",
        {TEXT: "text_model", VISION: "vision_model", PROJECTOR: "visual_projection text_projection logit_scale"},
    ),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_parts_are_the_submodules(kind: str, tmp_path: Path) -> None:
    architecture, paths = FAMILIES[kind]
    model = build(architecture, AutoConfig.for_model(kind))
    write(model, tmp_path)
    found = report(read(tmp_path))
    counted = {part["role"]: part["parameters"] for part in found["parts"] if part["parameters"]}
    assert counted == {role: parameters(model, *own.split()) for role, own in paths.items()}
    statistics = sum(value.numel() for name, value in model.state_dict().items() if name.endswith(STATISTICS))
    assert found["bytes"] == 2 * (found["parameters"] + statistics)


def _facts(found: dict[str, Any], role: str) -> dict[str, Any]:
    facts: dict[str, Any] = next(part["facts"] for part in found["parts"] if part["role"] == role)
    return facts


def _inspected(kind: str, folder: Path, **settings: Any) -> dict[str, Any]:
    write(build(FAMILIES[kind][0], AutoConfig.for_model(kind, **settings)), folder)
    return report(read(folder))


def test_llava_puts_pictures_among_the_text(tmp_path: Path) -> None:
    found = _inspected("llava", tmp_path)
    assert found["layout"] == "decoder only"
    assert found["meeting"] == "unified embedding (image tokens among text tokens)"
    assert _facts(found, PROJECTOR)["kind"] == "MLP of 2 layers"
    assert _facts(found, VISION)["image_size"] == 336
    assert _facts(found, VISION)["patch_size"] == 14
    backbone = _facts(found, BACKBONE)
    assert (backbone["layers"], backbone["heads"], backbone["head_size"], backbone["vocabulary"]) == (
        32,
        32,
        128,
        32000,
    )


def test_llama_vision_and_idefics_attend_across_and_their_layers_are_named(tmp_path: Path) -> None:
    found = _inspected("mllama", tmp_path)
    assert found["meeting"] == "cross-attention"
    assert found["cross_attention_layers"] == [3, 8, 13, 18, 23, 28, 33, 38]
    # Only the 32 other layers keep text: 2 x 8 heads x 128 x 2 bytes each.
    assert found["memory"]["cache_per_1000_tokens"] == 1000 * 32 * 4096
    (tmp_path / "other").mkdir()
    found = _inspected("idefics", tmp_path / "other", cross_layer_interval=4)
    assert found["cross_attention_layers"] == [0, 4, 8, 12, 16, 20, 24, 28]
    assert "tied" not in _facts(found, HEAD)


def test_whisper_is_an_encoder_and_a_decoder_with_a_tied_head(tmp_path: Path) -> None:
    found = _inspected("whisper", tmp_path)
    assert (found["layout"], found["meeting"]) == ("encoder-decoder", "cross-attention")
    assert _facts(found, AUDIO) == {
        "kind": "whisper", "layers": 4, "hidden_size": 384, "heads": 6, "mel_bands": 80, "positions": 1500
    }  # fmt: skip
    assert _facts(found, BACKBONE)["context"] == 448
    assert "tied" in _facts(found, HEAD)
    # Four layers keep what 1500 states of the encoder became, and then each token.
    assert found["memory"]["cache_whole_context"] == (448 + 1500) * 4 * 2 * 384 * 2


def test_connectors_are_told_apart(tmp_path: Path) -> None:
    kinds = {
        "blip-2": "Q-former",
        "idefics2": "perceiver resampler",
        "idefics3": "linear",
        "kosmos-2": "cross-attention to queries",
    }
    for kind, connector in kinds.items():
        (tmp_path / kind).mkdir()
        assert _facts(_inspected(kind, tmp_path / kind), PROJECTOR)["kind"] == connector


def test_layers_with_a_window_keep_no_more_than_it(tmp_path: Path) -> None:
    backbone = {"sliding_window": 1024, "num_hidden_layers": 12, "num_key_value_heads": 4, "head_dim": 256}
    found = _inspected("gemma3", tmp_path, text_config=backbone)
    assert _facts(found, BACKBONE)["layer_kinds"] == {"sliding_attention": 10, "full_attention": 2}
    whole = _facts(found, BACKBONE)["context"]
    assert found["memory"]["cache_whole_context"] == (10 * 1024 + 2 * whole) * 2 * 4 * 256 * 2


@pytest.mark.parametrize(
    "kind, settings",
    [
        ("llama", {"num_key_value_heads": 2}),
        ("qwen3", {"num_key_value_heads": 4, "head_dim": 24}),
        ("gpt2", {"n_embd": 32, "n_head": 4, "n_layer": 3}),
    ],
)
def test_the_cache_is_as_large_as_that_of_the_model(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = AutoConfig.for_model(kind, vocab_size=60, **{**({} if kind == "gpt2" else sizes), **settings})
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    kept = model(torch.arange(20)[None]).past_key_values
    count = sum(layer.keys.numel() + layer.values.numel() for layer in kept.layers)
    found = report(read(tmp_path))
    assert found["memory"]["cache_per_1000_tokens"] * 20 == count * 2 * 1000
    assert found["parameters"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_those_of_the_classes(kind: str) -> None:
    config = AutoConfig.for_model(kind)
    assert {key: getattr(config, key) for key in DEFAULTS[kind]} == DEFAULTS[kind]


def test_a_configuration_that_leaves_its_defaults_out_is_filled(tmp_path: Path) -> None:
    """As that of LLaVA-1.5 7B on the hub: the shapes tell the rest."""
    write(build(*_tiny("llava")), tmp_path)
    text = {"model_type": "llama", "max_position_embeddings": 4096}
    config = {"model_type": "llava", "architectures": [f"Llava{ITT}"], "text_config": text, "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    backbone = _facts(report(read(tmp_path)), BACKBONE)
    assert backbone["context"] == 4096
    assert backbone["vocabulary"] == 32000
    assert backbone["heads"] == 32
    assert backbone["hidden_size"] == 4096


def _tiny(kind: str) -> tuple[str, Any]:
    return FAMILIES[kind][0], AutoConfig.for_model(kind)


def test_packed_weights_count_as_what_they_stand_for(tmp_path: Path) -> None:
    """A matrix of 64 x 128 at 4 bits, as bitsandbytes and as GPTQ store it."""
    half = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **half}), encoding="utf-8")
    name = "model.layers.0.self_attn.q_proj"
    write_header(
        tmp_path / "model.safetensors", {f"{name}.weight": (4096, 1), f"{name}.weight.absmax": (128,)}, "U8", 1
    )
    found = report(read(tmp_path))
    assert (found["parameters"], found["quantized_bits"], found["bytes"]) == (64 * 128, 4, 4096 + 128)
    packed = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **packed}), encoding="utf-8")
    write_header(tmp_path / "model.safetensors", {f"{name}.qweight": (16, 64), f"{name}.g_idx": (128,)}, "I32", 4)
    assert report(read(tmp_path))["parameters"] == 64 * 128


def test_weights_at_each_precision(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    shapes = {
        "model.layers.0.mlp.up_proj.weight": (10, 20),
        "model.embed_tokens.weight": (30, 10),
        "model.norm.weight": (10,),
    }
    write_header(tmp_path / "model.safetensors", shapes)
    rows = {row["precision"]: row["weights"] for row in report(read(tmp_path))["memory"]["precisions"]}
    # Embeddings and norms stay at 16 bits.
    assert rows == {"as stored": 1020, "float32": 2040, "bfloat16": 1020, "int8": 200 + 620, "int4": 100 + 620}


def test_unknown_names_are_grouped_by_their_first_word(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nobody_knows"}), encoding="utf-8")
    shapes = {"model.spleen.0.weight": (3, 3), "model.spleen.1.weight": (3,), "liver.weight": (2,), "bare": (5,)}
    write_header(tmp_path / "model.safetensors", shapes)
    found = report(read(tmp_path))
    assert {part["role"]: part["parameters"] for part in found["parts"]} == {"spleen": 12, "liver": 2, "bare": 5}


@pytest.mark.parametrize(
    "weights, context, room, said",
    [
        (10_000_000_000, 1000, 11_000_000_000, "does not fit"),
        (10_000_000_000, 1000, 11_500_000_000 + 1000 * 64, "fits with its whole context"),
        (10_000_000_000, 1000, 11_500_000_000 + 640 * 64, "fits with 640 tokens of context"),
        (10_000_000_000, None, 11_500_000_000, "fits"),
    ],
)
def test_what_fits(weights: int, context: int | None, room: int, said: str) -> None:
    assert verdict(weights, Cache(token=64), context, room) == said
