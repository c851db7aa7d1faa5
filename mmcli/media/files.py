"""Files as the user names them: opened with checks, written whole or not at all, shown without harm to a terminal."""

from __future__ import annotations

import errno
import io
import os
import secrets
import select
import shutil
import stat
import sys
import tempfile
import time
import weakref
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from mmcli.errors import InputError, OutputError, did_you_mean
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

STDIN = "-"
# How long a named pipe may stay without a program at its other end.
_PIPE_WAIT_S = 5.0
_PIPE_POLL_S = 0.2
_CHUNK = 1 << 16
_PIECE = 4 << 20
# What stays free where streams are kept.
_SPARE_BYTES = 256 << 20
# Names looked through for "did you mean"; a folder of millions must not make a typing mistake slow.
_MAX_NAMES = 5000


def display_name(text: object) -> str:
    """`text` made safe for a terminal: control, escape, bidi and undecodable characters become U+FFFD."""
    return visible(str(text), keep="", instead="\ufffd")


class Spooled(str):
    """The name of an unnamed file: it vanishes when the last opener that keeps this name is gone."""

    source: str

    @classmethod
    def of(cls, file: BinaryIO, source: str) -> Spooled:
        """The name of an open file, which is closed with it; `source` is what messages call it."""
        name = cls(f"/proc/self/fd/{file.fileno()}")
        name.source = source
        weakref.finalize(name, file.close)
        return name


def spool(stream: BinaryIO, source: str, limit: int | None = None) -> Spooled:
    """The rest of a stream in an unnamed file, which can be opened again and again. The stream is closed.

    InputError beyond `limit` bytes, or where there is no room for it.
    """
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - lives as long as the name of it
    try:
        with stream:
            while piece := stream.read(_PIECE):
                if shutil.disk_usage(tempfile.gettempdir()).free < _SPARE_BYTES + len(piece):
                    raise InputError(source, f"does not fit into {tempfile.gettempdir()}", "save it to a file first")
                file.write(piece)
                if limit is not None and file.tell() > limit:
                    raise too_large(source, limit)
        file.seek(0)
    except OSError as error:
        file.close()
        raise InputError(source, f"cannot be kept in {tempfile.gettempdir()} ({error.strerror or error})") from error
    except BaseException:
        file.close()
        raise
    return Spooled.of(file, source)


def source_name(path: str | Path) -> str:
    """What messages call an input: its name, or "standard input" for "-"."""
    if isinstance(path, Spooled):
        return path.source
    return "standard input" if str(path) == STDIN else display_name(path)


# ---------------------------------------------------------------- reading


class PipeInput(io.RawIOBase):
    """A stream that cannot seek, but whose first bytes can be looked at before they are read."""

    def __init__(self, raw: BinaryIO, head: bytes = b"") -> None:
        super().__init__()
        self._raw = raw
        self._head = head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count], self._head = self._head[:count], self._head[count:]
            return count
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def look(self, count: int) -> bytes:
        """The next `count` bytes (fewer at the end), which stay to be read."""
        while len(self._head) < count and (data := self._raw.read(count - len(self._head))):
            self._head += data
        return self._head[:count]

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def open_input(path: str | Path) -> BinaryIO:
    """Open a file, a named pipe, /dev/fd/N or "-" (standard input) for reading bytes.

    What cannot seek comes back as a PipeInput. InputError: missing, a folder, empty, not permitted, a terminal, or a
    named pipe that no program writes to within five seconds.
    """
    if not str(path):
        raise InputError('""', "is no name of a file")
    source = source_name(path)
    try:
        stream = _open_stdin() if str(path) == STDIN else _open_path(Path(path), source)
        if not peek(stream, 1):
            stream.close()
            raise InputError(source, "is empty")
    except (OSError, ValueError) as error:
        raise _unreadable(path, source, error) from error
    return stream


def peek(stream: BinaryIO, count: int) -> bytes:
    """The first `count` bytes of a stream of `open_input`, which stay to be read."""
    if isinstance(stream, PipeInput):
        return stream.look(count)
    head = stream.read(count)
    stream.seek(0)
    return head


def head(path: str | Path) -> bytes:
    """Some of the first bytes of a file or of standard input, which stay to be read by `open_input`.

    Nothing for what cannot be looked at so: a named pipe, a terminal, what is not there.
    """
    try:
        if str(path) != STDIN:
            return _head_of_file(Path(path))
        if not _stdin_head and sys.stdin is not None and not sys.stdin.closed and not sys.stdin.isatty():
            _stdin_head.append(os.read(sys.stdin.fileno(), _CHUNK))
    except (OSError, ValueError):
        return b""
    return b"".join(_stdin_head)


_stdin_head: list[bytes] = []
"""What `head` has read of standard input: it belongs to the process, and can be read only once."""


def _head_of_file(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        return b""
    with path.open("rb") as file:
        return file.read(_CHUNK)


def is_stream(stream: BinaryIO) -> bool:
    """Whether a stream of `open_input` can be read only once, from its beginning to its end."""
    return isinstance(stream, PipeInput)


def check_size(stream: BinaryIO, source: str, limit: int) -> None:
    """InputError for a file of more than `limit` bytes. The length of what cannot seek is not known beforehand."""
    if not is_stream(stream) and os.fstat(stream.fileno()).st_size > limit:
        raise too_large(source, limit)


def read_limited(stream: BinaryIO, source: str, limit: int) -> bytes:
    """All bytes of a stream; InputError beyond `limit` bytes, before more is read."""
    check_size(stream, source, limit)
    try:
        data = _read_up_to(stream, limit + 1)
    except OSError as error:
        raise _unreadable(source, source, error) from error
    if len(data) > limit:
        raise too_large(source, limit)
    return data


def too_large(source: str, limit: int) -> InputError:
    """The one line for a file beyond its size limit, in bytes."""
    return InputError(source, f"is larger than {limit // 1_000_000} MB, the most that is read of such a file")


def _read_up_to(stream: BinaryIO, limit: int) -> bytes:
    pieces = []
    while limit > 0 and (piece := stream.read(min(limit, 1 << 20))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def _open_stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input", "is closed")
    if sys.stdin.isatty():
        raise InputError("standard input", "is a terminal", "pipe a file into the command, or name one")
    try:
        descriptor = os.dup(sys.stdin.fileno())
    except (OSError, ValueError):  # no file behind it: a program or test that replaced sys.stdin
        return cast("BinaryIO", PipeInput(sys.stdin.buffer))
    # Even a file as standard input is read as a stream: where it stands belongs to the shell as well.
    seen = b"".join(_stdin_head)
    _stdin_head.clear()
    return cast("BinaryIO", PipeInput(open(descriptor, "rb", buffering=0), seen))


def _open_path(path: Path, source: str) -> BinaryIO:
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return path.open("rb")
    if stat.S_ISDIR(mode):
        raise InputError(source, "is a folder, not a file")
    if not stat.S_ISFIFO(mode):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY)
        if os.isatty(descriptor):
            os.close(descriptor)
            raise InputError(source, "is a terminal")
        return cast("BinaryIO", PipeInput(open(descriptor, "rb", buffering=0)))
    # Opened without blocking: a named pipe without a writer would hold up open() for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        head = _wait_for_writer(descriptor, source)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return cast("BinaryIO", PipeInput(open(descriptor, "rb", buffering=0), head))


def _wait_for_writer(descriptor: int, source: str) -> bytes:
    """Wait until a pipe has data or a writer; the bytes that had to be read to find out."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + _PIPE_WAIT_S
    while not poll.poll(_PIPE_POLL_S * 1000):
        if time.monotonic() < deadline:
            continue
        try:
            head = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return b""  # a writer is there and has not written yet
        if not head:
            raise InputError(source, f"no program has written into this pipe for {_PIPE_WAIT_S:.0f} seconds")
        return head
    return b""


def _unreadable(path: str | Path, source: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return _missing(Path(path), source)
    if isinstance(error, NotADirectoryError):
        return InputError(source, "no such file: a part of its path is a file, not a folder")
    if isinstance(error, PermissionError):
        return InputError(source, "no permission to read it", f'see "ls -l {source}"')
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(source, f"cannot be read ({reason})")


def _missing(path: Path, source: str) -> InputError:
    if path.is_symlink():
        return InputError(source, f"is a link to {display_name(os.readlink(path))}, which does not exist")
    if source.startswith(("http://", "https://")):
        return InputError(source, "is an address, not a file", f"fetch it first: curl -LO {source}")
    if not path.parent.is_dir():
        return InputError(source, f"no such file: the folder {display_name(path.parent)} does not exist")
    names: list[str] = []
    with suppress(OSError), os.scandir(path.parent) as entries:
        names = [display_name(entry.name) for entry in islice(entries, _MAX_NAMES)]
    return InputError(source, "no such file", did_you_mean(display_name(path.name), names))


# ---------------------------------------------------------------- writing


def is_special(path: Path) -> bool:
    """Whether a target is written directly: a device, a pipe, or what stands for an open file."""
    whole = path.absolute()
    if str(whole) in ("/dev/stdout", "/dev/stderr") or any(map(whole.is_relative_to, ("/dev/fd", "/proc"))):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to instead of `path`; renamed onto it at the end of the block, removed on any exception.

    It lies in the same folder (made where it is missing) and has the same suffix. A link is followed, the permissions
    of a file that is replaced are kept. A device or pipe is given as it is. An OSError inside becomes an OutputError.
    """
    name = display_name(path)
    try:
        if is_special(path):
            yield path
            return
        with _aside(Path(os.path.realpath(path)), name) as aside:
            yield aside
    except OSError as error:
        raise unwritable(name, error) from error


def check_writable(path: Path) -> None:
    """OutputError where `atomic_path` would not give a path: to be told before long work, not after it."""
    name = display_name(path)
    try:
        if not is_special(path):
            _make_room(Path(os.path.realpath(path)), name)
    except OSError as error:
        raise unwritable(name, error) from error


def _make_room(target: Path, name: str) -> None:
    if target.is_dir():
        raise OutputError(f"{name}: is a folder", "name a file in it")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _aside(target: Path, name: str) -> Iterator[Path]:
    _make_room(target, name)
    aside = target.with_name(f".mmcli-{secrets.token_hex(8)}{target.suffix}")
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        with suppress(FileNotFoundError):
            aside.chmod(stat.S_IMODE(target.stat().st_mode))
        yield aside
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def unwritable(name: str, error: OSError) -> OutputError:
    """The one line for a target that cannot be written."""
    if isinstance(error, PermissionError):
        return OutputError(f"{name}: no permission to write it")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return OutputError(f"{name}: cannot be written, a part of its path is a file and not a folder")
    return OutputError(f"{name}: cannot be written ({error.strerror or error})")
