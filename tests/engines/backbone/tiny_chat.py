"""Two tiny chat models with random weights, as transformers writes them: one for text, and a LLaVA that looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

_TEXT = " the red boat lies beside the old stone wall of our harbour and seven birds fly over blue water this morning"
_CHAT = (
    "{% for message in messages %}{{ message['role'] + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}{{ ' ' }}{% endfor %}"
    "{{ 'assistant:' }}"
)
# With the usual 0.02 a model of this width says the same whatever it sees.
_SPREAD = 0.2


def _tokenizer() -> Any:
    """Bytes and the words above, so that every text encodes."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        min_frequency=1,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>", "<image>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator([_TEXT], trainer)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=_CHAT,
        model_max_length=2048,
    )


def _llama(tokenizer: Any) -> Any:
    return tf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * _SPREAD)
    vocabulary = tokenizer.get_vocab()
    words = {vocabulary["Ġ" + word] for word in _TEXT.split()}
    # It says whole words, and where nothing is asked it draws lots.
    model.generation_config = tf.GenerationConfig(
        do_sample=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        suppress_tokens=[number for number in range(len(tokenizer)) if number not in words],
    )
    model.eval().save_pretrained(folder)
    return folder


def text(folder: Path) -> Path:
    """A Llama."""
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    return _save(folder, tf.LlamaForCausalLM(_llama(tokenizer)), tokenizer)


def llava(folder: Path) -> Path:
    """A CLIP of 32 pixels in 16 patches before a Llama."""
    tokenizer = _tokenizer()
    vision = tf.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=32,
    )
    config = tf.LlavaConfig(
        vision_config=vision,
        text_config=_llama(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-2,
    )
    processor = tf.LlavaProcessor(
        tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT,
    )
    processor.save_pretrained(folder)
    return _save(folder, tf.LlavaForConditionalGeneration(config), tokenizer)
