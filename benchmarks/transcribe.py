"""`mmcli transcribe` beside whisper-ctranslate2 and openai-whisper: the same weights, sound, options and machine.

Models have the published sizes and fixed texts (sized_whisper.py), so that every program decodes the same number of
tokens for each window of 30 s. All commands are whole ones, from start to files, one after the other. The peers are looked for
beside this Python: `pip install whisper-ctranslate2 openai-whisper`; the second also needs the program ffmpeg.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from memory import ROOT, make, pss_mb
from sized_whisper import build

BIN = Path(sys.executable).parent
PACKAGES = ("mmcli", "whisper-ctranslate2", "faster-whisper", "ctranslate2", "openai-whisper", "torch")
CASES = (("tiny", "float32"), ("base", "int8"))
WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "": ((), ()),
    ", no text before": (("--no-condition-on-previous-text",), ("--condition_on_previous_text", "False")),
    ", batched": (("--batched",), ("--batched", "True")),
}
"""Flags of mmcli and of the peer: by default each window is told the text before it."""
MOST_MB_EVERY_S = 0.2


@dataclass(frozen=True)
class Ran:
    """One command: wall and processor seconds, peak MB of all its processes, seconds to its first line, its cues."""

    wall: float
    cpu: float
    peak_mb: float
    first: float
    cues: int


def run(command: list[str], out: Path, *, until_first: bool = False) -> Ran:
    """Runs a command that writes subtitles to standard output or below `out`; SystemExit where it fails.

    `until_first` stops it at its first line of text: what it reads before that is then in memory.
    """
    started, before = time.perf_counter(), os.times()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    peak = [0.0]
    errors: list[str] = []
    threads = [
        threading.Thread(target=_watch, args=(process, peak)),
        threading.Thread(target=errors.extend, args=(process.stderr,)),
    ]
    for thread in threads:
        thread.start()
    first = 0.0
    printed = 0
    for line in process.stdout:
        if "-->" in line:
            printed += 1
            first = first or time.perf_counter() - started
            if until_first:
                process.send_signal(signal.SIGKILL)
                break
    for thread in threads:
        thread.join()
    code = process.wait()
    after = os.times()
    if code and not until_first:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{''.join(errors)}")
    written = sum(file.read_text(encoding="utf-8").count("-->") for file in out.rglob("*.srt"))
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(time.perf_counter() - started, cpu, peak[0], first, written or printed)


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        try:
            peak[0] = max(peak[0], pss_mb(process.pid))
        except OSError:
            continue  # one of the family has just ended
        time.sleep(MOST_MB_EVERY_S)


def commands(model: Path, compute: str, threads: int, files: list[Path], way: str = "") -> dict[str, list[str]]:
    """The same work for each program, in one of WAYS; openai-whisper has neither int8 nor batches."""
    names = list(map(str, files))
    shared = ["--threads", str(threads), "--device", "cpu"]
    made = {
        "mmcli": [
            *(str(BIN / "python"), "-m", "mmcli", "transcribe", *names, "-m", str(model / "ctranslate2"), *shared),
            *("--compute-type", compute, "-f", "srt", "-o", ".", *WAYS[way][0]),
        ],
        "whisper-ctranslate2": [
            *(str(BIN / "whisper-ctranslate2"), *names, "--model_directory", str(model / "ctranslate2"), *shared),
            *("--compute_type", compute, "-f", "srt", "-o", ".", *WAYS[way][1]),
        ],
    }
    if compute == "float32" and not way:
        made["openai-whisper"] = [
            *(str(BIN / "whisper"), *names, "--model", str(next(model.glob("*.pt"))), *shared, "--fp16", "False"),
            *("--beam_size", "5", "-f", "srt", "-o", "."),
        ]
    return {name: command for name, command in made.items() if Path(command[0]).exists()}


def beside(title: str, made: dict[str, list[str]], repeats: int) -> None:
    """Runs the commands in turn, `repeats` times, and prints the best of each beside the faster peer.

    Each turn the other way round, so that none of them is always the first.
    """
    ran: dict[str, list[Ran]] = {name: [] for name in made}
    for turn in range(repeats):
        for name, command in list(made.items())[:: -1 if turn % 2 else 1]:
            with tempfile.TemporaryDirectory() as out:
                ran[name].append(run(command, Path(out)))
    best = {name: min(runs, key=lambda one: one.wall) for name, runs in ran.items()}
    peer = min((one for name, one in best.items() if name != "mmcli"), key=lambda one: one.wall)
    for name, one in best.items():
        told = f"{one.wall:>8.1f} {one.cpu:>8.1f} {one.peak_mb:>8.0f} {one.cues:>5}"
        print(f"{title:<36} {name:<20} {told} {one.wall / peer.wall:>6.2f} {one.cpu / peer.cpu:>6.2f}", flush=True)


def short_files(folder: Path, count: int, seconds: float) -> list[Path]:
    """So many cuts of the dialogue."""
    sound, rate = soundfile.read(ROOT / "samples" / "dialogue.flac", dtype="float32", always_2d=True)
    sound = np.tile(sound.mean(axis=1), 2 + int(count * 3.7 * rate / len(sound)))
    files = []
    for number in range(count):
        start = int(number * 3.7 * rate)
        files.append(folder / f"{number:03}.wav")
        soundfile.write(files[-1], sound[start : start + int(seconds * rate)], rate)
    return files


def long_file(model: Path, threads: int, file: Path) -> None:
    """Memory over a long file, and when its first subtitle is there."""
    made = commands(model, "int8", threads, [file])
    # On standard output mmcli writes while it hears; the peer prints its lines as they come.
    ours = [part for part in made["mmcli"] if part not in ("-o", ".")]
    with tempfile.TemporaryDirectory() as out:
        peer = run(made["whisper-ctranslate2"], Path(out), until_first=True)
        mine = run(ours, Path(out))
    print(f"{'':<36} {'':<20} {'peak MB':>8} {'first s':>8}")
    for name, one in {"mmcli, the whole file": mine, "whisper-ctranslate2 *": peer}.items():
        print(f"{'long file, tiny int8':<36} {name:<24} {one.peak_mb:>8.0f} {one.first:>8.1f}")
    print(f"* stopped at its first line; memory: {mine.peak_mb / peer.peak_mb:.2f} of its own", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mmcli-benchmarks")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the long recording")
    parser.add_argument("--files", type=int, default=100, help="short recordings in one call")
    parser.add_argument("--hours", type=float, default=2.0, help="length of the recording whose memory is looked at")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--without", default="", metavar="PEER", help="leave this one out")
    parser.add_argument("--only", choices=("long", "short", "memory"), help="one part alone")
    asked = parser.parse_args()
    for package in PACKAGES:
        # One that is not installed has no program to be run either.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            print(f"{package} {importlib.metadata.version(package)}", end=", ")
    print(f"{asked.threads} threads\n")
    compileall.compile_dir(ROOT / "mmcli", quiet=1)  # as the peers are since they were installed
    print(f"{'':<36} {'':<20} {'wall s':>8} {'cpu s':>8} {'peak MB':>8} {'cues':>5} {'/peer':>6} {'cpu':>6}")
    with tempfile.TemporaryDirectory() as folder:
        if asked.only in (None, "long"):
            file = Path(folder) / "long.wav"
            make(file, asked.minutes / 60, pause_s=0.5)
            for size, compute in CASES:
                for way in WAYS:
                    title = f"{asked.minutes:g} min, {size} {compute}{way}"
                    made = commands(build(size, 75, asked.cache), compute, asked.threads, [file], way)
                    made.pop(asked.without, None)
                    beside(title, made, asked.repeats)
        if asked.only in (None, "short"):
            files = short_files(Path(folder), asked.files, 5.0)
            for size, compute in CASES:
                # Each file is one window: there is nothing for batches to join.
                made = commands(build(size, 13, asked.cache), compute, asked.threads, files)
                made.pop(asked.without, None)
                beside(f"{asked.files} files, {size} {compute}", made, asked.repeats)
        if asked.only in (None, "memory"):
            file = Path(folder) / "hours.flac"
            make(file, asked.hours, pause_s=0.5)
            long_file(build("tiny", 13, asked.cache), asked.threads, file)


if __name__ == "__main__":
    main()
