"""Whisper models of the published sizes without their weights: the computing is theirs, the text is fixed.

Weights are random, but for a table in the decoder's last layer: each token of the text tells the one that follows. So every
program decodes the same tokens at the same cost whatever it hears and was told before, without falling back to a higher
temperature, and knows when to stop.
"""

from __future__ import annotations

import re
from itertools import islice, pairwise
from pathlib import Path

import torch
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

ROOT = Path(__file__).parent.parent
TOKENIZER = ROOT / "tests" / "micro" / "whisper" / "tokenizer.json"
SIZES = {"tiny": (384, 4, 6), "base": (512, 6, 8)}
"""Width, layers of encoder and decoder each, heads."""
_TEXT = """
one two three four five six seven eight nine ten red green blue white black small large old young long short good bad first
last north south east west house street city river road school water table window door book paper letter picture music song
voice story question answer morning evening night summer winter spring January April August October year month week day hour
minute mother father brother sister friend child teacher doctor king queen horse dog cat bird fish tree flower stone fire
"""
_BEAM = 5
_STEEP = 20.0
"""How sharply a token is told from others."""


def build(size: str, words: int, folder: Path) -> Path:
    """The folder of a model that writes so many words for each window of 30 s, built once.

    In it are `transformers`, `ctranslate2` (float32) and openai-whisper's `SIZE.pt`.
    """
    out = folder / f"{size}-{words}"
    if (out / "done").exists():
        return out
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    model = _model(size, words, tokenizer)
    source = out / "transformers"
    model.save_pretrained(source)
    WhisperTokenizer(tokenizer_object=tokenizer).save_pretrained(source)
    WhisperFeatureExtractor().save_pretrained(source)
    TransformersConverter(str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(
        str(out / "ctranslate2"), force=True
    )
    torch.save(_as_openai(model), out / f"{size}.pt")
    (out / "done").write_text("")
    return out


def _model(size: str, words: int, tokenizer: Tokenizer) -> WhisperForConditionalGeneration:
    width, layers, heads = SIZES[size]
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokenizer.get_vocab_size(),
            d_model=width,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=4 * width,
            decoder_ffn_dim=4 * width,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )
    number = tokenizer.token_to_id
    codes = [token for token in tokenizer.get_vocab() if re.fullmatch(r"<\|[a-z]{2,3}\|>", token)]
    model.generation_config = GenerationConfig(
        suppress_tokens=[],
        begin_suppress_tokens=[220, 50257],
        alignment_heads=[[layers - 1, 0]],
        no_timestamps_token_id=number("<|notimestamps|>"),
        lang_to_id={code: number(code) for code in codes},
    )
    model.generation_config._from_model_config = False
    with torch.no_grad():
        vectors = model.model.decoder.embed_tokens.weight.normal_(0, 1)
        model.model.decoder.embed_positions.weight.zero_()
        last = model.model.decoder.layers[-1]
        told = _following(words, tokenizer)
        for token, others in _twins(set(told.values()), tokenizer).items():
            for rank, other in enumerate(others, 1):
                vectors[other] = (1 - 0.01 * rank) * vectors[token]
        for row, (token, following) in enumerate(told.items()):
            last.fc1.weight[row] = _STEEP * vectors[token] / width
            last.fc1.bias[row] = -_STEEP / 2
            last.fc2.weight[:, row] = _STEEP * vectors[following]
        last.fc2.bias[:] = 2 * vectors[number("<|endoftext|>")]
    return model


def _following(words: int, tokenizer: Tokenizer) -> dict[int, int]:
    """Which token follows each; after others comes the end."""
    number = tokenizer.token_to_id
    known = [number("Ġ" + word) for word in _TEXT.split()]
    text = [token for token in known if token is not None][:words]
    if len(text) < words:
        raise RuntimeError(f"only {len(text)} words are one token each")
    row = [number("<|0.00|>"), *text, number("<|29.00|>"), number("<|endoftext|>")]
    controls = {"<|startoftranscript|>": "<|en|>", "<|transcribe|>": "<|0.00|>"}
    told = {number(name): number(following) for name, following in controls.items()}
    return {**told, number("<|notimestamps|>"): text[0], **dict(pairwise(row))}


def _twins(tokens: set[int], tokenizer: Tokenizer) -> dict[int, list[int]]:
    """Those that are nearly as likely as a word or a time: a beam of five goes on through them, and all of it ends together."""
    first = tokenizer.token_to_id("<|0.00|>")
    spare = iter(sorted(number for name, number in tokenizer.get_vocab().items() if re.fullmatch("Ġ[a-z]{5,}", name)))
    twins = {}
    for token in sorted(tokens):
        if token >= first:
            twins[token] = list(range(token + 1, token + 1 + _BEAM))
        elif token < tokenizer.token_to_id("<|endoftext|>"):
            twins[token] = list(islice((number for number in spare if number not in tokens), _BEAM))
    return twins


def _as_openai(model: WhisperForConditionalGeneration) -> dict[str, object]:
    """The same weights under openai-whisper's names."""
    config = model.config
    names = (
        (r"^model\.", ""),
        (r"layers\.(\d+)", r"blocks.\1"),
        (r"encoder_attn_layer_norm", "cross_attn_ln"),
        (r"self_attn_layer_norm", "attn_ln"),
        (r"encoder_attn", "cross_attn"),
        (r"self_attn", "attn"),
        (r"q_proj", "query"),
        (r"k_proj", "key"),
        (r"v_proj", "value"),
        (r"out_proj", "out"),
        (r"final_layer_norm", "mlp_ln"),
        (r"\.fc1", ".mlp.0"),
        (r"\.fc2", ".mlp.2"),
        (r"encoder\.layer_norm", "encoder.ln_post"),
        (r"decoder\.layer_norm", "decoder.ln"),
        (r"embed_positions\.weight", "positional_embedding"),
        (r"embed_tokens", "token_embedding"),
    )
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("proj_out"):
            continue
        renamed = name
        for old, new in names:
            renamed = re.sub(old, new, renamed)
        state[renamed] = tensor
    dims = {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": config.max_source_positions,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
        "n_vocab": config.vocab_size,
        "n_text_ctx": config.max_target_positions,
        "n_text_state": config.d_model,
        "n_text_head": config.decoder_attention_heads,
        "n_text_layer": config.decoder_layers,
    }
    return {"dims": dims, "model_state_dict": state}
