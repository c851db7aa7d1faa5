"""mmcli chat through a pipe: each line a message, slash words, errors that end nothing, what is saved, loaded, logged."""

from __future__ import annotations

import json
import os
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
settings = { context = 60 }

[models.texter]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text"]
outputs = ["text"]

[models.broken]
role = "backbone"
engine = "reader"
source = "embedded:mmcli"
inputs = ["text"]
outputs = ["text"]
settings = { nonsense = 1 }

[pipelines.lm]
vad = "fake-vad"
stt = "fake-stt"
backbone = "lm"
tts = "fake-tts"
"""


@pytest.fixture(autouse=True)
def _models(_home: None) -> None:
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(MODELS)


@pytest.fixture
def chat(mmcli: Run) -> Run:
    def run(*lines: str, flags: tuple[object, ...] = ("-p", "lm")) -> Any:
        return mmcli("chat", *flags, stdin="".join(line + "\n" for line in lines).encode())

    return run


def _said(*texts: str) -> str:
    return "".join(f'You gave me the text "{text}".\n' for text in texts)


def test_each_line_is_a_message_and_only_answers_go_to_standard_output(chat: Run) -> None:
    ended = chat("hello", "", "//etc", '"""two', 'lines"""', "/exit", "never asked")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == _said("hello", "/etc", "two\nlines")


def test_attachments_go_with_the_next_message(chat: Run, red: Path, speech: Path) -> None:
    ended = chat(
        f"/image {red}", "what?", f"'{red}'", f"/audio {speech}", "and?", "more?", flags=("-p", "lm", "-a", red.name)
    )
    picture = "a picture of 60 by 40 pixels, red 250 green 10 blue 10"
    first, second, third = ended.out.splitlines()[0], ended.out[ended.out.index("\n") + 1 :], ended.out.splitlines()[-1]
    assert first == f'You gave me {picture}, {picture}, the text "what?".'
    assert second.startswith(f'You gave me {picture}, the text "What is said in bursts.wav:')
    assert "window 3 of" in second
    assert third == 'You gave me the text "more?".'
    assert ended.notes[0] == "mmcli: attached red.png, 60 by 40 pixels"
    assert ended.code == 0


@pytest.mark.parametrize(
    "line, code, words",
    [
        ("/image none.png", 1, "none.png: no such file"),
        ("/image", 2, "/image needs the name of a file"),
        ("/audio red.png", 1, "red.png: is a picture, not a recording; /attach red.png"),
        ("/image *.gif", 1, "no file matches this pattern"),
        ("/imgae red.png", 2, 'there is no word "/imgae"; did you mean "image"?'),
        ("/", 2, 'there is no word "/"; /help names those there are'),
        ("/model nothere", 2, 'there is no model "nothere"'),
        ("/model fake-tts", 2, "has the role tts, not backbone"),
        ("/model reader", 2, "no language model and has no use for --system"),
        ("/options nothing 1", 2, 'there is no option "nothing"'),
        ("/options temperature", 2, "/options temperature needs a value"),
        ("/options temperature hot", 2, "temperature is a number, not hot"),
        ("/undo", 2, "nothing has been said yet"),
        ("/retry", 2, "nothing has been said yet"),
        ("/usage", 2, "nothing has been said yet"),
        ("/save", 2, "/save needs the name of a file"),
        ("/save red.png", 1, "red.png: exists and is no saved conversation; name another file"),
        ("/save nowhere.json/talk.json", 1, None),  # type: ignore[list-item]
        ("/load none.json", 1, "none.json: no such file"),
        ("/load red.png", 1, "red.png: is no saved conversation: it is no JSON"),
        ("word " * 61, 1, "the question: has 63 words"),
        ("{1}?", 2, "names attachment {1}, and there are 0 attachments"),
    ],
)
def test_what_goes_wrong_is_one_line_and_the_talk_goes_on(
    chat: Run, red: Path, line: str, code: int, words: str | None
) -> None:
    (red.parent / "nowhere.json").touch()
    ended = chat(line, "hello", flags=("-p", "lm", "-s", "Be short."))
    assert ended.code == code
    assert ended.out == _said("hello")
    assert len(ended.notes) == 1, ended.err
    assert words is None or words in ended.err


def test_the_model_is_swapped_and_the_conversation_stays(chat: Run, red: Path) -> None:
    ended = chat(f"/image {red}", "one", "/model texter", "two", "/model broken", "three", "/usage")
    assert ended.out.splitlines()[1:] == _said("two", "three").splitlines()
    assert "mmcli: texter answers" in ended.notes
    assert 'unknown setting "nonsense"' in ended.err
    # texter has read: "one" and its answer, the name of the picture, "two"
    assert ended.code == 2
    assert "in all:" in ended.err


def test_options_and_the_system_message_change_what_is_said(chat: Run) -> None:
    ended = chat(
        "/options max-tokens 3",
        "hello",
        "/options max_tokens none",
        "hello",
        "/system Be brief.",
        "/options temperature 0.5",
        "no",
    )
    assert ended.out == "You gave me\n" + _said("hello")
    assert "mmcli: max_new_tokens 3" in ended.notes
    assert "mmcli: system: Be brief." in ended.notes
    assert "the fake backbone has no use for --temperature" in ended.err
    assert ended.code == 2


def test_turns_are_taken_back_and_asked_again(chat: Run, mmcli: Run) -> None:
    ended = chat("one", "two", "/undo", "/retry", "three", "/clear", "four")
    assert ended.out == _said("one", "two", "one", "three", "four")
    logged = [json.loads(line) for line in mmcli("log", "export").out.splitlines()]
    assert [[message["text"] for message in record["messages"][::2]] for record in logged] == [
        ["one", "three"],
        ["four"],
    ]


def test_a_conversation_is_saved_and_gone_on_with(chat: Run, red: Path, tmp_path: Path, mmcli: Run) -> None:
    ended = chat(f"/image {red}", "what?", '/save "my talk.json"', flags=("-p", "lm", "-n", "-s", "Be brief."))
    assert ended.code == 0, ended.err
    saved = tmp_path / "my talk.json"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert json.loads(saved.read_text())["messages"][0]["attachments"][0]["name"] == str(red)
    ended = chat("/load my talk.json", "and?", "/save my talk.json", "/usage")
    assert ended.code == 0, ended.err
    assert ended.notes[0] == "mmcli: 1 turn so far"
    assert len(json.loads(saved.read_text())["messages"]) == 4
    (record,) = [json.loads(line) for line in mmcli("log", "export").out.splitlines()]
    assert (record["system"], len(record["messages"])) == ("Be brief.", 4)
    red.unlink()
    assert chat("/load my talk.json").notes[0] == f"mmcli: no longer there as it was attached: {red}"


def test_a_hostile_file_opens_nothing_and_steers_nothing(chat: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("my password")
    files = [
        {"name": "a\x1b]0;x\x07.png", "path": path, "size": size, "sha256": "0" * 64}
        for path, size in ((str(secret), 11), ("/dev/zero", 0), ("/proc/self/environ", 0), ("../../etc/passwd", 3))
    ]
    messages = [
        {"role": "user", "text": "{1}{99}\x1b[2J", "attachments": files},
        {"role": "assistant", "text": "\x1b[31mred"},
    ]
    (tmp_path / "talk.json").write_text(json.dumps({"schema": 1, "messages": messages}))
    ended = chat("/load talk.json", "hello", "/save again.json", flags=("-p", "lm", "-n"))
    assert ended.code in (0, 2)
    assert "password" not in ended.out + ended.err
    assert "\x1b" not in ended.out + ended.err


def test_chat_and_ask_go_on_with_each_other(chat: Run, mmcli: Run) -> None:
    mmcli("ask", "one", "-p", "lm")
    assert chat("two", flags=("-c",)).out == _said("two")
    done = json.loads(mmcli("ask", "three", "-c", "--json").out)
    assert done["provenance"]["usage"]["prompt"] == 1 + 6 + 1 + 6 + 1
    assert done["provenance"]["models"]["backbone"]["name"] == "lm"


def test_the_reader_answers_follow_up_questions(mmcli: Run) -> None:
    receipt = Path(__file__).parents[2] / "samples" / "receipt.png"
    lines = f"/image {receipt}\nHow much is the total?\nHow much is the tip?\n"
    ended = mmcli("chat", "-p", "embedded", stdin=lines.encode())
    assert ended.code == 0
    assert ended.out.splitlines()[0].startswith("21.23 GBP")
    assert len(ended.out.splitlines()) >= 2


@pytest.mark.parametrize(
    "flags, code, words",
    [
        (("-a", "none.png"), 1, "none.png: no such file"),
        (("-m", "nothere"), 2, "there is no model"),
        (("-m", "reader", "-s", "Be brief."), 2, "no language model"),
        (("-c",), 2, "there is no conversation yet"),
        (("-a", "-"), 2, "standard input has the messages, and cannot be attached"),
        (("-p", "fake-e2e"), 2, "has no backbone"),
        (("-p", "embedded", "--say", "-p", "nothere"), 2, "there is no pipeline"),
    ],
)
def test_what_cannot_begin_is_one_line(chat: Run, flags: tuple[str, ...], code: int, words: str) -> None:
    ended = chat("hello", flags=("-p", "lm", *flags))
    assert (ended.code, ended.out, len(ended.notes)) == (code, "", 1), ended.err
    assert words in ended.err
