"""Families that write out what they see: readers of lines and pages, and Florence-2 with its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers as tf

from tests.tiny import parts

if TYPE_CHECKING:
    from pathlib import Path


def _save(folder: Path, config: Any, processor: Any, start: int) -> None:
    model = tf.VisionEncoderDecoderModel(config)
    model.config.decoder_start_token_id = start
    model.config.pad_token_id, model.config.eos_token_id = 0, 2
    parts.save(folder, model, processor, decoder_start_token_id=start)


def trocr(folder: Path) -> None:
    tokenizer = parts.new_tokenizer()
    decoder = tf.TrOCRConfig(
        vocab_size=len(tokenizer), d_model=32, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=48,
        max_position_embeddings=128, **parts.ids(), decoder_start_token_id=2,
    )  # fmt: skip
    config = tf.VisionEncoderDecoderConfig(encoder=tf.ViTConfig(**parts.vision()).to_dict(), decoder=decoder.to_dict())
    _save(folder, config, tf.TrOCRProcessor(tf.ViTImageProcessor(size=parts.square(32)), tokenizer), 2)


def donut(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>"])
    encoder = tf.DonutSwinConfig(
        image_size=[32, 32], patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    decoder = tf.MBartConfig(
        vocab_size=len(tokenizer), d_model=32, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=48,
        encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=48, max_position_embeddings=128,
        is_decoder=True, add_cross_attention=True, **parts.ids(),
    )  # fmt: skip
    config = tf.VisionEncoderDecoderConfig(encoder=encoder.to_dict(), decoder=decoder.to_dict())
    processor = tf.DonutProcessor(tf.DonutImageProcessor(size=parts.square(32)), tokenizer)
    _save(folder, config, processor, parts.token_id(tokenizer, "<s_docvqa>"))


def got_ocr2(folder: Path) -> None:
    specials = ["<img>", "</img>", "<imgpad>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    tokenizer = parts.new_tokenizer(specials)
    # the processor always asks for 256 tokens of a picture: (side / 4 / 4) squared
    vision = {
        "hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 256,
        "patch_size": 4, "window_size": 4, "global_attn_indexes": [], "mlp_dim": 16,
    }  # fmt: skip
    config = tf.GotOcr2Config(
        vision_config=vision, text_config=parts.qwen2(tokenizer),
        image_token_index=parts.token_id(tokenizer, "<imgpad>"), image_seq_length=256,
    )  # fmt: skip
    processor = tf.GotOcr2Processor(tf.GotOcr2ImageProcessor(size=parts.square(256)), tokenizer)
    parts.save(folder, tf.GotOcr2ForConditionalGeneration(config), processor)


_FLORENCE_TASKS: dict[str, Any] = {
    "ocr": {"area_threshold": 0.0},
    "phrase_grounding": {"banned_grounding_tokens": ["it"]},
    "pure_text": {},
    "description_with_bboxes": {},
    "description_with_polygons": {},
    "polygons": {},
    "bboxes": {},
    "description_with_bboxes_or_polygons": {},
}


def florence2(folder: Path) -> None:
    boxes = [f"<loc_{place}>" for place in range(16)]
    tokenizer = parts.new_tokenizer([*boxes, "<od>", "</od>"], begins=True, ends=True, image_token="<image>")
    vision = {
        "embed_dim": [16, 32], "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
        "patch_prenorm": [False, True], "num_heads": [2, 2], "num_groups": [2, 2], "window_size": 4,
        "projection_dim": 32, "max_position_embeddings": 8, "drop_path_rate": 0.0,
    }  # fmt: skip
    text = tf.BartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=512, dropout=0.0,
        decoder_start_token_id=2, forced_eos_token_id=2, **parts.ids(),
    )  # fmt: skip
    config = tf.Florence2Config(
        vision_config=vision, text_config=text.to_dict(), image_token_id=parts.token_id(tokenizer, "<image>")
    )
    # 4 by 4 places and their mean
    images = tf.CLIPImageProcessor(size=parts.square(32), do_center_crop=False, image_seq_length=17)
    images.image_seq_length = 17
    processor = tf.Florence2Processor(images, tokenizer, post_processor_config=_FLORENCE_TASKS)
    parts.save(folder, tf.Florence2ForConditionalGeneration(config), processor, decoder_start_token_id=2, num_beams=1)
