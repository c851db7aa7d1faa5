"""The tiny checkpoints themselves: they are what a test can rely on."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch

from tests.tiny import direct, parts
from tests.tiny.checkpoints import TINY, checkpoint
from tests.tiny.direct import Asked
from tests.tiny.media import GRADIENT, NOISE

# Two processors of the library make arrays in a way that numpy is going to stop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SEEING = [name for name, tiny in TINY.items() if tiny.images]


@pytest.mark.parametrize("name", SEEING)
def test_what_is_seen_changes_what_is_thought(name: str) -> None:
    first, second = (direct.first_logits(name, [Asked("what do you see", (picture,))]) for picture in (NOISE, GRADIENT))
    assert (first - second).abs().max() > 0.1 * first[torch.isfinite(first)].std()


@pytest.mark.parametrize("name", [name for name, tiny in TINY.items() if tiny.video])
def test_the_order_of_frames_changes_what_is_thought(name: str) -> None:
    frames = (NOISE, NOISE, GRADIENT, GRADIENT)
    first, second = (direct.first_logits(name, [Asked("what", video=film)]) for film in (frames, frames[::-1]))
    assert (first - second).abs().max() > 0.01


@pytest.mark.parametrize("name", list(TINY))
def test_a_folder_is_small_whole_and_of_no_pickles(name: str) -> None:
    files = [file for file in checkpoint(name).rglob("*") if file.is_file()]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in files}
    assert not {".bin", ".pt", ".pth", ".pkl", ".py"} & {file.suffix for file in files}
    assert sum(file.stat().st_size for file in files) < 3_000_000


def test_every_text_encodes_and_words_are_one_token() -> None:
    tokenizer = parts.new_tokenizer()
    for text in ("Grüße, 日本語!", "\x00\t\n", " " + " ".join(parts.words())):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert all(len(tokenizer(" " + word)["input_ids"]) == 1 for word in parts.words())
