"""The commands in a real terminal: Ctrl+C, closed pipes, the demo."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest
import soundfile

MMCLI = [sys.executable, "-m", "mmcli"]


def _spawn(args: list[str], folder: Path) -> pexpect.spawn[str]:
    return pexpect.spawn(MMCLI[0], [*MMCLI[1:], *args], cwd=str(folder), encoding="utf-8", timeout=60)


def _slow(tmp_path: Path) -> Path:
    config = tmp_path / "slow.toml"
    slow = "\n".join(f"[models.fake-{role}.settings]\ndelay_s = 0.2" for role in ("stt", "backbone", "tts"))
    config.write_text(slow, encoding="utf-8")
    return config


def test_ctrl_c_ends_a_command_in_the_middle_with_130_and_no_half_file(tmp_path: Path) -> None:
    args = ["run", "fake", "-t", "word " * 300, "-o", "reply.wav", "--config", str(_slow(tmp_path))]
    child = _spawn(args, tmp_path)
    child.expect("You gave me")
    child.sendcontrol("c")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in (child.before or "")
    assert [path.name for path in tmp_path.iterdir()] == ["slow.toml"]


def test_ctrl_c_while_speech_is_being_recognised(tmp_path: Path, data: Path) -> None:
    child = _spawn(["transcribe", str(data / "a44.wav"), "-o", "out", "-p", "embedded"], tmp_path)
    time.sleep(1.5)
    child.sendcontrol("c")
    child.expect(pexpect.EOF, timeout=30)
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in (child.before or "")
    assert not list(tmp_path.rglob("*.txt"))


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lose_no_file_and_get_nothing_into_one(tmp_path: Path, speech: Path, redirect: str) -> None:
    command = f"{' '.join(MMCLI)} transcribe {speech} -p fake -f srt -o out {redirect}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert (tmp_path / "out" / "bursts.srt").read_text().startswith("1\n00:00:")
    assert ("mmcli: " in ended.stderr) == ("2>" not in redirect)
    ended = subprocess.run(
        ["sh", "-c", f"{' '.join(MMCLI)} models list {redirect}"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5])
def test_an_interrupt_at_any_moment_leaves_no_trace(delay: float, red: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mmcli", "ask", "what is written here?", "-a", str(red)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    # What Python does with a signal before it has come to the program is not ours.
    for line in process.stderr:
        if b"mmcli.errors" in line or b"typer" in line:
            break
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (130, 0), err
    assert b"Traceback" not in err


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    command = f"set -o pipefail; {' '.join(MMCLI)} ask '{'many words ' * 2000}' -p fake | head -c 10"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0
    assert ended.stdout == "You gave m"
    assert ended.stderr == ""


def test_a_reader_of_sound_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    command = f"set -o pipefail; {' '.join(MMCLI)} speak '{'many words. ' * 2000}' -q -o - | head -c 1000 | wc -c"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0
    assert ended.stdout.strip() == "1000"
    assert ended.stderr == ""


@pytest.mark.parametrize("args", [["ask", "hello", "-p", "fake"], ["speak", "hello", "-o", "-", "-q"], ["doctor"]])
def test_a_full_disk_behind_standard_output_is_told(args: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*MMCLI, *args], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "No space left" in ended.stderr


def test_the_demo_tells_its_story(tmp_path: Path) -> None:
    child = _spawn(["demo", "--no-play"], tmp_path)
    child.expect(pexpect.EOF)
    child.close()
    story = child.before or ""
    assert child.exitstatus == 0, story
    for word in ("asked", "heard", "says", "saw", "reply", "times"):
        assert f"{word}  " in story
    assert soundfile.info(tmp_path / "mmcli-demo-reply.wav").duration > 1


def test_tables_have_headings_in_a_terminal_only(tmp_path: Path, mmcli: Callable[..., Any]) -> None:
    child = _spawn(["pipelines", "list"], tmp_path)
    child.expect(pexpect.EOF)
    assert "pipeline" in (child.before or "")
    assert "models" not in mmcli("pipelines", "list").out.splitlines()[0]


def test_what_a_table_is_for_is_shown_in_a_narrow_terminal(tmp_path: Path) -> None:
    child = _spawn(["models", "list", "--role", "stt"], tmp_path)
    child.expect(pexpect.EOF)
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in (child.before or "").splitlines()]
    assert ["stt", "absent"] in [row[1:3] for row in rows]
    child = _spawn(["pipelines", "show", "embedded"], tmp_path)
    child.expect(pexpect.EOF)
    assert ["options.tts.speed", "1.0", "default"] in [line.split() for line in (child.before or "").splitlines()]


def test_colours_are_left_out_when_asked(tmp_path: Path) -> None:
    env = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    child = pexpect.spawn(MMCLI[0], [*MMCLI[1:], "models", "list"], env=env, encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    assert "\x1b[3" not in (child.before or "")
