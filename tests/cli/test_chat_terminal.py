"""mmcli chat in a real terminal: typing over lines, pasting, completion, recall, Ctrl+C, Ctrl+D, Markdown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from mmcli.history.database import History

PASTE, END = "\x1b[200~", "\x1b[201~"
MODELS = """
[models.lm]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text", "image"]
outputs = ["text"]
settings = { delay_s = %s }
[pipelines.lm]
backbone = "lm"
"""


class Typist:
    """Types into a chat and sees what stays there."""

    def __init__(self, folder: Path, *args: str) -> None:
        env = {**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONWARNINGS": "error"}
        command = ["-m", "mmcli", "chat", "-p", "lm", *args]
        self.child = pexpect.spawn(
            sys.executable, command, cwd=str(folder), env=env, encoding="utf-8", timeout=30, dimensions=(24, 200)
        )
        self.prompt()

    def prompt(self) -> str:
        """Wait for the prompt; what came before it, without escapes."""
        self.child.expect(r"\x1b\[\?2004h.*?>")  # each prompt asks for pastes to be told apart
        return _bare(self.child.before or "")

    def says(self, keys: str, wanted: str) -> None:
        self.child.send(keys + "\r")
        self.child.expect_exact(wanted)
        self.prompt()

    def ends(self) -> int:
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert "Traceback" not in (self.child.before or "")
        return int(self.child.exitstatus or 0)


def _bare(text: str) -> str:
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", text)


@pytest.fixture
def open_chat(tmp_path: Path) -> Iterator[Callable[..., Typist]]:
    typists: list[Typist] = []

    def start(*args: str, delay_s: float = 0.0) -> Typist:
        config = Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(MODELS % delay_s)
        typists.append(Typist(tmp_path, *args))
        return typists[-1]

    yield start
    for typist in typists:
        typist.child.close(force=True)


def _asked() -> list[str]:
    return [entry.text for entry in History().read("last").entries[::2]]


def test_messages_over_several_lines(open_chat: Any) -> None:
    typist = open_chat("--plain")
    typist.says("one", 'the text "one"')
    typist.says("a\x1b\rb", 'the text "a\r\nb"')
    typist.says("c\\\rd", 'the text "c\r\nd"')
    typist.says('"""e\r\rf"""', 'the text "e\r\n\r\nf"')
    typist.says(f"{PASTE}pasted\nlines\n/exit{END}", "/exit")
    typist.child.sendeof()
    assert typist.ends() == 0
    assert _asked() == ["one", "a\nb", "c\nd", "e\n\nf", "pasted\nlines\n/exit"]


def test_ctrl_c_stops_an_answer_and_then_leaves(open_chat: Any) -> None:
    typist = open_chat("--plain", delay_s=0.1)
    typist.child.send("word " * 100 + "\r")
    typist.child.expect_exact("You gave me")
    typist.child.sendcontrol("c")
    typist.child.expect_exact("stopped")
    typist.prompt()
    typist.child.send("half a message")
    typist.child.sendcontrol("c")  # clears what is typed
    typist.says("on", 'the text "on"')
    typist.child.sendcontrol("c")
    assert typist.ends() == 130
    answers = History().read("last").entries[1::2]
    assert [answer.interrupted for answer in answers] == [True, False]
    assert answers[0].text.startswith("You gave me")


def test_words_are_completed_and_former_questions_recalled(open_chat: Any, red: Path) -> None:
    first = open_chat("--plain")
    first.says("my old question", 'the text "my old question"')
    first.child.send("/bye\r")
    assert first.ends() == 0
    typist = open_chat("--plain")
    typist.says("\x1b[A", 'the text "my old question"')
    for keys, completed in (("/im\t", "age"), ("re\t", "d.png")):
        typist.child.send(keys)
        typist.child.expect_exact(completed)
    typist.says("", "attached red.png, 60 by 40 pixels")
    typist.says("what?", 'red 250 green 10 blue 10, the text "what?"')
    typist.child.send("/model fake-b\t")
    typist.child.expect_exact("ackbone")
    typist.says("", "fake-backbone answers")
    typist.says("/help", "leave, as /bye and Ctrl+D do")
    typist.says("/hepl", 'did you mean "help"?')
    typist.child.send("/exit\r")
    assert typist.ends() == 0


def test_answers_are_set_as_markdown_and_nothing_is_kept_with_no_log(open_chat: Any) -> None:
    typist = open_chat("-n")
    typist.child.send("a **bold** `word`\r")
    typist.child.expect_exact("a \x1b[1mbold\x1b[0m")
    typist.prompt()
    typist.child.sendeof()
    assert typist.ends() == 0
    assert not History().path.exists()


def test_a_picture_is_shown_in_the_terminal_unless_not_wanted(open_chat: Any, red: Path) -> None:
    pytest.importorskip("textual_image")
    typist = open_chat("--plain", "-a", red.name)
    typist.child.close(force=True)
    half_blocks = re.compile("[\u2580\u2584]")
    seen = typist.child.before or ""
    assert half_blocks.search(seen), seen[-500:]
    typist = open_chat("--plain", "--no-preview", "-a", red.name)
    assert not half_blocks.search(typist.child.before or "")
