"""The loudspeaker: a real one of PulseAudio's, where that is installed, and none."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

RATE = 22050


@pytest.fixture
def loudspeaker(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a program that hears PulseAudio's null sink as its loudspeaker."""
    if shutil.which("pulseaudio") is None or shutil.which("parec") is None:
        pytest.skip("pulseaudio and pulseaudio-utils are not installed")
    home = tmp_path / "pulse"
    home.mkdir()
    (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    script = home / "setup.pa"
    script.write_text(
        f"load-module module-native-protocol-unix auth-anonymous=1 socket={home}/native\n"
        f"load-module module-null-sink sink_name=spk rate={RATE} channels=1\nset-default-sink spk\n"
    )
    env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PULSE_SERVER": f"unix:{home}/native"}
    arguments = ["-n", "-F", str(script), "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    with subprocess.Popen(["pulseaudio", *arguments], env=_with_path(env), stderr=subprocess.DEVNULL) as server:
        try:
            _until(lambda: _answers(env))
            yield env
        finally:
            server.kill()


def _with_path(env: dict[str, str]) -> dict[str, str]:
    return {**env, "PATH": "/usr/bin:/bin"}


def _answers(env: dict[str, str]) -> bool:
    return not subprocess.run(["pactl", "info"], env=_with_path(env), capture_output=True, check=False).returncode


def _until(done: Callable[[], bool]) -> None:
    for _ in range(200):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("PulseAudio does not answer")


def test_what_is_spoken_is_heard_and_the_file_is_the_same(
    mmcli: Callable[..., Any], loudspeaker: dict[str, str], tmp_path: Path
) -> None:
    heard = tmp_path / "heard.wav"
    recorder = ["parec", "-d", "spk.monitor", f"--rate={RATE}", "--channels=1", "--format=s16le", "--file-format=wav"]
    with subprocess.Popen([*recorder, str(heard)], env=_with_path(loudspeaker)) as recording:
        _until(lambda: heard.is_file() and heard.stat().st_size > 0)
        ended = mmcli("speak", "Good morning. How are you?", "--play", "-o", "said.wav", "-q", env=loudspeaker)
        time.sleep(0.5)  # what is still in the server's buffer
        recording.send_signal(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")
    said, _ = soundfile.read(tmp_path / "said.wav")
    sound, _ = soundfile.read(heard)
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    spoken = np.flatnonzero(np.abs(said) > 0.02)
    assert np.ptp(loud) / RATE == pytest.approx(np.ptp(spoken) / RATE, abs=0.5)
    assert np.sqrt(np.mean(sound[loud[0] : loud[-1]] ** 2)) == pytest.approx(
        np.sqrt(np.mean(said[spoken[0] : spoken[-1]] ** 2)), rel=0.3
    )


def test_the_doctor_names_the_loudspeaker(mmcli: Callable[..., Any], loudspeaker: dict[str, str]) -> None:
    lines = mmcli("doctor", env=loudspeaker).out.splitlines()
    assert any(line.split() == ["loudspeaker", "default"] for line in lines)


def test_without_a_loudspeaker_playing_is_one_line(mmcli: Callable[..., Any], tmp_path: Path) -> None:
    ended = mmcli("speak", "hello", "--play", "-q", env={"HOME": str(tmp_path), "PULSE_SERVER": "unix:/none"})
    if ended.code == 0:
        pytest.skip("this machine has a loudspeaker")
    assert ended.code in (1, 4)
    assert len(ended.notes) == 1
