"""What the builders share: a tokenizer, the small configurations of a text model and of a vision tower, and the weights.

The tokenizer encodes every text (its letters are bytes). What a model says is held to whole words, so that its answer,
written out and read again, is the same tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
WIDTH, FEED_FORWARD, LAYERS, HEADS = 32, 48, 2, 2
SPREAD = 0.2
"""Of the weights of a model. With the usual 0.02 one of this width says the same whatever it sees."""
_SENTENCES = [
    " the red boat lies beside the stone wall of the harbour",
    " a small dog sits under that green tree near my house",
    " two people walk along an empty road before rain comes",
    " there were seven yellow birds over our blue water this morning",
    " please tell what you see here and which one is larger",
]


def words() -> list[str]:
    """Those that are one token each, behind a space."""
    return sorted({word for sentence in _SENTENCES for word in sentence.split()})


def _byte_bpe(specials: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=5000,
        min_frequency=1,
        special_tokens=[PAD, BOS, EOS, UNK],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    tokenizer.add_special_tokens(list(specials))
    return tokenizer


def new_tokenizer(specials: Sequence[str] = (), *, begins: bool = False, ends: bool = False, **given: Any) -> Any:
    """A tokenizer with these special tokens behind its words; `begins` puts <s> before every text, `ends` </s> behind.

    What is given becomes its attributes: image_token="<image>" and the like.
    """
    known = [token for token in given.values() if isinstance(token, str)]
    tokenizer = _byte_bpe(list(dict.fromkeys([*specials, *known])))
    if begins or ends:
        before, behind = [BOS] * begins, [EOS] * ends
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *behind],
            pair=[*before, "$A", "$B:1", *(f"{end}:1" for end in behind)],
            special_tokens=[(BOS, 1), (EOS, 2)],
        )
    # cls and sep are what BERT calls the two, and those built on it ask for them
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNK,
        cls_token=BOS, sep_token=EOS, padding_side="left", model_max_length=4096, **({"extra_special_tokens": given} if given else {}),
    )  # fmt: skip


def token_id(tokenizer: Any, token: str) -> int:
    number = tokenizer.convert_tokens_to_ids(token)
    assert number not in (None, tokenizer.unk_token_id), token
    return int(number)


# ---------------------------------------------------------------- configurations


def ids() -> dict[str, int]:
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def text(tokenizer: Any, **given: Any) -> dict[str, Any]:
    """The sizes of a text model, as nearly all of them call them."""
    return {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "max_position_embeddings": 4096, **ids(), **given,
    }  # fmt: skip


def llama(tokenizer: Any, **given: Any) -> Any:
    return tf.LlamaConfig(**text(tokenizer, **given))


def qwen2(tokenizer: Any, **given: Any) -> Any:
    return tf.Qwen2Config(**text(tokenizer, **given))


def vision(**given: Any) -> dict[str, Any]:
    """The sizes of a vision tower: 32 pixels in 16 patches."""
    return {
        "hidden_size": WIDTH, "intermediate_size": FEED_FORWARD, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "image_size": 32, "patch_size": 8, **given,
    }  # fmt: skip


def clip(**given: Any) -> Any:
    return tf.CLIPVisionConfig(**vision(projection_dim=WIDTH, **given))


def siglip(**given: Any) -> Any:
    return tf.SiglipVisionConfig(**vision(**given))


def square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


# ---------------------------------------------------------------- weights


def spread(model: Any, width: float = SPREAD, seed: int = 5) -> Any:
    """Every matrix drawn anew and every gate opened: both may start at zero, and then a picture changes nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                # where it is the output too, a wide one would only repeat the last word
                scale = width / 2 if name.endswith("embed_tokens.weight") else width
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            elif "gate" in name and parameter.numel() == 1:
                parameter.fill_(1.0)
    return model.eval()


def speak_words(model: Any, tokenizer: Any, also: Iterable[str] = (EOS,)) -> None:
    """Hold what the model generates to whole words, and the end, which is never the first."""
    known = tokenizer.get_vocab()
    # a space is Ġ among bytes, ▁ in SentencePiece
    said = {known[mark + word] for word in words() for mark in "Ġ▁" if mark + word in known}
    said |= {token_id(tokenizer, token) for token in also}
    size = model.get_output_embeddings().weight.shape[0] if model.get_output_embeddings() is not None else None
    configuration = model.generation_config
    configuration.suppress_tokens = [number for number in range(size or len(tokenizer)) if number not in said]
    configuration.begin_suppress_tokens = [token_id(tokenizer, token) for token in also]
    configuration._from_model_config = False


def save(folder: Path, model: Any, processor: Any, tokenizer: Any = None, width: float = SPREAD, **given: Any) -> None:
    """Model and processor as `save_pretrained` writes them. `given` goes to the model's generation configuration."""
    spread(model, width)
    if model.can_generate():
        for key, value in {**ids(), **given}.items():
            setattr(model.generation_config, key, value)
        speak_words(model, tokenizer or processor.tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
