"""Peak memory over a long recording: `mmcli transcribe` beside reading the file whole, as faster-whisper does it.

The recording is made here out of samples/dialogue.flac: with long pauses (so that recognising it takes minutes, not
hours), and talking all the time (through the fake transcriber, so that only mmcli's own work is measured). Memory is the
sum of the proportional set sizes of the process and its children, looked at five times a second.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parent.parent


def make(path: Path, hours: float, pause_s: float) -> None:
    """A FLAC of that length: the dialogue, a pause, the dialogue, a pause ..."""
    speech, rate = soundfile.read(ROOT / "samples" / "dialogue.flac", dtype="float32", always_2d=True)
    block = np.concatenate([speech.mean(axis=1), np.zeros(int(pause_s * rate), np.float32)])
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        while file.frames < hours * 3600 * rate:
            file.write(block)


def family(pid: int) -> list[int]:
    """The process and all below it."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children += map(int, task.read_text().split())
    return [pid, *(below for child in children for below in family(child))]


def pss_mb(pid: int) -> float:
    """Proportional set size of the whole family, in MB."""
    total = 0
    for member in family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1000


def measure(command: list[str]) -> tuple[float, float, str]:
    """Peak MB, seconds and standard output of a command."""
    started = time.perf_counter()
    peak = 0.0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out)
        while process.poll() is None:
            with contextlib.suppress(OSError):  # one of the family may just have ended
                peak = max(peak, pss_mb(process.pid))
            time.sleep(0.2)
        out.seek(0)
        text = out.read()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return peak, time.perf_counter() - started, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    hours = parser.parse_args().hours
    mmcli = [sys.executable, "-m", "mmcli", "transcribe", "-q"]
    whole = "import sys; from faster_whisper import decode_audio; print(len(decode_audio(sys.argv[1])))"
    with tempfile.TemporaryDirectory() as folder:
        pauses, talk = Path(folder) / "pauses.flac", Path(folder) / "talk.flac"
        make(pauses, hours, pause_s=600)
        make(talk, hours, pause_s=0)
        runs = {
            "mostly pauses, pocketsphinx": [*mmcli, "-p", "embedded", "--fast", str(pauses)],
            "talkative, fake transcriber": [*mmcli, "-p", "embedded", "-m", "fake-stt", str(talk)],
            "read whole by faster-whisper": [sys.executable, "-c", whole, str(talk)],
        }
        print(f"{hours:g} hours of sound{'':<14} {'peak MB':>8} {'seconds':>8} {'lines':>6}")
        for name, command in runs.items():
            peak, seconds, text = measure(command)
            print(f"{name:<29} {peak:>8.0f} {seconds:>8.1f} {len(text.splitlines()):>6}")


if __name__ == "__main__":
    main()
