"""mmcli transcribe on standard input and pipes: names, samples without a header, text while the sound still comes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from mmcli.catalogue import package_data
from tests.micro.measure import MODEL

Run = Callable[..., Any]
RAW = {"s16le": "<i2", "s16be": ">i2", "s32le": "<i4", "f32le": "<f4", "f32be": ">f4", "f64le": "<f8"}


def test_standard_input_has_the_name_that_it_is_given(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    flags = ["-p", "fake", "-f", "json", "-f", "srt", "-o", "out", "-q"]
    assert mmcli("transcribe", "-", *flags, stdin=speech.read_bytes()).code == 0
    assert mmcli("transcribe", "-", *flags, "--stdin-name", "talk.mp3", stdin=speech.read_bytes()).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "stdin.json",
        "stdin.srt",
        "talk.json",
        "talk.srt",
    ]
    document = json.loads((tmp_path / "out" / "talk.json").read_text(encoding="utf-8"))
    assert document["provenance"]["source"] == "talk.mp3"
    ended = mmcli("transcribe", "-", "-p", "fake", "-f", "json", "--stdin-name", "call", stdin=speech.read_bytes())
    assert json.loads(ended.out)["provenance"]["source"] == "call"


def test_a_name_that_a_file_has_too_is_not_overwritten(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    flags = ["-p", "fake", "-o", "out", "-q", "--stdin-name", speech.name]
    assert mmcli("transcribe", speech, "-", *flags, stdin=speech.read_bytes()).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bursts.txt", "bursts.wav.txt"]


@pytest.mark.parametrize(
    "args, words",
    [
        (["a.wav", "--stdin-name", "b"], "which is not among the inputs"),
        (["-", "--stdin-name", "../b"], "plain name"),
        (["-", "--stdin-name", ".."], "plain name"),
        (["-", "--stdin-name", "a\x1b[31mb"], "plain name"),
        (["-", "--raw-format", "s16"], 'did you mean "s16'),
        (["-", "--raw-format", "pcm"], "s16le"),
        (["-", "--raw-rate", "7"], "1000 to 1000000"),
        (["-", "--raw-channels", "0"], "--raw-channels"),
    ],
)
def test_names_and_formats_that_make_no_sense_are_one_line(mmcli: Run, args: list[str], words: str) -> None:
    ended = mmcli("transcribe", *args, "-p", "fake")
    assert (ended.code, ended.out, len(ended.notes)) == (2, "", 1)
    assert words in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("encoding", [*RAW, "u8", "s8", "s24le", "mulaw", "alaw"])
def test_samples_without_a_header_are_heard(mmcli: Run, speech: Path, encoding: str) -> None:
    samples, _ = soundfile.read(speech)
    if encoding in RAW:
        kind = np.dtype(RAW[encoding])
        raw = (samples if kind.kind == "f" else samples * (np.iinfo(kind).max - 1)).astype(kind).tobytes()
    elif encoding == "u8":
        raw = (samples * 127 + 128).astype(np.uint8).tobytes()
    elif encoding == "s8":
        raw = (samples * 127).astype(np.int8).tobytes()
    elif encoding == "s24le":
        raw = (samples * (2**31 - 2)).astype("<i4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    else:
        encoder = av.CodecContext.create(f"pcm_{encoding}", "w")
        encoder.rate, encoder.layout, encoder.format = 16000, "mono", "s16"
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.rate = 16000
        raw = b"".join(bytes(packet) for packet in encoder.encode(frame))
    ended = mmcli("transcribe", "-", "-p", "fake", "-f", "tsv", "--raw-format", encoding, stdin=raw)
    assert (ended.code, ended.err) == (0, "")
    starts = [int(line.split("\t")[0]) for line in ended.out.splitlines()[1:]]
    assert starts == [pytest.approx(time, abs=350) for time in (1000, 3000, 5000)]


def test_rate_and_channels_of_samples_without_a_header(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(speech, dtype="int16")
    stereo = np.stack([np.zeros_like(samples), samples], 1)
    (tmp_path / "call.pcm").write_bytes(stereo.tobytes())
    flags = ["-p", "fake", "--raw-rate", "8000", "--raw-channels", "2", "-f", "tsv"]
    ended = mmcli("transcribe", "call.pcm", *flags, "--channel", "2")
    assert [round(int(line.split("\t")[0]) / 2000) for line in ended.out.splitlines()[1:]] == [1, 3, 5]
    silent = mmcli("transcribe", "call.pcm", *flags, "--channel", "1")
    assert (silent.code, silent.out) == (0, "start\tend\ttext\n")
    assert mmcli("transcribe", "call.pcm", *flags, "--channel", "3").code == 1


@pytest.mark.parametrize("form", ["txt", "srt", "vtt", "tsv"])
def test_the_first_half_is_written_down_before_the_second_half_is_there(tmp_path: Path, form: str) -> None:
    times = np.arange(60 * 16000) / 16000
    loud = (0.5 * np.sin(2 * np.pi * 300 * times) * (times.astype(int) % 2)).astype(np.float32)
    soundfile.write(tmp_path / "talk.wav", loud, 16000)
    content = (tmp_path / "talk.wav").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "mmcli", "transcribe", "pipe", "-p", "fake", "-f", form]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            pipe.write(content[: len(content) // 2])
            # The pipe stays open and silent: what comes now was heard in the first half.
            text = b""
            while b"window 10 " not in text:
                assert select.select([process.stdout], [], [], 60)[0], text
                text += os.read(process.stdout.fileno(), 1 << 16)
            pipe.write(content[len(content) // 2 :])
        text += process.stdout.read()
    assert process.returncode == 0
    assert text.count(b"window ") == 30


@pytest.mark.parametrize(
    "content", [b"RIFF", b"RIFF\xff\xff\xff\x7fWAVEfmt ", b"fLaC\x00\x00\x00\x22" + bytes(8), None]
)
def test_ctrl_c_ends_what_waits_for_standard_input(speech: Path, content: bytes | None) -> None:
    """In the middle of a header, or of the sound."""
    command = [sys.executable, "-m", "mmcli", "transcribe", "-", "-p", "fake"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdin.write(speech.read_bytes()[:-60_000] if content is None else content)
        process.stdin.flush()
        if content is None:
            assert process.stdout.readline()
        else:
            # It has read all there is.
            while _waiting(process.stdin.fileno()):
                time.sleep(0.05)
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""
        process.stdin.close()


def _waiting(pipe: int) -> int:
    """Bytes that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("flags", [[], ["--batched", "--batch-size", "2"], ["--workers", "2"]])
@pytest.mark.parametrize("end, code", [("interrupt", 130), ("reader", 0), ("model", 2)])
def test_it_ends_though_standard_input_stays_open(tmp_path: Path, end: str, code: int, flags: list[str]) -> None:
    clips = [soundfile.read(path, dtype="int16")[0] for path in sorted(package_data("samples").glob("question-*.flac"))]
    # More than a prompt and the answer to it together may have, which shows where the first window is decoded.
    long = ["--initial-prompt", "where " * 220, "--max-new-tokens", "440"] if end == "model" else []
    command = [sys.executable, "-m", "mmcli", "transcribe", "-", "-m", str(MODEL), "--raw-rate", "16000"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "--device", "cpu", *flags, *long], cwd=tmp_path, **pipes) as process:
        # The command may be over before it has read all.
        with suppress(BrokenPipeError):
            process.stdin.write(np.concatenate(clips * 6).tobytes())
            process.stdin.flush()
        if end != "model":
            assert process.stdout.readline().strip()
        if end == "interrupt":
            process.send_signal(signal.SIGINT)
        if end == "reader":
            process.stdout.close()
        notes = process.stderr.read().decode()
        assert process.wait(60) == code, notes
        with suppress(BrokenPipeError):
            process.stdin.close()
    assert "unexpected" not in notes
    assert ("more than the 448 tokens" in notes) == (end == "model")
