"""The models of transformers that tell speakers apart give what the library gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from mmcli import engines, families
from mmcli.catalogue import ModelCard, package_data, read_catalogue
from mmcli.engines.diarize.transformers_speaker.activity import Activity
from mmcli.errors import ConfigError, EngineError, MissingModel
from mmcli.media.audio import open_audio
from mmcli.options import DiarizeOptions
from mmcli.stages import Audio, Window
from tests.engines.diarize.checkpoints import XVECTORS, nemotron, xvector

RATE = 16000


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    samples = [block.samples for block in open_audio(package_data("samples") / "dialogue.flac").blocks(RATE)]
    return np.concatenate(samples)[: 9 * RATE]


def windows(sound: np.ndarray) -> list[Window]:
    """Two stretches of it, five seconds apart."""
    return [
        Window(Audio(sound[: 3 * RATE], RATE), 1.0),
        Window(Audio(sound[3 * RATE : 3 * RATE + 20000], RATE), 9.0),
    ]


def load(folder: Path, **settings: Any) -> Any:
    card = read_catalogue().model(str(folder), "diarize")
    given = {**{name: getattr(card, name) for name in ModelCard.__slots__}, "settings": settings}
    return engines.load(ModelCard(**given))


@pytest.mark.parametrize("name", XVECTORS)
def test_an_xvector_is_that_of_the_library(name: str, tmp_path: Path, sound: np.ndarray) -> None:
    xvector(tmp_path, name)
    diarizer = load(tmp_path)
    pieces = [sound[: RATE * 3 // 2], sound[RATE : RATE * 5 // 2]]
    with torch.inference_mode():
        ours = diarizer._tell.__self__.embed(pieces)
        model = getattr(tf, name).from_pretrained(tmp_path).eval()
        extractor = tf.AutoFeatureExtractor.from_pretrained(tmp_path)
        theirs = [model(**extractor(piece, sampling_rate=RATE, return_tensors="pt")).embeddings for piece in pieces]
    np.testing.assert_allclose(ours, torch.cat(theirs).numpy(), atol=1e-4)
    assert np.abs(ours[0] - ours[1]).max() > 1e-2


def test_turns_cover_the_windows_in_order_and_follow_the_numbers_given(tmp_path: Path, sound: np.ndarray) -> None:
    xvector(tmp_path)
    diarizer = load(tmp_path)
    for count in (1, 2, 3):
        turns = diarizer.speakers(iter(windows(sound)), DiarizeOptions(min_speakers=count, max_speakers=count))
        assert len({turn.speaker for turn in turns}) == count
        assert turns[0].start == 1.0
        assert turns[-1].end == pytest.approx(9.0 + 20000 / RATE)
        edges = [edge for turn in turns for edge in (turn.start, turn.end)]
        assert edges == sorted(edges)
        assert sum(turn.end - turn.start for turn in turns) == pytest.approx(3.0 + 20000 / RATE)


def test_a_threshold_of_the_model_tells_how_many(tmp_path: Path, sound: np.ndarray) -> None:
    xvector(tmp_path)
    many = load(tmp_path, threshold=1e-6).speakers(windows(sound), DiarizeOptions())
    one = load(tmp_path, threshold=1.9).speakers(windows(sound), DiarizeOptions())
    assert len({turn.speaker for turn in many}) > 2
    assert len({turn.speaker for turn in one}) == 1
    with pytest.raises(ConfigError, match="threshold"):
        load(tmp_path, threshold="0.5")
    with pytest.raises(ConfigError, match="thresold"):
        load(tmp_path, thresold=0.5)


def test_no_speech_has_no_turns_and_a_breath_one_speaker(tmp_path: Path) -> None:
    xvector(tmp_path)
    diarizer = load(tmp_path)
    assert diarizer.speakers(iter([]), DiarizeOptions()) == ()
    breath = Window(Audio(np.full(400, 0.1, np.float32), RATE), 2.0)
    (turn,) = diarizer.speakers(iter([breath]), DiarizeOptions())
    assert (turn.start, turn.end) == (2.0, 2.025)


@pytest.mark.parametrize("seconds", [0.3, 1.5, 2.2, 4.0, 6.37])
def test_activity_in_chunks_is_that_of_the_whole_recording(tmp_path: Path, sound: np.ndarray, seconds: float) -> None:
    nemotron(tmp_path)
    samples = sound[: round(seconds * RATE)]
    processor = tf.AutoProcessor.from_pretrained(tmp_path)
    model = tf.Nemotron3DiarizationForAudioFrameClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        given = processor(samples, sampling_rate=RATE, return_tensors="pt")
        theirs = model(**given).logits.sigmoid()[0].numpy()
        parts = np.array_split(samples, 7)
        ours = np.concatenate(list(Activity(model, processor).probabilities(iter(parts))))
    valid = int(given["attention_mask"].sum())
    assert abs(len(ours) - valid) <= 1
    # The library lets the very last 80 ms see a frame of padding behind them.
    count = min(len(ours), valid) - 8
    np.testing.assert_allclose(ours[:count], theirs[:count], atol=1e-4)
    assert theirs[:count].std(axis=0).max() > 1e-3


def test_activity_becomes_turns_in_the_time_of_the_source(tmp_path: Path, sound: np.ndarray) -> None:
    nemotron(tmp_path)
    diarizer = load(tmp_path)
    turns = diarizer.speakers(iter(windows(sound)), DiarizeOptions())
    assert turns
    for turn in turns:
        assert 1.0 <= turn.start < turn.end <= 4.0 + 1e-6 or 9.0 <= turn.start < turn.end <= 10.25 + 1e-6
    one = diarizer.speakers(iter(windows(sound)), DiarizeOptions(max_speakers=1))
    assert len({turn.speaker for turn in one}) == 1
    with pytest.raises(ConfigError, match="threshold"):
        load(tmp_path, threshold=0.5)


def test_the_folders_are_recognised(tmp_path: Path) -> None:
    for name, build in (("one", xvector), ("other", nemotron)):
        build(tmp_path / name)
        family = families.recognise_folder(tmp_path / name)
        assert family is not None
        assert (family.role, family.engine) == ("diarize", "transformers-speaker")


def test_a_damaged_or_foreign_folder_is_one_error(tmp_path: Path) -> None:
    xvector(tmp_path)
    config = tmp_path / "config.json"
    whole = config.read_text(encoding="utf-8")
    config.write_text(whole.replace('"xvector_output_dim": 20', '"xvector_output_dim": 24'), encoding="utf-8")
    with pytest.raises(EngineError, match=r"wrong shape|no model that can be used"):
        load(tmp_path)
    config.write_text(whole, encoding="utf-8")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(MissingModel, match="pickles"):
        load(tmp_path)
