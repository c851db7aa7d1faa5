"""Families whose pictures become a fixed row of tokens in the prompt, learned or looked up in a book of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers as tf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests.tiny import parts
from tests.tiny.tiles import CHAT

if TYPE_CHECKING:
    from pathlib import Path

_CODES = 16


def emu3(folder: Path) -> None:
    visual = [f"<|visual token {code:06d}|>" for code in range(_CODES)]
    tokenizer = parts.new_tokenizer(
        [*visual, "<|extra_200|>"],
        image_token="<image>",
        boi_token="<|image start|>",
        eoi_token="<|image end|>",
        image_wrapper_token="<|image token|>",
        eof_token="<|extra_201|>",
    )
    book = {
        "codebook_size": _CODES, "embed_dim": 4, "latent_channels": 4, "base_channels": 32,
        "channel_multiplier": [1, 1, 1, 1], "num_res_blocks": 1, "hidden_size": 32, "attn_resolutions": [],
    }  # fmt: skip
    config = tf.Emu3Config(
        vq_config=book, text_config=parts.text(tokenizer, attention_dropout=0.0),
        vocabulary_map={token: number for token, number in tokenizer.get_vocab().items() if token.startswith("<")},
    )  # fmt: skip
    processor = tf.Emu3Processor(
        tf.Emu3ImageProcessor(min_pixels=32 * 32, max_pixels=48 * 48), tokenizer, chat_template=CHAT
    )
    parts.save(folder, tf.Emu3ForConditionalGeneration(config), processor)


def janus(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(
        begins=True, image_token="<image_placeholder>", boi_token="<begin_of_image>", eoi_token="<end_of_image>"
    )
    vision = parts.vision(mlp_ratio=1.5, projection_dim=32, num_image_tokens=16, depth=1)
    del vision["intermediate_size"]
    book = {
        "embed_dim": 8, "num_embeddings": _CODES, "latent_channels": 32, "base_channels": 32, "num_patches": 16,
        "channel_multiplier": [1, 1], "num_res_blocks": 1, "projection_dim": 32, "image_token_embed_dim": 32,
        "num_hidden_layers": 1,
    }  # fmt: skip
    config = tf.JanusConfig(
        vision_config=vision, vq_config=book, text_config=parts.llama(tokenizer),
        image_token_id=parts.token_id(tokenizer, "<image_placeholder>"),
    )  # fmt: skip
    processor = tf.JanusProcessor(
        tf.JanusImageProcessor(size=parts.square(32)), tokenizer, num_image_tokens=16,
        chat_template=CHAT.replace("<image>", "<image_placeholder>"),
    )  # fmt: skip
    beginning = {"boi_token_id": parts.token_id(tokenizer, "<begin_of_image>")}
    parts.save(folder, tf.JanusForConditionalGeneration(config), processor, generation_kwargs=beginning)


def paligemma(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(begins=True, image_token="<image>")
    # adds the tokens of places and outlines, so the model is sized after it
    processor = tf.PaliGemmaProcessor(tf.SiglipImageProcessor(size=parts.square(32), image_seq_length=16), tokenizer)
    config = tf.PaliGemmaConfig(
        vision_config=parts.siglip(vision_use_head=False, projection_dim=32, num_image_tokens=16),
        text_config=tf.GemmaConfig(**parts.text(tokenizer, head_dim=16)), projection_dim=32, hidden_size=32,
        image_token_index=parts.token_id(tokenizer, "<image>"), vocab_size=len(tokenizer), **parts.ids(),
    )  # fmt: skip
    parts.save(folder, tf.PaliGemmaForConditionalGeneration(config), processor)


_GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}{% endif %}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def gemma3(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(
        ["<start_of_turn>", "<end_of_turn>"],
        begins=True,
        boi_token="<start_of_image>",
        image_token="<image_soft_token>",
        eoi_token="<end_of_image>",
    )
    text = parts.text(tokenizer, head_dim=16, query_pre_attn_scalar=16, sliding_window=256)
    config = tf.Gemma3Config(
        vision_config=parts.siglip(vision_use_head=False), text_config=tf.Gemma3TextConfig(**text),
        mm_tokens_per_image=4, boi_token_index=parts.token_id(tokenizer, "<start_of_image>"),
        eoi_token_index=parts.token_id(tokenizer, "<end_of_image>"),
        image_token_index=parts.token_id(tokenizer, "<image_soft_token>"),
    )  # fmt: skip
    processor = tf.Gemma3Processor(
        tf.Gemma3ImageProcessor(size=parts.square(32)), tokenizer, image_seq_length=4, chat_template=_GEMMA_CHAT
    )
    parts.save(folder, tf.Gemma3ForConditionalGeneration(config), processor, width=0.35)


_SPEAKER, _NEWLINE = "|SPEAKER|", "|NEWLINE|"


def _fuyu_tokenizer() -> Any:
    """As SentencePiece makes one: a space before every text, letters it does not know as bytes.

    The placeholders of a picture are no special tokens, or their number would be counted wrong.
    """
    letters = [chr(code) for code in range(33, 127)]
    entries = [parts.PAD, parts.BOS, parts.EOS, parts.UNK, _SPEAKER, _NEWLINE, "▁", *letters]
    entries += [f"<0x{byte:02X}>" for byte in range(256)] + ["▁" + word for word in parts.words()]
    tokenizer = Tokenizer(
        models.BPE({entry: number for number, entry in enumerate(entries)}, [], byte_fallback=True, ignore_merges=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\|SPEAKER\||\|NEWLINE\|"), "isolated"),
            pre_tokenizers.Split("▁", "merged_with_next"),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=parts.PAD, bos_token=parts.BOS, eos_token=parts.EOS,
        unk_token=parts.UNK, padding_side="left",
    )  # fmt: skip


def fuyu(folder: Path) -> None:
    tokenizer = _fuyu_tokenizer()
    text = {**parts.text(tokenizer), "model_type": "persimmon"}
    del text["num_key_value_heads"]
    config = tf.FuyuConfig(
        text_config=text,
        image_size=32,
        patch_size=8,
        num_channels=3,
        image_token_id=parts.token_id(tokenizer, _SPEAKER),
    )
    images = tf.FuyuImageProcessor(size={"height": 32, "width": 48}, patch_size=parts.square(8))
    parts.save(folder, tf.FuyuForCausalLM(config), tf.FuyuProcessor(images, tokenizer))
