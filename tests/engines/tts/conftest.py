"""What the tests of several voices share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The words that g2p-en knows. One folder for all, as it reads them once and keeps asking for that place."""
    import nltk

    from tests.engines.tts import tiny_tts

    folder = tmp_path_factory.mktemp("nltk") / "data"
    tiny_tts.nltk_data(folder)
    nltk.data.path.insert(0, str(folder))
    yield folder
    nltk.data.path.remove(str(folder))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Results that are the same each time, and faster for small models."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
