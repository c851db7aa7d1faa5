"""The tokenizer of the multilingual Whisper models, rebuilt from the ranks that the package openai-whisper carries."""

from __future__ import annotations

import base64
import importlib.metadata
import itertools
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.whisper.tokenization_whisper import LANGUAGES as _ALL_LANGUAGES

# The first models knew 99 languages; "yue" came with large-v3, whose control tokens have other numbers.
LANGUAGES = [code for code in _ALL_LANGUAGES if code != "yue"]
_CONTROLS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
SIZE = 51865


def _asset(name: str) -> Path:
    files = importlib.metadata.files("openai-whisper") or []
    return Path(next(file for file in files if file.name == name).locate())


def licence() -> str:
    """The text of the licence (MIT) under which the vocabulary is given."""
    return _asset("LICENSE").read_text(encoding="utf-8")


def build_tokenizer() -> Tokenizer:
    """51865 tokens with the numbers that the multilingual Whisper models use."""
    ranks = {}
    for line in _asset("multilingual.tiktoken").read_text(encoding="ascii").splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    letters = bytes_to_unicode()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [_last_merge(token, ranks) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={written(token): rank for token, rank in ranks.items()},
            merges=[(written(left), written(right)) for left, right in merges],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in _CONTROLS])
    # Not special, so that decoders show them on demand; faster-whisper drops them by their number.
    times = (AddedToken(f"<|{index * 0.02:.2f}|>", special=False, normalized=False) for index in range(1501))
    tokenizer.add_tokens(list(times))
    assert tokenizer.get_vocab_size() == SIZE
    return tokenizer


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts from which byte-pair encoding makes a token, found by encoding it with the earlier ranks only."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, len(ranks)) for left, right in itertools.pairwise(parts)]
        best = min(range(len(pairs)), key=pairs.__getitem__)
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]
