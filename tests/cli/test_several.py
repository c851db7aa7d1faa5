"""Several files, or windows that need not wait for each other, are heard side by side, and nobody sees it but by the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmcli.catalogue import package_data
from tests.micro.measure import MODEL

Run = Callable[..., Any]
WHISPER = ["-m", MODEL, "--device", "cpu", "--temperature-increment-on-fallback", "none"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The samples' questions, the longest first, so that the first is finished after others."""
    questions = sorted(package_data("samples").glob("question-*.flac"))[:4]
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for number, source in enumerate(questions):
        samples, rate = soundfile.read(source, dtype="float32")
        made.append(folder / f"{number}.flac")
        soundfile.write(
            made[-1], np.concatenate([samples, np.zeros(rate, np.float32)] * (9 if number == 0 else 1)), rate
        )
    return made


@pytest.mark.parametrize("model", [WHISPER, ["-m", "pocketsphinx"]], ids=["whisper", "pocketsphinx"])
def test_files_side_by_side_are_heard_as_each_alone_and_told_in_order(
    mmcli: Run, clips: list[Path], model: list[str]
) -> None:
    alone = [mmcli("transcribe", clip, *model, "--workers", "1") for clip in clips]
    assert all(ended.code == 0 and ended.out for ended in alone)
    together = mmcli("transcribe", *clips, *model)
    assert together.code == 0
    titled = [f"==> {clip} <==\n{ended.out}" for clip, ended in zip(clips, alone, strict=True)]
    assert together.out == "".join(titled)
    files = mmcli("transcribe", *clips, *model, "-f", "txt", "-o", "out")
    assert [line.split(" -> ")[0].split("/")[-1] for line in files.notes] == [clip.name for clip in clips]


@pytest.mark.parametrize("more", [[], ["--batched", "--batch-size", "4"]], ids=["one by one", "batched"])
def test_windows_side_by_side_are_heard_as_one_after_the_other(mmcli: Run, clips: list[Path], more: list[str]) -> None:
    command = ["transcribe", clips[0], *WHISPER, "--no-condition-on-previous-text", "--compute-type", "float32", *more]
    command += ["--vad-max-speech-duration-s", "4", "--word-timestamps", "-f", "srt", "--initial-prompt", "Red."]
    serial = mmcli(*command, "--workers", "1")
    assert serial.code == 0
    assert serial.out.count("-->") > 3
    assert mmcli(*command, "--workers", "3").out == serial.out
    assert mmcli(*command).out == serial.out


def test_a_broken_file_among_others_is_told_in_its_turn(mmcli: Run, clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    ended = mmcli("transcribe", clips[0], "broken.wav", *clips[1:], "missing.wav", *WHISPER, "-o", "out")
    assert ended.code == 3
    told = [
        next(word for word in ("broken.wav", "missing.wav", ".txt", "failed") if word in line) for line in ended.notes
    ]
    assert told == [".txt", "broken.wav", *[".txt"] * (len(clips) - 1), "missing.wav", "failed"]
    assert len(list((tmp_path / "out").iterdir())) == len(clips)


def test_the_same_file_twice_is_heard_twice(mmcli: Run, clips: list[Path]) -> None:
    once = mmcli("transcribe", clips[1], *WHISPER)
    twice = mmcli("transcribe", clips[1], clips[1], *WHISPER)
    assert (twice.code, twice.out) == (0, f"==> {clips[1]} <==\n{once.out}" * 2)


def test_files_whose_outputs_are_there_are_left_out_when_asked(mmcli: Run, clips: list[Path], tmp_path: Path) -> None:
    command = ["transcribe", *clips, *WHISPER, "-f", "srt,json", "-o", "out"]
    assert mmcli(*command).code == 0
    again = tmp_path / "out" / "2.json"
    again.unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    ended = mmcli(*command, "--skip-existing")
    assert ended.code == 0
    assert ended.err.count("left out") == 3
    changed = {path for path in (tmp_path / "out").iterdir() if path.stat().st_mtime_ns != times.get(path)}
    assert changed == {again, again.with_suffix(".srt")}
    ended = mmcli(*command, "--skip-existing", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    ended = mmcli("transcribe", clips[0], *WHISPER, "--skip-existing")
    assert (ended.code, ended.out) == (2, "")
    assert "-o DIR" in ended.err


@pytest.mark.parametrize("name", ["..wav", "...wav"])
def test_no_output_leaves_its_folder(mmcli: Run, speech: Path, tmp_path: Path, name: str) -> None:
    speech.rename(tmp_path / name)
    assert mmcli("transcribe", name, "-p", "fake", "-f", "srt", "-o", "out/in").code == 0
    assert [path.suffix for path in (tmp_path / "out" / "in").iterdir()] == [".srt"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in"]


def test_one_folder_under_two_names_is_one(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    there = tmp_path / "a.jsonl"
    mmcli("transcribe", speech, "-p", "fake", "-f", "jsonl", "-o", tmp_path / "made")
    (tmp_path / "made" / "bursts.jsonl").rename(there)
    speech.rename(tmp_path / "a.wav")
    names = ["a.wav", str(there), "./a.wav", str(tmp_path / "a.wav")]
    assert mmcli("transcribe", *names, "-p", "fake", "-f", "srt", "-o", "source").code == 0
    made = sorted(path.name for path in tmp_path.glob("*.srt"))
    assert made == ["a.jsonl.srt", "a.srt", "a.wav-2.srt", "a.wav.srt"]


def test_output_that_cannot_be_written_ends_all_at_once(clips: list[Path]) -> None:
    command = [sys.executable, "-m", "mmcli", "transcribe", *map(str, clips * 5), *map(str, WHISPER)]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if "No space left" in line] == ended.stderr.splitlines()


def test_ctrl_c_ends_what_goes_side_by_side(tmp_path: Path, clips: list[Path]) -> None:
    command = [sys.executable, "-m", "mmcli", "transcribe", *map(str, clips * 20), *map(str, WHISPER), "-o", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("out/*.txt")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate(timeout=30)
    assert process.returncode == 130, notes
    assert "Traceback" not in notes
    written = list((tmp_path / "out").iterdir())
    assert 1 <= len(written) < len(clips) * 20
    assert all(path.suffix == ".txt" and path.read_text() for path in written)


@pytest.mark.parametrize("workers", ["-1", "5000"])
def test_no_sensible_number_of_workers_is_one_line(mmcli: Run, clips: list[Path], workers: str) -> None:
    ended = mmcli("transcribe", clips[1], *WHISPER, f"--workers={workers}")
    assert ended.code == 2
    assert "workers" in ended.err


def test_a_run_alone_goes_on_where_one_among_others_was_stopped(mmcli: Run, clips: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmcli", "transcribe", str(clips[0]), str(clips[1])]
    command += [
        *map(str, WHISPER),
        "--vad-max-speech-duration-s",
        "4",
        "--batched",
        "--batch-size",
        "1",
        "--threads",
        "1",
    ]
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "mmcli" / "transcripts"
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not any(path.read_bytes().count(b"\n") > 1 for path in kept.glob("*")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ended = mmcli(*command[3:])
    assert ended.code == 0
    assert "going on at 00:00:" in ended.err
