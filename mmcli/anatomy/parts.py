"""The parts of a model - encoders, projector, backbone, head - by the names of its tensors, with what each weighs.

The names are those of the hub's checkpoints and of transformers; a group of families with names of its own is one entry
in GROUPS. What no pattern knows is grouped by the first word of its name.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.anatomy.checkpoint import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from mmcli.anatomy.checkpoint import Checkpoint
    from mmcli.anatomy.headers import Tensor

VISION = "vision encoder"
AUDIO = "audio encoder"
TEXT = "text encoder"
PROJECTOR = "projector"
BACKBONE = "backbone"
HEAD = "output head"
ACOUSTIC = "acoustic model"
SPEAKER = "speech generator"
CODEC = "codec"
VOCODER = "vocoder"
ORDER = (VISION, AUDIO, TEXT, PROJECTOR, BACKBONE, HEAD, SPEAKER, ACOUSTIC, CODEC, VOCODER)
"""As data flows. Parts with other names come behind them."""

# Role -> words, each a whole step of a dotted name; "^" says that it is the first one. The first match counts.
_GENERAL: tuple[tuple[str, str], ...] = (
    (VOCODER, "^token2wav ^code2wav ^vocoder ^hifigan"),
    (SPEAKER, "^talker ^t2u_model ^depth_decoder"),
    (CODEC, "^codec_model ^codec vqmodel"),
    (
        HEAD,
        "lm_head lm_heads embed_out proj_out ctc_head codec_head codebooks_head generation_head classifier ^output predictions",
    ),
    (
        PROJECTOR,
        "multi_modal_projector mm_projector projector connector aligner generation_aligner qformer query_tokens"
        " language_projection perceiver_resampler resampler visual_projection text_projection image_newline"
        " image_to_text_projection merger deepstack_merger_list image_projector image_pooling_2d vision_embed_tokens"
        " mlp1 embed_vision embed_audio modality_projection vision_projection audio_projector audio_projection ^enc_to_dec_proj",
    ),
    (
        VISION,
        "vision_tower vision_model visual vision_encoder image_encoder image_tower video_tower vision_backbone image_vit",
    ),
    (AUDIO, "audio_tower audio_encoder speech_encoder audio_model"),
    (
        BACKBONE,
        "language_model text_model text_decoder llm transformer backbone_model backbone decoder shared embed_tokens"
        " embed_text_tokens embed_positions layers gated_cross_attn_layers wte wpe norm final_layernorm gpt_neox git",
    ),
)
_SPEECH_TO_TEXT = ((HEAD, "lm_head proj_out projection"), (AUDIO, "encoder"), (BACKBONE, "decoder"))
_CTC = ((HEAD, "lm_head ctc_head classifier"), (AUDIO, "."))
_TEXT_TO_TEXT = ((HEAD, "lm_head"), (TEXT, "^encoder encoder"), (BACKBONE, "decoder shared"))
_TWO_TOWERS = (
    (PROJECTOR, "visual_projection text_projection logit_scale logit_bias"),
    (TEXT, "^text_model"),
    (VISION, "^vision_model"),
)
_CODEC = ((CODEC, "."),)

# config.json's `model_type` -> patterns that come before the general ones; "." is whatever is left.
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(
        ("whisper", "moonshine", "moonshine_streaming", "speech_to_text", "kolibri1", "cohere_asr"), _SPEECH_TO_TEXT
    ),
    **dict.fromkeys(
        ("wav2vec2", "wav2vec2-conformer", "wav2vec2-bert", "hubert", "wavlm", "sew", "unispeech", "parakeet_ctc"), _CTC
    ),
    "parakeet_tdt": ((HEAD, "^joint"), (AUDIO, "^encoder"), (BACKBONE, "^decoder")),
    "granite_speech": ((PROJECTOR, "^projector"), (AUDIO, "^encoder")),
    "vision-encoder-decoder": ((HEAD, "predictions output_projection"), (VISION, "^encoder"), (BACKBONE, "^decoder")),
    **dict.fromkeys(("t5", "mt5", "umt5", "bart", "mbart", "nllb", "m2m_100", "marian", "pegasus"), _TEXT_TO_TEXT),
    **dict.fromkeys(("clip", "siglip", "siglip2", "chinese_clip", "altclip"), _TWO_TOWERS),
    "blip": ((HEAD, "cls"), (TEXT, "^text_encoder"), (BACKBONE, "^text_decoder")),
    **dict.fromkeys(("seamless_m4t", "seamless_m4t_v2"), ((TEXT, "^text_encoder"), (AUDIO, "^speech_encoder"))),
    "speecht5": (
        (HEAD, "text_decoder_postnet"),
        (AUDIO, "encoder"),
        (BACKBONE, "decoder speech_decoder_postnet"),
    ),
    "vits": ((TEXT, "^text_encoder"), (VOCODER, "^decoder"), (ACOUSTIC, ".")),
    "fastspeech2_conformer": ((TEXT, "^encoder"), (ACOUSTIC, ".")),
    "fastspeech2_conformer_with_hifigan": ((VOCODER, "^vocoder"), (TEXT, "encoder"), (ACOUSTIC, ".")),
    **dict.fromkeys(("hifigan", "univnet"), ((VOCODER, "."),)),
    **dict.fromkeys(("mimi", "encodec", "dac", "xcodec", "xcodec2", "neucodec"), _CODEC),
    "bark": ((CODEC, "^codec_model"), (BACKBONE, "^semantic"), (SPEAKER, "^coarse_acoustics ^fine_acoustics")),
    "moshi": ((CODEC, "^audio_encoder"), (BACKBONE, "^decoder ^model")),
    "git": ((VISION, "image_encoder"), (HEAD, "^output"), (PROJECTOR, "visual_projection"), (BACKBONE, "^git")),
    "phi4_multimodal": (
        (VISION, "img_processor"),
        (AUDIO, "audio_embed.encoder"),
        (PROJECTOR, "image_embed audio_embed"),
    ),
}
# Stored beside quantised weights: how to unfold them, nothing that was learned.
_NOT_LEARNED = re.compile(
    r"(^|[._])(absmax|quant_map|nested_absmax|nested_quant_map|quant_state|SCB|weight_format|weight_scale(_inv|_2)?|weight_zero_point"
    r"|input_scale|scales|qzeros|g_idx|weight_shape|num_batches_tracked|running_mean|running_var|position_ids|inv_freq)([._].*)?$"
)
_PACKED = re.compile(r"(qweight|weight_packed|_blocks)$")
_FLOATS = ("float64", "float32", "float16", "bfloat16", "float8", "float6", "float4", "complex64")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model. `bytes` as stored, by type in `dtypes`; `inside` are its own parts with their parameters."""

    role: str
    parameters: int
    bytes: int
    dtypes: Mapping[str, int]
    inside: Mapping[str, int]


def by_role(checkpoint: Checkpoint) -> dict[str, list[Tensor]]:
    """The tensors of each role, in the order in which data flows; empty where the tensors are not known."""
    rules = _compiled((*GROUPS.get(checkpoint.kind or _guess(checkpoint), ()), *_GENERAL))
    grouped: dict[str, list[Tensor]] = {}
    for tensor in checkpoint.tensors:
        grouped.setdefault(_role(tensor.name, rules), []).append(tensor)
    return dict(sorted(grouped.items(), key=lambda item: ORDER.index(item[0]) if item[0] in ORDER else len(ORDER)))


def _guess(checkpoint: Checkpoint) -> str:
    """CTranslate2 writes no `model_type`; of its models only Whisper has this key."""
    return "whisper" if "lang_ids" in checkpoint.config else ""


def _compiled(rules: Iterable[tuple[str, str]]) -> list[tuple[str, re.Pattern[str]]]:
    compiled = []
    for role, words in rules:
        # A tool that trains or wraps a model may put one of these words before all its names.
        steps = [
            (r"^(?:model\.|module\.)?" if word[0] == "^" else r"(?:^|\.)")
            + re.escape(word.removeprefix("^"))
            + r"(?:\.|$)"
            for word in words.split()
            if word != "."
        ]
        compiled.append((role, re.compile("|".join(steps) if steps else "")))
    return compiled


def _role(name: str, rules: list[tuple[str, re.Pattern[str]]]) -> str:
    for role, pattern in rules:
        if pattern.search(name):
            return role
    steps = [step for step in name.split(".")[:-1] if step not in ("model", "module")]
    return steps[0] if steps else name.rsplit(".", maxsplit=1)[-1]


def part(role: str, tensors: Iterable[Tensor], bits: int) -> Part:
    """What the tensors of a role weigh; `bits` as `packed_bits` gives them."""
    tensors = list(tensors)
    dtypes: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for tensor in tensors:
        dtypes[tensor.dtype] += tensor.bytes
        inside[_stem(tensor.name)] += parameters(tensor, bits)
    counted = dict(inside.most_common())
    return Part(role, sum(inside.values()), sum(t.bytes for t in tensors), dict(dtypes.most_common()), counted)


def _stem(name: str) -> str:
    """The module of a tensor, the numbered ones of a list as one."""
    before, numbered, _ = (
        re.split(r"[._](\d+)(?=\.|$)", name, maxsplit=1) if re.search(r"[._]\d+(\.|$)", name) else (name, "", "")
    )
    steps = before.split(".") if numbered else before.split(".")[:-1]
    return ".".join(steps[:4]) or name


def parameters(tensor: Tensor, bits: int) -> int:
    """How many parameters a stored tensor stands for: several a byte where it is packed, none for what was not learned."""
    if _NOT_LEARNED.search(tensor.name) or (tensor.dtype not in _FLOATS and not tensor.shape):
        return 0
    packs = (tensor.dtype in ("uint8", "int8") and bits < 8) or _PACKED.search(tensor.name)
    if packs and tensor.dtype in ("uint8", "int8", "int32", "uint32", "int16"):
        return tensor.bytes * 8 // bits
    return tensor.elements


def packed_bits(config: Mapping[str, Any]) -> int:
    """Bits of a quantised weight by config.json's `quantization_config`; 8 where it says nothing."""
    settings = table(config, "quantization_config")
    if settings.get("load_in_4bit") is True or settings.get("quant_method") == "mxfp4":
        return 4
    bits = settings.get("bits", settings.get("w_bit"))
    if bits is None:
        groups = table(settings, "config_groups")
        first = next((group for group in groups.values() if isinstance(group, dict)), {})
        bits = table(first, "weights").get("num_bits")
    return bits if type(bits) is int and 1 <= bits <= 8 else 8
