from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mmcli.errors import OutputError, UsageError
from mmcli.media.audio import audio_facts, open_audio, pcm16, write_audio, write_wav
from mmcli.stages import Audio

SUFFIXES = [".wav", ".flac", ".ogg", ".opus", ".mp3"]


def blocks(samples: np.ndarray, rate: int, size: int = 7001):
    for start in range(0, len(samples), size):
        yield Audio(samples[start : start + size], rate)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_keeps_pitch_level_and_length(tmp_path: Path, tone, heard, suffix: str) -> None:
    path = tmp_path / "deep" / f"t{suffix.upper()}"
    assert write_audio(path, blocks(tone(rate=22050), 22050)) == pytest.approx(2.0, abs=0.001)
    # Opus has only rates that divide 48 kHz.
    assert audio_facts(path).rate == (48000 if suffix == ".opus" else 22050)
    seconds, hertz, level = heard(open_audio(path).blocks(16000))
    assert seconds == pytest.approx(2.0, abs=0.05)
    assert hertz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.5, rel=0.02)
    assert os.listdir(path.parent) == [path.name]


def test_later_blocks_of_another_rate_are_resampled(tmp_path: Path, tone, heard) -> None:
    mixed = [Audio(np.zeros(0, np.float32), 8000), Audio(tone(rate=24000), 24000), Audio(tone(), 16000)]
    assert write_audio(tmp_path / "t.wav", mixed) == pytest.approx(4.0, abs=0.001)
    assert audio_facts(tmp_path / "t.wav").rate == 24000
    assert heard(open_audio(tmp_path / "t.wav").blocks(24000))[:2] == (
        pytest.approx(4.0, abs=0.001),
        pytest.approx(440, abs=1),
    )


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_too_loud_is_clipped_and_never_wraps(tmp_path: Path, suffix: str) -> None:
    loud = np.array([2.0, -2.0, 1.0, -1.0, np.nan, 0.5], np.float32)
    write_audio(tmp_path / f"t{suffix}", [Audio(np.repeat(loud, 1000), 16000)])
    got = next(open_audio(tmp_path / f"t{suffix}").blocks(16000)).samples[500::1000]
    assert got == pytest.approx([1, -1, 1, -1, 0, 0.5], abs=1e-4)


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, tone) -> None:
    for name in ("t.xyz", "t"):
        with pytest.raises(UsageError, match=r"\.wav \.flac \.ogg \.opus \.mp3"):
            write_audio(tmp_path / name, blocks(tone(), 16000))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_sound_at_all_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    for silent in ([], [Audio(np.zeros(0, np.float32), 16000)]):
        with pytest.raises(OutputError, match="nothing was spoken"):
            write_audio(tmp_path / f"t{suffix}", silent)
    assert os.listdir(tmp_path) == []


def test_a_voice_that_fails_leaves_the_old_file(tmp_path: Path, tone) -> None:
    write_audio(tmp_path / "t.wav", blocks(tone(), 16000))
    before = (tmp_path / "t.wav").read_bytes()

    def failing():
        yield Audio(tone(), 16000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_audio(tmp_path / "t.wav", failing())
    assert (tmp_path / "t.wav").read_bytes() == before
    assert os.listdir(tmp_path) == ["t.wav"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path: Path, tone, suffix: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_audio(tmp_path / f"t{suffix}", blocks(tone(seconds=10.0), 16000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_devices_and_pipes_are_written_directly(tmp_path: Path, tone, heard) -> None:
    assert write_audio(Path("/dev/null"), blocks(tone(), 16000)) == 2.0
    with pytest.raises(OutputError, match="No space left on device"):
        write_audio(Path("/dev/full"), blocks(tone(), 16000))
    for name in ("t.wav", "t.flac"):
        fifo = tmp_path / name
        os.mkfifo(fifo)
        got: list[bytes] = []
        thread = threading.Thread(target=lambda fifo=fifo, got=got: got.append(fifo.read_bytes()))
        thread.start()
        write_audio(fifo, blocks(tone(), 16000))
        thread.join()
        (tmp_path / f"copy-{name}").write_bytes(got[0])
        seconds, hertz, _ = heard(open_audio(tmp_path / f"copy-{name}").blocks(16000))
        assert (seconds, hertz) == (2.0, pytest.approx(440, abs=1))


# ---------------------------------------------------------------- streams


class Pipe(io.RawIOBase):
    """A stream that cannot seek and counts its flushes."""

    def __init__(self) -> None:
        self.data, self.flushes = b"", 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += bytes(data)
        return len(data)

    def flush(self) -> None:
        self.flushes += 1


def test_a_wav_stream_is_read_again_from_a_file_and_from_a_pipe(tmp_path: Path, tone, heard, piped) -> None:
    pipe = Pipe()
    assert write_wav(pipe, blocks(tone(), 16000)) == 2.0
    assert pipe.flushes >= 5
    (tmp_path / "t.wav").write_bytes(pipe.data)
    assert open_audio(tmp_path / "t.wav").seconds == pytest.approx(2.0, abs=0.001)
    assert heard(open_audio(tmp_path / "t.wav").blocks(16000))[0] == 2.0
    with piped(pipe.data) as name:
        source = open_audio(name)
        assert source.seconds is None
        assert heard(source.blocks(16000))[1] == pytest.approx(440, abs=1)


def test_a_stream_without_sound_gets_no_header() -> None:
    pipe = Pipe()
    with pytest.raises(OutputError, match="nothing was spoken"):
        write_wav(pipe, [])
    assert pipe.data == b""


def test_a_full_device_is_one_line_and_a_reader_that_has_gone_is_told_apart(tone) -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OutputError, match="No space left"):
        write_wav(full, blocks(tone(), 16000))
    code = (
        "import sys, numpy as np\nfrom mmcli.media.audio import write_wav\nfrom mmcli.stages import Audio\n"
        "try:\n    write_wav(sys.stdout.buffer, (Audio(np.zeros(16000, 'f4'), 16000) for _ in range(1000)))\n"
        "except BrokenPipeError:\n    sys.stderr.write('gone')\n    sys.stdout = None"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        assert process.stderr.read().startswith(b"gone")


def test_pcm16_is_little_endian_full_scale_and_clipped() -> None:
    samples = np.array([0, 1, -1, 2, -2, 0.5, np.nan], np.float32)
    assert np.frombuffer(pcm16(Audio(samples, 16000)), "<i2").tolist() == [
        0, 32767, -32767, 32767, -32767, 16384, 0,
    ]  # fmt: skip
