"""mmcli ask --draw and --schema: places and documents in answers, all the way to files and records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

Run = Callable[..., Any]

# A fake says back what it is asked, so a question is an answer.
MODEL = """
[models.seer]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text", "image"]
outputs = ["text"]
settings = { coordinates = "0..1000" }
"""
SAID = "<ref>a dog</ref><box>(100,250),(500,750)</box>"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "größe": {"enum": ["klein", "groß"]},
            "parts": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
        "required": ["größe"],
        "additionalProperties": False,
    }
)
DOCUMENT = {"größe": "groß", "parts": [{"n": 1}, {}]}


@pytest.fixture
def ask(mmcli: Run, tmp_path: Path) -> Run:
    PIL.Image.new("RGB", (200, 80), "grey").save(tmp_path / "one.png")
    PIL.Image.new("RGB", (200, 80), "grey").save(tmp_path / "two.png")
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli"
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(MODEL)
    return lambda *args: mmcli("ask", "-m", "seer", *args)


def test_places_are_drawn_and_told(ask: Run, tmp_path: Path) -> None:
    ended = ask(SAID, "-a", "one.png", "--draw", "out.png", "--json")
    assert (ended.code, ended.err) == (0, "")
    (region,) = json.loads(ended.out)["regions"]
    assert region == {"label": "a dog", "picture": "one.png", "box": [20.0, 20.0, 100.0, 60.0]}
    with PIL.Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (200, 80)
        assert drawn.getpixel((100, 50)) != (128, 128, 128)
        assert drawn.getpixel((60, 50)) == (128, 128, 128)


def test_points_and_outlines_are_told_by_their_names(ask: Run) -> None:
    said = '[{"point_2d": [500, 500], "label": "p"}]'
    assert json.loads(ask(said, "-a", "one.png", "--json").out)["regions"] == [
        {"label": "p", "picture": "one.png", "point": [100.0, 40.0]}
    ]
    said = "<ref>q</ref><quad>(0,0),(500,0),(500,500),(0,500)</quad>"
    (region,) = json.loads(ask(said, "-a", "one.png", "--json").out)["regions"]
    assert region["polygon"] == [[0.0, 0.0], [100.0, 0.0], [100.0, 40.0], [0.0, 40.0]]


def test_one_by_one_each_record_has_its_own_places(ask: Run) -> None:
    records = [json.loads(line) for line in ask(SAID, "-a", "one.png", "-a", "two.png", "--each").out.splitlines()]
    assert [record["regions"][0]["picture"] for record in records] == ["one.png", "two.png"]


def test_a_conversation_that_goes_on_is_drawn_on_its_picture(ask: Run, tmp_path: Path) -> None:
    assert ask("hello", "-a", "one.png").code == 0
    ended = ask(SAID, "-c", "--draw", "out.png")
    assert (ended.code, ended.err) == (0, "")
    with PIL.Image.open(tmp_path / "out.png") as drawn:
        assert drawn.getpixel((100, 50)) != (128, 128, 128)


def test_an_answer_without_places_says_so(ask: Run, tmp_path: Path) -> None:
    ended = ask("nothing", "-a", "one.png", "--draw", "out.jpg")
    assert ended.code == 0
    assert ended.notes == ["mmcli: the answer names no place in one.png, so nothing is drawn on it"]
    assert (tmp_path / "out.jpg").is_file()


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["-a", "one.png", "--draw", "out.gif"], 2, "out.gif: cannot be drawn as that; name a file that ends in .png,"),
        (["--draw", "out.png"], 2, "--draw draws on a picture, and none is attached"),
        (["-a", "one.png", "--each", "--draw", "out.png"], 2, "--draw draws one picture, and --each asks about many"),
        (["-a", "one.png", "--draw", "one.png/out.png"], 1, "one.png/out.png: "),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(ask: Run, args: list[str], code: int, words: str) -> None:
    ended = ask(SAID, *args)
    assert (ended.code, len(ended.notes)) == (code, 1)
    assert words in ended.err


def test_a_document_is_an_object_in_records(ask: Run) -> None:
    question = json.dumps(DOCUMENT, ensure_ascii=False)
    ended = ask(question, "-a", "one.png", "--schema", SCHEMA, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["answer"] == DOCUMENT
    ended = ask(question, "-a", "one.png", "-a", "two.png", "--schema", SCHEMA, "--each")
    assert [json.loads(line)["answer"] for line in ended.out.splitlines()] == [DOCUMENT, DOCUMENT]


@pytest.mark.parametrize(
    "question, more, words",
    [
        ('{"größe": "riesig"}', (), "the schema does not allow the answer: $['größe']: 'riesig' is not one of"),
        ("groß", (), "the answer is no JSON"),
        ('{"größe": "groß"}', ("--max-tokens", "1"), "the answer was cut off before its document was whole; allow it more"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_such_document_is_one_clear_line(ask: Run, question: str, more: Any, words: str) -> None:
    ended = ask(question, "--schema", SCHEMA, *more)
    assert ended.code == 1
    assert len(ended.notes) == 1
    assert words in ended.err
    ended = ask(question, "-a", "one.png", "--schema", SCHEMA, "--each", *more)
    record = json.loads(ended.out)
    assert record["answer"] is None
    assert words in record["error"]
