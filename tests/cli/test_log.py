"""Conversations that go on and are kept, as a user types it: ask -c, --cid, --no-log, mmcli log."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

MODELS = """
[models.lm]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text", "image"]
outputs = ["text"]
settings = { context = 40 }

[pipelines.lm]
vad = "fake-vad"
stt = "fake-stt"
backbone = "lm"
"""


@pytest.fixture(autouse=True)
def _models(_home: None) -> None:
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(MODELS)


def _prompt(ended: Any) -> int:
    assert ended.code == 0, ended.err
    return int(json.loads(ended.out)["provenance"]["usage"]["prompt"])


def _log(mmcli: Run, *args: object) -> Any:
    ended = mmcli("log", *args, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_a_question_goes_on_with_the_last_conversation_its_model_and_its_pictures(mmcli: Run, red: Path) -> None:
    first = mmcli("ask", "What is {1}?", "-a", red.name, "-m", "lm", "-s", "Be short.")
    assert first.err == ""
    assert _prompt(mmcli("ask", "Any more?", "-c", "--json")) == 2 + 3 + len(first.out.split()) + 2
    shown = _log(mmcli, "show", "last")
    assert shown["system"] == "Be short."
    assert [message["text"] for message in shown["messages"]][::2] == ["What is {1}?", "Any more?"]
    assert shown["messages"][1]["text"] == first.out.strip()
    assert {message["model"] for message in shown["messages"][1::2]} == {"lm"}
    (attached,) = shown["messages"][0]["attachments"]
    assert (attached["name"], attached["path"], len(attached["sha256"])) == (red.name, str(red), 64)


def test_a_picture_that_has_changed_is_named_and_the_talk_goes_on(mmcli: Run, red: Path) -> None:
    mmcli("ask", "What?", "-a", red.name, "-a", "-", "-p", "lm", stdin=red.read_bytes())
    red.write_bytes(red.read_bytes() + b"more")
    ended = mmcli("ask", "And now?", "-c")
    assert (ended.code, ended.out) == (0, 'You gave me the text "And now?".\n')
    assert ended.notes == ["mmcli: no longer there as it was attached: red.png, standard input"]


def test_another_conversation_is_named_by_its_id(mmcli: Run) -> None:
    id = json.loads(mmcli("ask", "one", "-p", "fake", "--json").out)["conversation"]
    mmcli("ask", "two", "-p", "fake")
    assert json.loads(mmcli("ask", "three", "--cid", id[:4], "--json").out)["conversation"] == id
    assert [(each["id"] == id, each["messages"]) for each in _log(mmcli, "list")] == [(True, 4), (False, 2)]


def test_what_no_longer_fits_is_told_once_and_a_too_long_question_is_an_error(mmcli: Run) -> None:
    # With its answer each turn has 9 words: five before a question are too many.
    for number in range(5):
        assert mmcli("ask", f"question {number}", "-p", "lm", *["-c"] * min(number, 1)).err == ""
    ended = mmcli("ask", "question 5", "-c")
    assert ended.code == 0
    assert ended.notes == [
        "mmcli: the model has no room for all of the conversation: the oldest turn is no longer told"
    ]
    ended = mmcli("ask", "word " * 41, "-c")
    assert (ended.code, len(ended.notes)) == (1, 1)
    assert "the question: has 41 words" in ended.err


@pytest.mark.parametrize("way", ["flag", "environment", "configuration"])
def test_nothing_is_kept_if_not_wanted(mmcli: Run, tmp_path: Path, way: str) -> None:
    config = tmp_path / "quiet.toml"
    config.write_text("log.enabled = false\n")
    flags = {"flag": ["-n"], "environment": [], "configuration": ["--config", config]}[way]
    ended = mmcli("ask", "a secret", "-p", "fake", *flags, env={"MMCLI_NO_LOG": "1"} if way == "environment" else {})
    assert (ended.code, ended.err) == (0, "")
    assert not Path(mmcli("log", "path").out.strip()).exists()
    assert _log(mmcli, "list") == []


def test_a_broken_log_breaks_no_answer(mmcli: Run) -> None:
    path = Path(mmcli("log", "path").out.strip())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 500)
    ended = mmcli("ask", "hello", "-p", "fake")
    assert (ended.code, ended.out, len(ended.notes)) == (0, 'You gave me the text "hello".\n', 1)
    assert "this conversation is not logged" in ended.err
    for args in (["log", "list"], ["log", "search", "a"], ["ask", "hello", "-c", "-p", "fake"], ["log", "export"]):
        ended = mmcli(*args)
        assert (ended.code, ended.out, len(ended.notes)) == (1, "", 1), args
        assert "move it away" in ended.err


@pytest.mark.parametrize(
    "args, words",
    [
        (["ask", "?", "-c", "-p", "fake"], "there is no conversation yet"),
        (["ask", "?", "--cid", "abc", "-p", "fake"], 'there is no conversation "abc"; mmcli log list'),
        (["ask", "?", "-c", "--cid", "abc"], "-c and --cid do not go together"),
        (["log", "show", "abc"], 'there is no conversation "abc"'),
        (["log", "show"], "there is no conversation yet"),
        (["log", "remove"], "nothing is named"),
        (["log", "remove", "abc"], 'there is no conversation "abc"'),
        (["log", "remove", "--before", "soon"], '--before "soon": is no date'),
        (["log", "search", "?!"], "there is no word to search for"),
        (["log", "export", "-f", "pdf"], "--format is jsonl or md, not pdf"),
    ],
)
def test_what_cannot_be_is_one_line(mmcli: Run, args: list[str], words: str) -> None:
    ended = mmcli(*args)
    assert (ended.code, ended.out, len(ended.notes)) == (2, "", 1)
    assert words in ended.err


def test_the_log_is_searched_exported_and_emptied(mmcli: Run, tmp_path: Path) -> None:
    mmcli("ask", "Where is the \x1b[31mharbour?", "-p", "fake")
    mmcli("ask", "Where is the café?", "-p", "fake")
    (line,) = mmcli("log", "search", "where", "CAFE", "-n", "1").out.splitlines()
    assert "[café]" in line
    assert mmcli("log", "search", "nowhere").code == 1
    assert (
        "\x1b"
        not in mmcli("log", "show", "--json").out + mmcli("log", "list").out + mmcli("log", "export", "-f", "md").out
    )
    records = [json.loads(line) for line in mmcli("log", "export").out.splitlines()]
    assert [record["messages"][0]["text"].endswith("harbour?") for record in records] == [True, False]
    assert mmcli("log", "export", "last", "-o", "talk.md").out == ""
    assert "Where is the café?" in (tmp_path / "talk.md").read_text()
    assert mmcli("log", "remove", records[0]["id"]).err == "mmcli: removed 1 conversation\n"
    assert _log(mmcli, "remove", "--before", "2999-01-01") == {"removed": 1}
    assert _log(mmcli, "list") == []


def test_each_is_not_kept(mmcli: Run, red: Path) -> None:
    shutil.copy(red, red.with_name("two.png"))
    assert mmcli("ask", "What?", "-a", "*.png", "--each", "-p", "lm").code == 0
    assert _log(mmcli, "list") == []
