"""What all tests share: the folder of real inputs, and a home that is not the user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile

ROOT = Path(__file__).parent.parent

# A shell's background job ignores SIGINT and hands that on; the programs under test have to get it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _shared(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable) or ROOT.parent / "shared" / folder)
    if not path.is_dir():
        pytest.skip(f"no folder of real inputs: {variable} is not set and ../shared/{folder} is absent")
    return path


@pytest.fixture(scope="session")
def data() -> Path:
    """Real recordings, pictures and broken files."""
    return _shared("MMCLI_DATA", "data")


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the user's configuration or proxies, nor depends on the terminal it runs in."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / ".data"))
    for name in ("MMCLI_CONFIG", "MMCLI_DEBUG", "MMCLI_NO_LOG", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Result:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def notes(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def mmcli(tmp_path: Path) -> Callable[..., Result]:
    """Runs the program in a process of its own, in an empty folder, through pipes."""

    def run(*args: object, stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
        command = [sys.executable, "-m", "mmcli", *map(str, args)]
        environment = {**os.environ, "PYTHONWARNINGS": "error", **(env or {})}
        ended = subprocess.run(
            command, input=stdin, capture_output=True, cwd=tmp_path, env=environment, timeout=240, check=False
        )
        return Result(ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace"))

    return run


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Three bursts of tone of 1 s with 1 s of silence around each: what the fake stages take for speech."""
    seconds = np.arange(7 * 16000) / 16000
    loud = (seconds.astype(int) % 2) == 1
    path = tmp_path / "bursts.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 300 * seconds) * loud, 16000)
    return path


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A red picture without anything written in it."""
    path = tmp_path / "red.png"
    PIL.Image.new("RGB", (60, 40), (250, 10, 10)).save(path)
    return path
