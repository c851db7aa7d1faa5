"""The LLaVA line and what is built like it: a vision tower, a projection, a language model; large pictures in tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import transformers as tf

from tests.tiny import parts

if TYPE_CHECKING:
    from pathlib import Path

PINPOINTS = [[32, 64], [64, 32], [64, 64]]
CHAT = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] + ' ' }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% elif part['type'] == 'video' %}{{ '<video>\n' }}"
    "{% else %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def llava(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<image>"], begins=True)
    config = tf.LlavaConfig(
        vision_config=parts.clip(), text_config=parts.llama(tokenizer),
        image_token_index=parts.token_id(tokenizer, "<image>"),
        image_seq_length=16, vision_feature_layer=-2,
    )  # fmt: skip
    processor = tf.LlavaProcessor(
        tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=parts.square(32)), tokenizer, patch_size=8,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=CHAT,
    )  # fmt: skip
    parts.save(folder, tf.LlavaForConditionalGeneration(config), processor)


def llava_next(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<image>"], begins=True)
    config = tf.LlavaNextConfig(
        vision_config=parts.clip(), text_config=parts.llama(tokenizer),
        image_token_index=parts.token_id(tokenizer, "<image>"),
        image_grid_pinpoints=PINPOINTS, image_seq_length=16,
    )  # fmt: skip
    images = tf.LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size=parts.square(32), image_grid_pinpoints=PINPOINTS
    )
    processor = tf.LlavaNextProcessor(
        images, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT,
    )  # fmt: skip
    parts.save(folder, tf.LlavaNextForConditionalGeneration(config), processor)


def llava_next_video(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<image>", "<video>"], begins=True)
    config = tf.LlavaNextVideoConfig(
        vision_config=parts.clip(), text_config=parts.llama(tokenizer),
        image_token_index=parts.token_id(tokenizer, "<image>"),
        video_token_index=parts.token_id(tokenizer, "<video>"), image_grid_pinpoints=PINPOINTS,
        image_seq_length=16, video_seq_length=4,
    )  # fmt: skip
    size = {"size": {"shortest_edge": 32}, "crop_size": parts.square(32)}
    processor = tf.LlavaNextVideoProcessor(
        tf.LlavaNextVideoVideoProcessor(**size),
        tf.LlavaNextImageProcessor(**size, image_grid_pinpoints=PINPOINTS), tokenizer, patch_size=8,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=CHAT,
    )  # fmt: skip
    parts.save(folder, tf.LlavaNextVideoForConditionalGeneration(config), processor)


def llava_onevision(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<image>", "<video>"])
    config = tf.LlavaOnevisionConfig(
        vision_config=parts.siglip(vision_use_head=False), text_config=parts.qwen2(tokenizer),
        image_token_index=parts.token_id(tokenizer, "<image>"),
        video_token_index=parts.token_id(tokenizer, "<video>"), image_grid_pinpoints=PINPOINTS,
    )  # fmt: skip
    processor = tf.LlavaOnevisionProcessor(
        tf.LlavaOnevisionImageProcessor(size=parts.square(32), image_grid_pinpoints=PINPOINTS), tokenizer,
        tf.LlavaOnevisionVideoProcessor(size=parts.square(32)), num_image_tokens=16,
        vision_feature_select_strategy="full", chat_template=CHAT,
    )  # fmt: skip
    parts.save(folder, tf.LlavaOnevisionForConditionalGeneration(config), processor)


def video_llava(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<image>", "<video>"], begins=True)
    config = tf.VideoLlavaConfig(
        vision_config=parts.clip(), text_config=parts.llama(tokenizer),
        image_token_index=parts.token_id(tokenizer, "<image>"),
        video_token_index=parts.token_id(tokenizer, "<video>"), image_seq_length=16, video_seq_length=136,
    )  # fmt: skip
    size = {"size": {"shortest_edge": 32}, "crop_size": parts.square(32)}
    processor = tf.VideoLlavaProcessor(
        tf.VideoLlavaImageProcessor(**size), tf.VideoLlavaVideoProcessor(**size), tokenizer, patch_size=8,
        num_additional_image_tokens=1, chat_template=CHAT,
    )  # fmt: skip
    parts.save(folder, tf.VideoLlavaForConditionalGeneration(config), processor)


def pixtral(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"])
    config = tf.LlavaConfig(
        vision_config=tf.PixtralVisionConfig(**parts.vision(image_size=64)),
        text_config=tf.MistralConfig(**parts.text(tokenizer, head_dim=16)),
        image_token_index=parts.token_id(tokenizer, "[IMG]"),
        vision_feature_select_strategy="full", vision_feature_layer=-1,
    )  # fmt: skip
    processor = tf.PixtralProcessor(
        tf.PixtralImageProcessor(size={"longest_edge": 64}, patch_size=8), tokenizer, patch_size=8,
        chat_template=(
            "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST]' }}"
            "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
            "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '[IMG]' }}"
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '[/INST]' }}"
            "{% elif message['role'] == 'system' %}"
            "{{ '[INST]' + (message['content'] if message['content'] is string else message['content'][0]['text'])"
            " + '[/INST]' }}{% else %}"
            "{{ (message['content'] if message['content'] is string else message['content'][0]['text']) + eos_token }}"
            "{% endif %}{% endfor %}"
        ),
    )  # fmt: skip
    parts.save(folder, tf.LlavaForConditionalGeneration(config), processor)


def internvl(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = tf.InternVLConfig(
        vision_config=tf.InternVLVisionConfig(**parts.vision(image_size=[32, 32], patch_size=[8, 8])),
        text_config=parts.qwen2(tokenizer),
        image_token_id=parts.token_id(tokenizer, "<IMG_CONTEXT>"), image_seq_length=4,
    )  # fmt: skip
    processor = tf.InternVLProcessor(
        tf.GotOcr2ImageProcessor(size=parts.square(32), crop_to_patches=True, max_patches=3), tokenizer,
        tf.InternVLVideoProcessor(size=parts.square(32)), image_seq_length=4,
        chat_template=CHAT.replace("<image>", "<IMG_CONTEXT>"),
    )  # fmt: skip
    parts.save(folder, tf.InternVLForConditionalGeneration(config), processor)


# ---------------------------------------------------------------- IDEFICS 2 and 3, SmolVLM

_IDEFICS_CHAT = (
    "{% for message in messages %}{{ message['role'].capitalize() + ':' }}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% elif part['type'] == 'video' %}{{ '<video>' }}"
    "{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_IDEFICS_SPECIALS = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]
_PLACES = ["<global-img>", *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))]


def idefics2(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(_IDEFICS_SPECIALS, begins=True)
    resampler = {
        "hidden_size": 32, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2,
        "resampler_head_dim": 16, "num_key_value_heads": 2,
    }  # fmt: skip
    config = tf.Idefics2Config(
        vision_config=parts.vision(), perceiver_config=resampler,
        text_config=tf.MistralConfig(**parts.text(tokenizer, head_dim=16)),
        image_token_id=parts.token_id(tokenizer, "<image>"),
    )  # fmt: skip
    processor = tf.Idefics2Processor(
        tf.Idefics2ImageProcessor(size={"shortest_edge": 16, "longest_edge": 32}, do_image_splitting=False),
        tokenizer, image_seq_len=4, chat_template=_IDEFICS_CHAT,
    )  # fmt: skip
    parts.save(folder, tf.Idefics2ForConditionalGeneration(config), processor)


_SIZES = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}


def idefics3(folder: Path) -> None:
    tokenizer = parts.new_tokenizer([*_IDEFICS_SPECIALS, *_PLACES], begins=True)
    config = tf.Idefics3Config(
        vision_config=parts.vision(), text_config=parts.llama(tokenizer), scale_factor=2,
        image_token_id=parts.token_id(tokenizer, "<image>"),
    )  # fmt: skip
    processor = tf.Idefics3Processor(
        tf.Idefics3ImageProcessor(**_SIZES), tokenizer, image_seq_len=4, chat_template=_IDEFICS_CHAT
    )
    parts.save(folder, tf.Idefics3ForConditionalGeneration(config), processor)


def smolvlm(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(
        _PLACES,
        fake_image_token="<fake_token_around_image>",
        image_token="<image>",
        end_of_utterance_token="<end_of_utterance>",
        global_image_token="<global-img>",
        video_token="<video>",
    )
    config = tf.SmolVLMConfig(
        vision_config=parts.vision(), text_config=parts.llama(tokenizer), scale_factor=2,
        image_token_id=parts.token_id(tokenizer, "<image>"),
    )  # fmt: skip
    video = tf.SmolVLMVideoProcessor(
        **_SIZES, video_sampling={"fps": 1, "max_frames": 8, "video_size": {"longest_edge": 32}}
    )
    processor = tf.SmolVLMProcessor(
        tf.SmolVLMImageProcessor(**_SIZES), tokenizer, video, image_seq_len=4, chat_template=_IDEFICS_CHAT
    )
    parts.save(folder, tf.SmolVLMForConditionalGeneration(config), processor)


def aria(folder: Path) -> None:
    # its pictures have 490 or 980 pixels a side, nothing else: few and large patches
    tokenizer = parts.new_tokenizer(image_token="<image>")
    config = tf.AriaConfig(
        vision_config=tf.Idefics3VisionConfig(**parts.vision(image_size=980, patch_size=70)),
        text_config=tf.AriaTextConfig(**parts.text(tokenizer, moe_num_experts=4, moe_num_shared_experts=1)),
        image_token_index=parts.token_id(tokenizer, "<image>"), projector_patch_to_query_dict={49: 4, 196: 8},
    )  # fmt: skip
    processor = tf.AriaProcessor(
        tf.AriaImageProcessor(), tokenizer, size_conversion={490: 4, 980: 8},
        chat_template=CHAT,
    )  # fmt: skip
    parts.save(folder, tf.AriaForConditionalGeneration(config), processor)
