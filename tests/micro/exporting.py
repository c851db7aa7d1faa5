"""A trained micro Whisper as a CTranslate2 folder with all that faster-whisper reads."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ctranslate2.converters import TransformersConverter
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from tests.micro.training import ALIGNED_HEAD, WIDTH, set_window
from tests.micro.vocabulary import LANGUAGES, SIZE, licence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer


def export(model: WhisperForConditionalGeneration, tokens: Sequence[int], tokenizer: Tokenizer, out: Path) -> None:
    """Writes the folder `out`, replacing an older one. `tokens` are the full numbers of the tokens the model knows."""
    full = _with_all_tokens(model, tokens)
    number = tokenizer.token_to_id
    full.generation_config = GenerationConfig(
        suppress_tokens=[],
        # Whisper's own list holds the end of text, which is the right answer to silence.
        begin_suppress_tokens=[],
        alignment_heads=[list(ALIGNED_HEAD)],
        no_timestamps_token_id=number("<|notimestamps|>"),
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in LANGUAGES},
    )
    # Else a reader of the folder rebuilds it from the model's configuration and loses what was added.
    full.generation_config._from_model_config = False
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        finished = _convert(full, tokenizer, Path(folder))
        shutil.rmtree(out, ignore_errors=True)
        finished.rename(out)


def _with_all_tokens(model: WhisperForConditionalGeneration, tokens: Sequence[int]) -> WhisperForConditionalGeneration:
    """The same model for windows of 30 s and all of Whisper's tokens; those it does not know get zero vectors."""
    set_window(model, 30)
    state = model.state_dict()
    vectors = torch.zeros(SIZE, WIDTH)
    vectors[torch.tensor(tokens)] = state["model.decoder.embed_tokens.weight"]
    full = WhisperForConditionalGeneration(WhisperConfig(**{**model.config.to_dict(), "vocab_size": SIZE}))
    full.load_state_dict({**state, "model.decoder.embed_tokens.weight": vectors, "proj_out.weight": vectors})
    return full


def _convert(model: WhisperForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> Path:
    """The model as int8 in a folder within `folder`."""
    source, target = folder / "transformers", folder / "ctranslate2"
    model.save_pretrained(source)
    WhisperTokenizer(tokenizer_object=tokenizer).save_pretrained(source)
    WhisperFeatureExtractor().save_pretrained(source)
    TransformersConverter(str(source), copy_files=["preprocessor_config.json"]).convert(
        str(target), quantization="int8"
    )
    languages = json.loads((target / "config.json").read_text(encoding="utf-8"))["lang_ids"]
    if len(languages) != len(LANGUAGES):
        raise RuntimeError(f"the converter kept {len(languages)} of {len(LANGUAGES)} languages")
    # Half the size of the indented file.
    tokenizer.save(str(target / "tokenizer.json"), pretty=False)
    (target / "LICENSE.vocabulary").write_text(licence(), encoding="utf-8")
    return target
