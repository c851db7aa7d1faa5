"""A small real Whisper for CTranslate2, built without torch: right shapes, the real tokenizer, weights drawn at random."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ctranslate2.specs import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[3]
VOCABULARY = 51865
WIDTH, HEADS, LAYERS = 64, 1, 2


def _tokenizer_file() -> Path:
    weights = Path(os.environ.get("MMCLI_WEIGHTS") or ROOT.parent / "shared" / "weights")
    file = weights / "whisper-tokenizer" / "tokenizer.json"
    if not file.is_file():
        pytest.skip("no Whisper tokenizer: MMCLI_WEIGHTS is not set and ../shared/weights is absent")
    return file


class _Weights:
    """Matrices whose outputs are about as large as their inputs."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)

    def draw(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        spread = scale / np.sqrt(np.prod(shape[1:]))
        return self.random.normal(0, spread, shape).astype(np.float32)

    def linear(self, spec: Any, out: int, into: int, scale: float = 1.0) -> None:
        spec.weight = self.draw(out, into, scale=scale)
        spec.bias = np.zeros(out, np.float32)

    def norm(self, spec: Any) -> None:
        spec.gamma, spec.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def layer(self, spec: Any) -> None:
        self.norm(spec.self_attention.layer_norm)
        self.linear(spec.self_attention.linear[0], 3 * WIDTH, WIDTH)
        self.linear(spec.self_attention.linear[1], WIDTH, WIDTH)
        if hasattr(spec, "attention"):
            self.norm(spec.attention.layer_norm)
            self.linear(spec.attention.linear[0], WIDTH, WIDTH, scale=2.0)
            self.linear(spec.attention.linear[1], 2 * WIDTH, WIDTH, scale=2.0)
            self.linear(spec.attention.linear[2], WIDTH, WIDTH, scale=8.0)
        self.norm(spec.ffn.layer_norm)
        self.linear(spec.ffn.linear_0, 4 * WIDTH, WIDTH)
        self.linear(spec.ffn.linear_1, WIDTH, 4 * WIDTH)


def _readable(tokenizer: Tokenizer) -> np.ndarray:
    """Which tokens are whole words of plain letters."""
    words = [tokenizer.decode([token]) for token in range(50257)]
    return np.array([len(w) > 2 and w[0] == " " and w[1:].isascii() and w[1:].isalpha() for w in words])


def _spec(tokenizer: Tokenizer) -> WhisperSpec:
    weights = _Weights()
    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    spec.encoder.conv1.weight = weights.draw(WIDTH, 80, 3)
    spec.encoder.conv2.weight = weights.draw(WIDTH, WIDTH, 3, scale=2.0)
    for conv in (spec.encoder.conv1, spec.encoder.conv2):
        conv.bias = np.zeros(WIDTH, np.float32)
    spec.encoder.position_encodings.encodings = weights.draw(1500, WIDTH, scale=4.0)
    spec.decoder.position_encodings.encodings = weights.draw(448, WIDTH, scale=4.0)
    spec.decoder.embeddings.weight = weights.draw(VOCABULARY, WIDTH, scale=4.0)
    for side in (spec.encoder, spec.decoder):
        weights.norm(side.layer_norm)
        for layer in side.layer:
            weights.layer(layer)
    spec.decoder.projection.weight = weights.draw(VOCABULARY, WIDTH, scale=12.0)
    # Speech-like: words, now and then a time, never an odd symbol, and an end that each token makes likelier.
    towards_end = weights.draw(1, WIDTH)[0]
    spec.decoder.position_encodings.encodings += 1.5 * np.arange(448, dtype=np.float32)[:, None] * towards_end
    spec.decoder.projection.weight[50257] = 20.0 * towards_end
    bias = np.full(VOCABULARY, -1e4, np.float32)
    bias[:50257] = np.where(_readable(tokenizer), 0.0, -1e4)
    bias[50257] = 10.0
    bias[50259:50358] = 0.0
    bias[50362] = -20.0
    bias[50364:] = 12.0 - np.abs(np.arange(1501) % 100 - 50) / 10 - np.arange(1501) / 300
    spec.decoder.projection.bias = bias
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    spec.register_vocabulary([token for token, _ in tokens])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [220, 50257]
    spec.config.lang_ids = [tokenizer.token_to_id(f"<|{code}|>") for code in _LANGUAGE_CODES if code != "yue"]
    spec.config.alignment_heads = [[layer, head] for layer in range(LAYERS) for head in range(HEADS)]
    return spec


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CTranslate2 Whisper: MMCLI_WHISPER where it is set, else random weights. Not to be changed: copy it first."""
    given = os.environ.get("MMCLI_WHISPER")
    if given:
        return Path(given)
    file = _tokenizer_file()
    folder = tmp_path_factory.mktemp("whisper")
    spec = _spec(Tokenizer.from_file(str(file)))
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    shutil.copyfile(file, folder / "tokenizer.json")
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80}), encoding="utf-8")
    return folder


@pytest.fixture
def config(whisper_folder: Path, tmp_path: Path) -> Path:
    """A catalogue with that model as "whisper" and a pipeline of the same name."""
    file = tmp_path / "whisper.toml"
    file.write_text(
        f'[models.whisper]\nrole = "stt"\nengine = "faster-whisper"\nsource = "path:{whisper_folder}"\n'
        'inputs = ["audio"]\noutputs = ["text"]\n[pipelines.whisper]\nstt = "whisper"\n',
        encoding="utf-8",
    )
    return file
