"""Families that take pictures at their own size, as rows of patches: Qwen's and those after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers as tf

from tests.tiny import parts

if TYPE_CHECKING:
    from pathlib import Path

_PIXELS = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIALS = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
_PLACES = ["<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"]


def _qwen_tokens(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: parts.token_id(tokenizer, token) for key, token in names.items()}


def _mrope(*sections: int, **given: Any) -> dict[str, Any]:
    # the sections are of half a head: 16 / 2
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(sections), **given}


def qwen2_vl(folder: Path) -> None:
    tokenizer = parts.new_tokenizer([*_SPECIALS, *_PLACES])
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8}
    config = tf.Qwen2VLConfig(
        text_config=parts.text(tokenizer, rope_parameters=_mrope(2, 3, 3)),
        vision_config=vision,
        **_qwen_tokens(tokenizer),
    )
    processor = tf.Qwen2VLProcessor(
        tf.Qwen2VLImageProcessor(size=_PIXELS, patch_size=8), tokenizer,
        tf.Qwen2VLVideoProcessor(size=_PIXELS, patch_size=8), chat_template=_CHAT,
    )  # fmt: skip
    parts.save(folder, tf.Qwen2VLForConditionalGeneration(config), processor)


def qwen2_5_vl(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(_SPECIALS)
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 8, "window_size": 32,
        "out_hidden_size": 32, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = tf.Qwen2_5_VLConfig(
        text_config=parts.text(tokenizer, rope_parameters=_mrope(2, 3, 3)),
        vision_config=vision,
        **_qwen_tokens(tokenizer),
    )
    processor = tf.Qwen2_5_VLProcessor(
        tf.Qwen2VLImageProcessor(size=_PIXELS, patch_size=8), tokenizer,
        tf.Qwen2VLVideoProcessor(size=_PIXELS, patch_size=8), chat_template=_CHAT,
    )  # fmt: skip
    parts.save(folder, tf.Qwen2_5_VLForConditionalGeneration(config), processor)


def qwen3_vl(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(_SPECIALS)
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 16,
        "out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    }  # fmt: skip
    config = tf.Qwen3VLConfig(
        text_config=parts.text(tokenizer, head_dim=16, rope_parameters=_mrope(4, 2, 2, mrope_interleaved=True)), vision_config=vision,
        **_qwen_tokens(tokenizer),
    )  # fmt: skip
    size = {"size": {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}, "patch_size": 16}
    processor = tf.Qwen3VLProcessor(
        tf.Qwen2VLImageProcessor(**size), tokenizer, tf.Qwen3VLVideoProcessor(**size), chat_template=_CHAT
    )
    parts.save(folder, tf.Qwen3VLForConditionalGeneration(config), processor)


def video_llama3(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(_SPECIALS)
    vision = parts.vision()
    del vision["image_size"]
    config = tf.VideoLlama3Config(
        vision_config=vision, text_config=parts.qwen2(tokenizer),
        image_token_id=parts.token_id(tokenizer, "<|image_pad|>"),
        video_token_id=parts.token_id(tokenizer, "<|video_pad|>"),
    )  # fmt: skip
    processor = tf.VideoLlama3Processor(
        tf.VideoLlama3ImageProcessor(size=_PIXELS, patch_size=8), tokenizer,
        tf.VideoLlama3VideoProcessor(size=_PIXELS, patch_size=8), chat_template=_CHAT,
    )  # fmt: skip
    parts.save(folder, tf.VideoLlama3ForConditionalGeneration(config), processor)


_GLM_CHAT = (
    "{{ '[gMASK]<sop>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|begin_of_image|><|image|><|end_of_image|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|begin_of_video|><|video|><|end_of_video|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def glm4v(folder: Path) -> None:
    marks = {
        "image_token_id": "<|image|>", "video_token_id": "<|video|>", "image_start_token_id": "<|begin_of_image|>",
        "image_end_token_id": "<|end_of_image|>", "video_start_token_id": "<|begin_of_video|>",
        "video_end_token_id": "<|end_of_video|>",
    }  # fmt: skip
    tokenizer = parts.new_tokenizer([*marks.values(), "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"])
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "image_size": 32, "patch_size": 8,
        "out_hidden_size": 32,
    }  # fmt: skip
    rope = _mrope(2, 1, 1, partial_rotary_factor=0.5)
    config = tf.Glm4vConfig(
        text_config=parts.text(tokenizer, rope_parameters=rope), vision_config=vision,
        **{key: parts.token_id(tokenizer, token) for key, token in marks.items()},
    )  # fmt: skip
    size = {"size": _PIXELS, "patch_size": 8}
    processor = tf.Glm4vProcessor(
        tf.Glm4vImageProcessor(**size), tokenizer, tf.Glm4vVideoProcessor(**size), chat_template=_GLM_CHAT
    )
    parts.save(folder, tf.Glm4vForConditionalGeneration(config), processor)


_MOLMO_MARKS = {
    "image_start_token_id": "<im_start>", "low_res_image_start_token_id": "<low_res_im_start>",
    "image_end_token_id": "<im_end>", "image_patch_id": "<im_patch>", "frame_start_token_id": "<frame_start>",
    "frame_end_token_id": "<frame_end>",
}  # fmt: skip
_MOLMO_CHAT = (
    "{% for message in messages %}{% if message['content'] is string %}{% set content = message['content'] %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + content }}{% else %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<|image|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|video|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def molmo2(folder: Path) -> None:
    specials = ["<|image|>", "<|video|>", "<im_col>", "<im_low>", "<|im_start|>", "<|im_end|>"]
    tokenizer = parts.new_tokenizer([*_MOLMO_MARKS.values(), *specials])
    vision = parts.vision(image_size=[32, 32], num_key_value_heads=2, head_dim=16)
    adapter = {
        "vision_feature_layer": [1, 0], "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 16, "intermediate_size": 48, "text_hidden_size": 32,
    }  # fmt: skip
    config = tf.Molmo2Config(
        vision_config=vision, adapter_config=adapter, text_config=parts.text(tokenizer, head_dim=16),
        **{key: parts.token_id(tokenizer, token) for key, token in _MOLMO_MARKS.items()},
    )  # fmt: skip
    images = tf.Molmo2ImageProcessor(size=parts.square(32), patch_size=8, max_crops=2, overlap_margins=[1, 1])
    videos = tf.Molmo2VideoProcessor(size=parts.square(32), patch_size=8, pooling_size=[2, 2], num_frames=8)
    processor = tf.Molmo2Processor(images, videos, tokenizer, chat_template=_MOLMO_CHAT)
    parts.save(folder, tf.Molmo2ForConditionalGeneration(config), processor)
