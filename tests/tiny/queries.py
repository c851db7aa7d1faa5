"""Families from before chat: a few learned queries or the picture's own features ahead of, or beside, a short text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers as tf

from tests.tiny import parts

if TYPE_CHECKING:
    from pathlib import Path

_QUERIES = 4


def _blip(folder: Path, kind: Any) -> None:
    tokenizer = parts.new_tokenizer(begins=True, ends=True)
    sizes = {key: value for key, value in parts.text(tokenizer).items() if key != "num_key_value_heads"}
    text = {**sizes, "encoder_hidden_size": 32, "projection_dim": 32, "sep_token_id": 2}
    config = tf.BlipConfig(
        text_config=text, vision_config=parts.vision(projection_dim=32), projection_dim=32, image_text_hidden_size=32
    )
    processor = tf.BlipProcessor(tf.BlipImageProcessor(size=parts.square(32)), tokenizer)
    parts.save(folder, kind(config), processor)


def blip_caption(folder: Path) -> None:
    _blip(folder, tf.BlipForConditionalGeneration)


def blip_vqa(folder: Path) -> None:
    _blip(folder, tf.BlipForQuestionAnswering)


def _qformer(**given: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {**sizes, "encoder_hidden_size": 32, "cross_attention_frequency": 1, **given}


def _opt(tokenizer: Any) -> Any:
    return tf.OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=2,
        word_embed_proj_dim=32, max_position_embeddings=512, **parts.ids(),
    )  # fmt: skip


def _t5(tokenizer: Any) -> Any:
    return tf.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=2,
        decoder_start_token_id=0,
    )  # fmt: skip


def _blip2(folder: Path, text: Any, *, ends: bool = False, **given: Any) -> None:
    tokenizer = parts.new_tokenizer(["<image>"], begins=not ends, ends=ends)
    config = tf.Blip2Config(
        vision_config=parts.vision(), qformer_config=_qformer(), text_config=text(tokenizer),
        num_query_tokens=_QUERIES, image_token_index=parts.token_id(tokenizer, "<image>"), image_text_hidden_size=32,
    )  # fmt: skip
    processor = tf.Blip2Processor(tf.BlipImageProcessor(size=parts.square(32)), tokenizer, num_query_tokens=_QUERIES)
    parts.save(folder, tf.Blip2ForConditionalGeneration(config), processor, **given)


def blip2_opt(folder: Path) -> None:
    _blip2(folder, _opt)


def blip2_t5(folder: Path) -> None:
    _blip2(folder, _t5, ends=True, decoder_start_token_id=0)


def instructblip(folder: Path) -> None:
    tokenizer, reader = parts.new_tokenizer(["<image>"], begins=True), parts.new_tokenizer(begins=True, ends=True)
    config = tf.InstructBlipConfig(
        vision_config=parts.vision(), qformer_config=_qformer(vocab_size=len(reader)),
        text_config=parts.llama(tokenizer), num_query_tokens=_QUERIES,
        image_token_index=parts.token_id(tokenizer, "<image>"),
    )  # fmt: skip
    processor = tf.InstructBlipProcessor(
        tf.BlipImageProcessor(size=parts.square(32)), tokenizer, reader, num_query_tokens=_QUERIES
    )
    parts.save(folder, tf.InstructBlipForConditionalGeneration(config), processor)


def instructblip_video(folder: Path) -> None:
    tokenizer, reader = parts.new_tokenizer(["<video>"], begins=True), parts.new_tokenizer(begins=True, ends=True)
    config = tf.InstructBlipVideoConfig(
        vision_config=parts.vision(), qformer_config=_qformer(vocab_size=len(reader)),
        text_config=parts.llama(tokenizer), num_query_tokens=_QUERIES,
        video_token_index=parts.token_id(tokenizer, "<video>"),
    )  # fmt: skip
    processor = tf.InstructBlipVideoProcessor(
        tf.InstructBlipVideoVideoProcessor(size=parts.square(32)), tokenizer, reader, num_query_tokens=_QUERIES
    )
    parts.save(folder, tf.InstructBlipVideoForConditionalGeneration(config), processor)


def kosmos2(folder: Path) -> None:
    tokenizer = parts.new_tokenizer()
    processor = tf.Kosmos2Processor(
        tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=parts.square(32)), tokenizer,
        num_patch_index_tokens=16,
    )  # fmt: skip
    text = {
        "vocab_size": len(tokenizer), "embed_dim": 32, "layers": 2, "ffn_dim": 48, "attention_heads": 2,
        "max_position_embeddings": 512, **parts.ids(),
    }  # fmt: skip
    config = tf.Kosmos2Config(text_config=text, vision_config=parts.vision(), latent_query_num=_QUERIES)
    parts.save(folder, tf.Kosmos2ForConditionalGeneration(config), processor, width=0.35)


def git(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(begins=True, ends=True)
    sizes = {key: value for key, value in parts.text(tokenizer).items() if key != "num_key_value_heads"}
    config = tf.GitConfig(**sizes, vision_config=parts.vision())
    processor = tf.GitProcessor(
        tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=parts.square(32)), tokenizer
    )
    parts.save(folder, tf.GitForCausalLM(config), processor)


def vilt(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(begins=True, ends=True)
    labels = dict(enumerate(parts.words()))
    config = tf.ViltConfig(
        **parts.vision(), vocab_size=len(tokenizer), max_position_embeddings=200, id2label=labels,
        label2id={word: number for number, word in labels.items()},
    )  # fmt: skip
    processor = tf.ViltProcessor(tf.ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=8), tokenizer)
    parts.save(folder, tf.ViltForQuestionAnswering(config), processor)
