"""Start-up: `mmcli --help` beside `python -c "import typer"`, each in a process of its own, medians of alternating runs."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time


def seconds(command: list[str]) -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    runs = parser.parse_args().runs
    commands = {
        'python -c "import typer"': [sys.executable, "-c", "import typer"],
        "mmcli --help": [sys.executable, "-m", "mmcli", "--help"],
        "mmcli --version": [sys.executable, "-m", "mmcli", "--version"],
        "mmcli transcribe --help": [sys.executable, "-m", "mmcli", "transcribe", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for name, command in commands.items():
        seconds(command)  # byte code and file cache
        times[name].clear()
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(seconds(command))
    base = statistics.median(next(iter(times.values())))
    print(f"{'command':<28} {'median ms':>9} {'of typer':>9}   ({runs} runs each)")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<28} {median * 1000:>9.0f} {median / base:>9.2f}")


if __name__ == "__main__":
    main()
