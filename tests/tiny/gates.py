"""Families whose language model looks at pictures through gated layers of cross-attention, as Flamingo did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import transformers as tf

from tests.tiny import parts

if TYPE_CHECKING:
    from pathlib import Path

_LLAMA3_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<|image|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def mllama(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(
        ["<|image|>", "<|python_tag|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], begins=True
    )
    image = parts.token_id(tokenizer, "<|image|>")
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_global_layers": 1,
        "attention_heads": 2, "image_size": 32, "patch_size": 8, "max_num_tiles": 2, "vision_output_dim": 64,
        "intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }  # fmt: skip
    text = parts.text(tokenizer, num_hidden_layers=3, cross_attention_layers=[1])
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    config = tf.MllamaConfig(vision_config=vision, text_config=text, image_token_index=image)
    processor = tf.MllamaProcessor(
        tf.MllamaImageProcessor(size=parts.square(32), max_image_tiles=2), tokenizer, chat_template=_LLAMA3_CHAT
    )
    parts.save(folder, tf.MllamaForConditionalGeneration(config), processor)


def idefics(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<fake_token_around_image>", "<image>", "<end_of_utterance>"], begins=True)
    sizes = {key: value for key, value in parts.text(tokenizer).items() if key != "num_key_value_heads"}
    vision = {
        "embed_dim": 32, "image_size": 32, "patch_size": 8, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    resampler = {"resampler_n_latents": 8, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 16}
    config = tf.IdeficsConfig(
        **sizes, vision_config=vision, perceiver_config={"use_resampler": True, **resampler}, use_resampler=True,
        cross_layer_interval=1, alpha_initializer="ones", alpha_type="float",
    )  # fmt: skip
    processor = tf.IdeficsProcessor(
        tf.IdeficsImageProcessor(image_size=32), tokenizer, image_size=32, add_end_of_utterance_token=True
    )
    parts.save(folder, tf.IdeficsForVisionText2Text(config), processor)
