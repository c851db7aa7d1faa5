"""What the configuration tells of each part: layers, sizes, heads, context, pictures, sound.

Configurations leave out what is the default of their class; then the shapes of the tensors tell it, and where they
cannot, DEFAULTS does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mmcli.anatomy.checkpoint import table
from mmcli.anatomy.numbers import number, side
from mmcli.anatomy.parts import ACOUSTIC, AUDIO, BACKBONE, CODEC, PROJECTOR, SPEAKER, TEXT, VISION, VOCODER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmcli.anatomy.checkpoint import Checkpoint
    from mmcli.anatomy.headers import Tensor

Facts = dict[str, Any]

# `model_type` -> what transformers' class says where a hub's older configuration is silent.
DEFAULTS: dict[str, dict[str, int]] = {
    "llama": {"num_attention_heads": 32, "num_hidden_layers": 32, "hidden_size": 4096, "max_position_embeddings": 2048},
    "mistral": {"num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32, "hidden_size": 4096},
    "qwen2": {"num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32768},
    "gemma": {"num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "max_position_embeddings": 8192},
    "gemma2": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192},
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
    },
    "clip_vision_model": {"num_attention_heads": 12, "image_size": 224, "patch_size": 32},
    "siglip_vision_model": {"num_attention_heads": 12, "image_size": 224, "patch_size": 16},
    "pixtral": {"num_attention_heads": 16, "image_size": 1024, "patch_size": 16},
}
# Every n-th layer looks at the whole context, the others at a window, where no `layer_types` says it.
_WINDOW_PATTERN = {"gemma2": 2, "gemma3_text": 6}

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "depth", "layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "embed_dim", "hidden_dim", "width", "dim")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads")
_ENCODER_DECODER = re.compile(
    r"(^|\.)(encoder_attn|EncDecAttention|encoder_decoder_attention)\.|^decoder\.layer_\d+\.attention\."
)
_CROSS = re.compile(r"(^|\.)(cross_attn|crossattention|gated_cross_attn_layers)(\.|$)")
_NUMBERED = re.compile(r"(?:^|\.)(?:layers|blocks|h|layer|block)[._](\d+)(?:\.|$)")


def backbone_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table of the language model; the whole where it has none of its own."""
    inner = table(config, "thinker_config") or config
    return table(inner, "text_config", "llm_config", "language_config", "decoder") or inner


def of_parts(checkpoint: Checkpoint, tensors: Mapping[str, Sequence[Tensor]]) -> dict[str, Facts]:
    """Facts by role, for the roles that have tensors; without any, for those that the configuration has."""
    inner = table(checkpoint.config, "thinker_config") or checkpoint.config
    vision = table(
        inner, "vision_config", "vit_config", "encoder" if checkpoint.kind == "vision-encoder-decoder" else ""
    )
    audio = table(inner, "audio_config", "encoder_config", "audio_encoder_config", "speech_config")
    roles = list(tensors) or _roles_by_config(vision, audio)
    found: dict[str, Facts] = {}
    for role in roles:
        own = tensors.get(role, ())
        if role == VISION:
            found[role] = _vision(vision or checkpoint.config, own)
        elif role == AUDIO:
            found[role] = _audio(audio or checkpoint.config, checkpoint, own)
        elif role == BACKBONE:
            found[role] = backbone(checkpoint, own)
        elif role == PROJECTOR:
            found[role] = _projector(own)
        elif role in (VOCODER, ACOUSTIC, CODEC, SPEAKER):
            found[role] = _sound(checkpoint)
        elif role == TEXT:
            found[role] = _kept({"layers": _layers({}, own), "hidden_size": _hidden({}, own)})
        else:
            found[role] = {}
    return found


def _roles_by_config(vision: Mapping[str, Any], audio: Mapping[str, Any]) -> list[str]:
    return [role for role, there in ((VISION, vision), (AUDIO, audio), (BACKBONE, True)) if there]


def _kept(facts: Facts) -> Facts:
    return {key: value for key, value in facts.items() if value not in (None, "", {}, [])}


def _with_defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = config.get("model_type")
    return {**DEFAULTS.get(kind, {}), **config} if isinstance(kind, str) else config


# ---------------------------------------------------------------- the language model


def backbone(checkpoint: Checkpoint, tensors: Sequence[Tensor]) -> Facts:
    """The decoder that writes: layers, sizes, heads, context. A number that nothing tells is left out."""
    given = backbone_config(checkpoint.config)
    config = _with_defaults(given)
    hidden = _hidden(config, tensors, ("decoder_hidden_size",))
    heads = number(config, "decoder_attention_heads", *_HEADS) or number(checkpoint.scalars, "decoder.num_heads")
    size = number(config, "head_dim", "d_kv", "attention_head_dim", "kv_channels")
    size = size or (hidden // heads if hidden and heads and hidden % heads == 0 else None)
    kv = number(config, "num_key_value_heads", "num_kv_heads", "decoder_num_key_value_heads", "n_kv_heads")
    if kv is None and config.get("multi_query") is True:
        kv = 1
    layers = _layers(config, tensors, ("decoder_layers", "num_decoder_layers", "decoder_num_hidden_layers"))
    kv_width = None if kv else _kv_width(tensors)
    if kv_width and size and kv_width % size == 0:
        kv = kv_width // size
    return _kept(
        {
            "kind": str(given.get("model_type") or "")[:60],
            "layers": layers,
            "hidden_size": hidden,
            "heads": heads,
            "kv_heads": kv or heads,
            "head_size": size,
            "vocabulary": number(config, "vocab_size") or _vocabulary(tensors),
            "context": _context(config, tensors),
            "sliding_window": _window(config),
            "rope": _rope(config),
            "layer_kinds": _layer_kinds(config, layers),
            "experts": number(config, "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
        }
    )


def _layers(config: Mapping[str, Any], tensors: Iterable[Tensor], first: tuple[str, ...] = ()) -> int | None:
    indices = {int(match[1]) for t in tensors if (match := _NUMBERED.search(t.name)) is not None and len(match[1]) < 6}
    return number(config, *first, *_LAYERS) or (max(indices) + 1 if indices else None)


def _hidden(config: Mapping[str, Any], tensors: Iterable[Tensor], first: tuple[str, ...] = ()) -> int | None:
    found = number(config, *first, *_HIDDEN)
    if found is None:
        norms = [t.shape[0] for t in tensors if len(t.shape) == 1 and re.search(r"norm\d?\.(weight|gamma)$", t.name)]
        found = max(set(norms), key=norms.count) if norms else None
    return found


def _embedding(tensors: Iterable[Tensor]) -> Tensor | None:
    named = (
        t
        for t in tensors
        if len(t.shape) == 2 and re.search(r"(embed_tokens|wte|word_embeddings|embeddings?_?\d?)\.weight$", t.name)
    )
    return max(named, key=lambda t: t.elements, default=None)


def _vocabulary(tensors: Iterable[Tensor]) -> int | None:
    found = _embedding(tensors)
    return found.shape[0] if found is not None else None


def _kv_width(tensors: Iterable[Tensor]) -> int | None:
    own = (t for t in tensors if re.search(r"self_attn\.k_proj\.weight$", t.name) and len(t.shape) == 2)
    found = next((t for t in own if t.dtype in ("float32", "float16", "bfloat16")), None)
    return found.shape[0] if found is not None else None


def _context(config: Mapping[str, Any], tensors: Iterable[Tensor]) -> int | None:
    found = number(
        config, "max_target_positions", "max_position_embeddings", "n_positions", "max_seq_len", "seq_length"
    )
    return found or _positions(tensors)


def _positions(tensors: Iterable[Tensor]) -> int | None:
    """How many learned positions there are, as CTranslate2 names them."""
    own = (t.shape[0] for t in tensors if len(t.shape) == 2 and t.name.endswith("position_encodings.encodings"))
    return next(own, None)


def _window(config: Mapping[str, Any]) -> int | None:
    return (
        None if config.get("use_sliding_window") is False else number(config, "sliding_window", "attention_chunk_size")
    )


def _rope(config: Mapping[str, Any]) -> str | None:
    scaling = table(config, "rope_scaling", "rope_parameters")
    kind = scaling.get("rope_type", scaling.get("type"))
    if not isinstance(kind, str) or kind in ("default", "mrope"):
        return None
    factor = scaling.get("factor")
    return kind[:30] + (f" x {factor:g}" if isinstance(factor, int | float) else "")


def _layer_kinds(config: Mapping[str, Any], layers: int | None) -> dict[str, int] | None:
    """How many layers are of which kind, where they are not all the same."""
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and kinds and all(isinstance(kind, str) for kind in kinds):
        counted = {kind[:40]: kinds.count(kind) for kind in dict.fromkeys(kinds[:1000])}
        return counted if counted != {"full_attention": layers} else None
    pattern = number(config, "sliding_window_pattern") or _WINDOW_PATTERN.get(str(config.get("model_type")))
    if layers is None or _window(config) is None:
        return None
    full = layers // pattern if pattern else 0
    return {"sliding_attention": layers - full, **({"full_attention": full} if full else {})}


# ---------------------------------------------------------------- encoders, projector, sound


def _vision(config: Mapping[str, Any], tensors: Sequence[Tensor]) -> Facts:
    config = _with_defaults(config)
    patches = max(
        (t for t in tensors if len(t.shape) >= 4 and "patch" in t.name), key=lambda t: len(t.shape), default=None
    )
    return _kept(
        {
            "kind": str(config.get("model_type") or "")[:60],
            "layers": _layers(config, tensors),
            "hidden_size": number(config, "embed_dim") or _hidden(config, tensors),
            "heads": number(config, *_HEADS),
            "image_size": side(config.get("image_size") or config.get("img_size"), "height"),
            "patch_size": side(config.get("patch_size"), "height")
            or (patches.shape[-1] if patches is not None else None),
            "merge_size": number(config, "spatial_merge_size"),
        }
    )


def _audio(config: Mapping[str, Any], checkpoint: Checkpoint, tensors: Sequence[Tensor]) -> Facts:
    extractor, scalars = checkpoint.audio, checkpoint.scalars
    convolution = next((t for t in tensors if re.search(r"conv1\.weight$", t.name) and len(t.shape) == 3), None)
    mels = number(config, "num_mel_bins", "feature_projection_input_dim", "input_dim") or number(
        extractor, "feature_size", "num_mel_bins"
    )
    return _kept(
        {
            "kind": str(config.get("model_type") or "")[:60],
            "layers": _layers(
                config, tensors, ("encoder_layers", "encoder_num_hidden_layers", "speech_encoder_layers")
            ),
            "hidden_size": _hidden(config, tensors),
            "heads": number(config, "encoder_attention_heads", "speech_encoder_attention_heads", *_HEADS)
            or number(scalars, "encoder.num_heads"),
            "mel_bands": mels
            if mels and mels > 1
            else convolution.shape[1]
            if convolution is not None and convolution.shape[1] > 1
            else None,
            "sampling_rate": number(extractor, "sampling_rate") or number(config, "sampling_rate", "sample_rate"),
            "hop_length": number(extractor, "hop_length"),
            "positions": number(config, "max_source_positions") or _positions(tensors),
        }
    )


def _projector(tensors: Sequence[Tensor]) -> Facts:
    """What kind of connector its names and shapes show."""
    names = " ".join(t.name for t in tensors)
    kinds = (
        ("qformer", "Q-former"),
        ("perceiver_resampler", "perceiver resampler"),
        ("resampler", "resampler"),
        ("merger", "patch merger and MLP"),
        ("image_pooling", "attention pooling and MLP"),
        ("cross_attn", "cross-attention to queries"),
        ("latent_query", "cross-attention to queries"),
    )
    kind = next((label for word, label in kinds if word in names), None)
    matrices = [
        t for t in tensors if len(t.shape) == 2 and not re.search(r"embed|query|newline|latents|position", t.name)
    ]
    if kind is None and matrices:
        kind = "linear" if len(matrices) == 1 else f"MLP of {len(matrices)} layers"
    queries = next(
        (t.shape[-2] for t in tensors if re.search(r"quer(y|y_tokens|ies)$|latents$", t.name) and len(t.shape) > 1),
        None,
    )
    return _kept({"kind": kind, "queries": queries})


def _sound(checkpoint: Checkpoint) -> Facts:
    """The mel spectrogram or codec that a voice is made of."""
    given = {
        **checkpoint.audio,
        **table(checkpoint.config, "codec_config", "audio_encoder_config", "vocoder_config"),
        **checkpoint.config,
    }
    given = {**given, **table(checkpoint.config, "audio")}
    return _kept(
        {
            "mel_bands": number(given, "num_mels", "num_mel_bins", "model_in_dim"),
            "sampling_rate": number(given, "sample_rate", "sampling_rate", "sampling_frequency"),
            "window_length": number(given, "win_length"),
            "fft_length": number(given, "fft_size", "n_fft", "fft_length"),
            "hop_length": number(given, "hop_length", "hop_size"),
            "codebooks": number(given, "num_quantizers", "num_codebooks"),
        }
    )


# ---------------------------------------------------------------- how the parts meet


def layout(checkpoint: Checkpoint, roles: Iterable[str]) -> str:
    """encoder-decoder, decoder only, speech synthesis, or encoder only."""
    roles = set(roles)
    config = checkpoint.config
    flagged = config.get("is_encoder_decoder") is True or backbone_config(config).get("is_encoder_decoder") is True
    if flagged or any(_ENCODER_DECODER.search(t.name) for t in checkpoint.tensors):
        return "encoder-decoder"
    if BACKBONE in roles:
        return "decoder only"
    if roles & {VOCODER, ACOUSTIC, CODEC}:
        return "speech synthesis"
    return "encoder only"


def meeting(checkpoint: Checkpoint, roles: Iterable[str]) -> tuple[str, list[int]]:
    """How pictures or sound reach the language model, and the layers that attend to them; "" for one that has neither."""
    roles = set(roles)
    senses = [name for role, name in ((VISION, "image"), (AUDIO, "audio")) if role in roles]
    if PROJECTOR in roles and VISION not in roles and any("vision_embed_tokens" in t.name for t in checkpoint.tensors):
        senses = ["image"]
    if not senses or BACKBONE not in roles:
        return "", []
    crossed = [
        t.name
        for t in checkpoint.tensors
        if _CROSS.search(t.name) and not re.search(r"projector|qformer|vision_", t.name)
    ]
    if crossed:
        found = sorted({int(match[1]) for name in crossed if (match := _NUMBERED.search(name))})
        every = number(checkpoint.config, "cross_layer_interval")
        if every and any("gated_cross_attn_layers" in name for name in crossed):
            found = [int(re.findall(r"gated_cross_attn_layers\.(\d+)", name)[0]) * every for name in crossed]
        return "cross-attention", sorted(set(found))
    if layout(checkpoint, roles) == "encoder-decoder" and PROJECTOR not in roles:
        return "cross-attention", []
    return f"unified embedding ({' and '.join(senses)} tokens among text tokens)", []
