"""Language models without pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers as tf

from tests.tiny import parts

if TYPE_CHECKING:
    from pathlib import Path

_CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_SPECIALS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


def _save(folder: Path, model: Any, config: Any, *, chat: bool = True, **given: Any) -> None:
    tokenizer = parts.new_tokenizer(_SPECIALS)
    if chat:
        tokenizer.chat_template = _CHAT
    sizes = parts.text(tokenizer, **given)
    parts.save(folder, model(config(**sizes)), tokenizer, tokenizer)


def llama(folder: Path) -> None:
    _save(folder, tf.LlamaForCausalLM, tf.LlamaConfig)


def mistral(folder: Path) -> None:
    _save(folder, tf.MistralForCausalLM, tf.MistralConfig, head_dim=16, sliding_window=None)


def gemma(folder: Path) -> None:
    _save(folder, tf.GemmaForCausalLM, tf.GemmaConfig, head_dim=16)


def gemma2(folder: Path) -> None:
    _save(folder, tf.Gemma2ForCausalLM, tf.Gemma2Config, head_dim=16, query_pre_attn_scalar=16, sliding_window=16)


def gemma3_text(folder: Path) -> None:
    _save(folder, tf.Gemma3ForCausalLM, tf.Gemma3TextConfig, head_dim=16, query_pre_attn_scalar=16, sliding_window=256)


def qwen2(folder: Path) -> None:
    _save(folder, tf.Qwen2ForCausalLM, tf.Qwen2Config)


def qwen3(folder: Path) -> None:
    _save(folder, tf.Qwen3ForCausalLM, tf.Qwen3Config, head_dim=16)


def phi3(folder: Path) -> None:
    _save(folder, tf.Phi3ForCausalLM, tf.Phi3Config)


def gpt2(folder: Path) -> None:
    tokenizer = parts.new_tokenizer()
    config = tf.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=1024, n_inner=48, **parts.ids()
    )
    parts.save(folder, tf.GPT2LMHeadModel(config), tokenizer, tokenizer)
