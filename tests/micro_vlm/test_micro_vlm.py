"""The micro VLM under tests/micro_vlm/vlm, asked through mmcli as any other model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch
from safetensors import safe_open
from typer.testing import CliRunner

from mmcli import engines
from mmcli.cli import ask
from tests.micro_vlm.measure import MODEL, WAYS, first_turns, load, pictures, second_turns
from tests.micro_vlm.shapes import ASK, Thing, draw, every_thing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mmcli.stages import Backbone
    from tests.conftest import Result


@pytest.fixture(scope="module")
def engine() -> Iterator[Backbone]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load()
    torch.set_num_threads(threads)


def test_the_command_answers_about_every_shape(
    engine: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "load", lambda *_: engine)  # once, not for each of eighty questions
    rng = random.Random(5)
    wrong = []
    asked = 0
    for thing in every_thing():
        file = tmp_path / "shape.png"
        file.write_bytes(draw(thing, rng, 120, 120).file(None))
        for kind in rng.sample(list(ASK), 2):
            asked += 1
            exchange = ASK[kind](thing, rng)
            result = CliRunner().invoke(ask.app, [exchange.question, "-a", str(file), "-m", str(MODEL), "-q"])
            assert result.exit_code == 0, result.output
            if result.stdout.strip() != exchange.answer:
                wrong.append((str(thing), exchange.question, result.stdout))
    assert len(wrong) <= 0.05 * asked, wrong


@pytest.mark.parametrize(
    "way, least",
    [
        ("36 by 36", 0.95),
        ("200 by 200", 0.95),
        ("JPEG of quality 40", 0.95),
        ("640 by 480", 0.9),
    ],  # the last is squeezed
)
def test_first_questions_are_answered(engine: Backbone, way: str, least: float) -> None:
    result = first_turns(engine, pictures(61, *WAYS[way]), 62)
    assert result.share >= least, result.wrong


@pytest.mark.parametrize("way", ["200 by 200", "JPEG of quality 40"])
def test_second_questions_are_answered(engine: Backbone, way: str) -> None:
    result = second_turns(engine, pictures(71, *WAYS[way]), 72)
    assert result.share >= 0.95, result.wrong


def _drawn(folder: Path, thing: Thing, quality: int | None = None) -> Path:
    file = folder / ("shape.png" if quality is None else "shape.jpg")
    file.write_bytes(draw(thing, random.Random(8), 160, 160).file(quality))
    return file


def test_a_process_of_its_own_says_what_it_sees(mmcli: Callable[..., Result], tmp_path: Path) -> None:
    file = _drawn(tmp_path, Thing("purple", "cross", "large"))
    result = mmcli("ask", "What do you see?", "-a", file, "-m", MODEL)
    assert (result.code, result.out) == (0, "A purple cross.\n")
    assert result.err == ""


def test_a_process_of_its_own_reads_a_picture_from_a_pipe(mmcli: Callable[..., Result], tmp_path: Path) -> None:
    picture = _drawn(tmp_path, Thing("green", "triangle", "small"), 60).read_bytes()
    result = mmcli("ask", "How many green triangles are in this picture?", "-a", "-", "-m", MODEL, stdin=picture)
    assert (result.code, result.out) == (0, "I see one green triangle.\n")


def test_the_folder_is_whole_and_small() -> None:
    files = {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"} <= set(files)
    assert sum(files.values()) < 2_000_000
    with safe_open(MODEL / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}  # noqa: SIM118
