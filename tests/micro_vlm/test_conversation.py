"""A conversation with a real vision-language model: pictures are read once, and what has no room is left out."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

from mmcli import engines
from mmcli.catalogue import PipelineSpec, read_catalogue
from mmcli.dialog import Dialog, restored
from mmcli.media.attachments import open_attachment
from mmcli.pipeline import build
from mmcli.stages import Done, Said, Turn
from tests.conftest import Result
from tests.micro_vlm.measure import MODEL, load
from tests.micro_vlm.shapes import Thing, draw


@pytest.fixture
def cross(tmp_path: Path) -> Path:
    file = tmp_path / "shape.png"
    file.write_bytes(draw(Thing("purple", "cross", "large"), random.Random(8), 160, 160).file(None))
    return file


def test_a_picture_is_read_once_and_the_oldest_turns_go_when_there_is_no_room(
    cross: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load()
    monkeypatch.setattr(engines, "load", lambda *_: engine)
    pipeline = build(PipelineSpec("micro", {"backbone": str(MODEL)}, {}, {}), read_catalogue(), ("backbone",))
    dialog = Dialog()

    def ask(question: str, *names: Path) -> tuple[str, Done]:
        events = list(dialog.ask(pipeline, Turn(question, attachments=tuple(map(open_attachment, names))), names))
        done = events[-1]
        assert isinstance(done, Done)
        return "".join(event.text for event in events if isinstance(event, Said)), done

    said, first = ask("What do you see?", cross)
    assert said == "A purple cross."
    _, second = ask("Are you sure?")
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt > first.usage.prompt
    assert second.usage.cached >= first.usage.prompt  # all that was read is known, the picture among it
    dialog, gone = restored(dialog.record(), open_attachment)
    assert not gone
    _, third = ask("What colour is it?")
    assert third.usage is not None
    assert third.usage.cached >= second.usage.prompt  # another object, the same picture
    questions = 3
    while dialog.start == 0:
        ask("What do you see now? " * 8, cross)
        questions += 1
        assert questions < 40
    assert len(dialog.exchanges) == questions  # only what is told has grown shorter


def test_chat_answers_about_pictures_one_after_the_other(mmcli: Callable[..., Result], cross: Path) -> None:
    lines = "What do you see?\nAre you sure?\n/usage\n"
    ended = mmcli("chat", "-m", MODEL, "-a", cross, stdin=lines.encode())
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0] == "A purple cross."
    assert "known from before" in ended.err
