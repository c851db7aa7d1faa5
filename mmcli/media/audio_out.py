"""Recordings out: files of several formats, a WAV stream into a pipe, raw samples."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import wave
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile

from mmcli.errors import OutputError, UsageError
from mmcli.media.files import atomic_path, display_name, is_special, unwritable
from mmcli.media.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.stages import Audio

# suffix: container and encoding as libsndfile calls them, and the rates it takes where not all
_ENCODINGS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    ".wav": ("WAV", "PCM_16", ()),
    ".flac": ("FLAC", "PCM_16", ()),
    ".ogg": ("OGG", "VORBIS", ()),
    ".opus": ("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    ".mp3": ("MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
}
# libsndfile's Vorbis encoder keeps a whole write on its stack.
_WRITE = 1 << 16
# A stream's length is not known at its beginning: the largest there is stands for "to the end".
_UNKNOWN_SIZE = 0xFFFFFFFF


def pcm16(audio: Audio) -> bytes:
    """The samples as 16-bit little-endian integers; what lies beyond -1..1 is clipped."""
    samples = np.nan_to_num(audio.samples, nan=0.0)
    return np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def wav_bytes(audio: Audio) -> bytes:
    """A whole WAV file of 16 bits, its length in its header."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(pcm16(audio))
    return held.getvalue()


def write_audio(path: Path, blocks: Iterable[Audio]) -> float:
    """Write blocks to a file as they come, its format by its suffix; the seconds written.

    The file has the rate of the first block, or the next one that its format can hold; other blocks are resampled.
    The file appears whole or not at all. UsageError: unknown suffix. OutputError: no sound at all, cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if not is_special(path):
        with atomic_path(path) as aside, aside.open("r+b", buffering=0) as file:
            return _encode(file, suffix, blocks, display_name(path))
    with atomic_path(path) as target, target.open("wb") as stream:
        if suffix == ".wav" or suffix not in _ENCODINGS:
            return write_wav(stream, blocks)
        # The other encoders go back to their header, which a pipe does not allow.
        with tempfile.TemporaryFile() as whole:
            seconds = _encode(whole, suffix, blocks, display_name(path))
            whole.seek(0)
            shutil.copyfileobj(whole, stream)
        return seconds


def check_suffix(path: Path) -> None:
    """UsageError where `write_audio` would not know the format, so that it is told before any work is done."""
    suffix = path.suffix.lower()
    if suffix not in _ENCODINGS and not is_special(path):
        problem = f'"{display_name(suffix)}" is no suffix of a sound format' if suffix else "has no suffix"
        raise UsageError(f"{display_name(path)}: {problem}", f"end the name in one of {' '.join(_ENCODINGS)}")


def write_wav(stream: BinaryIO, blocks: Iterable[Audio]) -> float:
    """Write a 16-bit WAV to a stream that need not seek, each block at once; the seconds written.

    OutputError: no sound at all, or the stream cannot be written. BrokenPipeError passes: the reader has gone.
    """
    rate, blocks = _first_rate(blocks)
    count = 0
    try:
        stream.write(_wav_header(rate))
        for block in resample(blocks, rate):
            stream.write(pcm16(block))
            stream.flush()
            count += len(block.samples)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable("the sound", error) from error
    return count / rate


def _wav_header(rate: int) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", _UNKNOWN_SIZE, b"WAVE") + form + struct.pack("<4sI", b"data", _UNKNOWN_SIZE)


def _first_rate(blocks: Iterable[Audio]) -> tuple[int, Iterator[Audio]]:
    rest = iter(blocks)
    for block in rest:
        if len(block.samples):
            return block.rate, chain([block], rest)
    raise OutputError("there is no sound to write: nothing was spoken")


def _encode(file: BinaryIO, suffix: str, blocks: Iterable[Audio], name: str) -> float:
    container, encoding, rates = _ENCODINGS[suffix]
    rate, blocks = _first_rate(blocks)
    if rates and rate not in rates:
        rate = min((known for known in rates if known > rate), default=rates[-1])
    checked = _Checked(file)
    try:
        with soundfile.SoundFile(checked, "w", rate, 1, encoding, format=container) as sound:
            count = 0
            for block in resample(blocks, rate):
                samples = np.clip(np.nan_to_num(block.samples, nan=0.0), -1.0, 1.0)
                for start in range(0, len(samples), _WRITE):
                    sound.write(samples[start : start + _WRITE])
                checked.check()
                count += len(samples)
    except soundfile.LibsndfileError as error:
        checked.check()
        raise OutputError(f"{name}: cannot be written ({display_name(error.error_string.strip())})") from error
    checked.check()
    return count / rate


class _Checked:
    """A file for libsndfile, which does not say why a write failed, and for some formats not even that it did."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        # libsndfile takes a short write for a mistake of its caller; check() tells of it.
        return len(data)

    def check(self) -> None:
        """Raise the OSError of the first write that failed."""
        if self._error is not None:
            raise self._error
