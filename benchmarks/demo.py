"""The demo: seconds of a warm `mmcli demo` from start to end, and what a fresh core environment weighs."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mmcli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    times = []
    last = ""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mmcli", "demo", "--no-play", "-o", str(Path(folder) / "reply.wav")]
        for _ in range(parser.parse_args().runs + 1):
            started = time.perf_counter()
            last = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            times.append(time.perf_counter() - started)
    print(last)
    print(f"first run {times[0]:.2f} s; then {', '.join(f'{seconds:.2f}' for seconds in times[1:])} s")
    environment = Path(sys.prefix)
    size = sum(file.stat().st_size for file in environment.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"environment {size / 1e6:.0f} MB (mmcli {mmcli.__version__}, Python {sys.version.split()[0]})")


if __name__ == "__main__":
    main()
