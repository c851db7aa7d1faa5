"""What was heard of a long file, kept while the rest is being heard: after a crash the same command goes on inside it.

A checkpoint is a file of JSON lines in the user's cache: first what it is of, then one line for each stretch that was
finished, with its segments and what the recogniser carries on from there. Its name is a digest of the first line, so
another file, model or option has another checkpoint. A last line without its end, from a crash while it was being
written, does not count. The lock on it lasts as long as the process that holds it.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import platformdirs

from mmcli.media.files import STDIN
from mmcli.stages import Audio, Decoding, Segment, Word
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from mmcli.options import TranscribeOptions
    from mmcli.stages import Transcriber, Window

_log = logging.getLogger(__name__)

_SCHEMA = 1
_KEPT_S = 30 * 24 * 3600.0
# A power cut may cost what was heard in so many seconds; waiting for the disk at every line could cost time.
_SYNC_S = 5.0


class Checkpoint:
    """The checkpoint of one file, held by this process alone. Use it as a context: it is kept unless `remove` is called."""

    def __init__(self, file: IO[bytes], path: Path, name: str) -> None:
        self.segments: tuple[Segment, ...] = ()
        """Those that an earlier run heard up to `seconds`."""
        self.seconds = 0.0
        self.fallbacks: tuple[str, ...] = ()
        """What the recogniser of an earlier run had to give up."""
        self._carried: Mapping[str, Any] | None = None
        self.is_empty = True
        """Whether there is nothing to go on from."""
        self._whole = False
        self._file: IO[bytes] | None = file
        self._path, self._name = path, name
        self._pending: list[Segment] = []
        self._synced = time.monotonic()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            if self.is_empty:
                self.remove()
            self._file.close()

    def remove(self) -> None:
        """The result is where it should be, so nothing is to be kept of it."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def told(self, origin: Mapping[str, Any]) -> dict[str, Any]:
        """The provenance of a result that earlier runs had their part in."""
        told = {**origin, "fallbacks": self._all(origin["fallbacks"])}
        return {**told, "resumed_s": round(self.seconds, 3)} if self.seconds else told

    def hear(
        self, stt: Transcriber, windows: Iterable[Window], options: TranscribeOptions
    ) -> Generator[Segment, None, None]:
        """The segments that are kept, at once, then what `stt` hears in the rest of the windows, kept as it is finished."""
        with closing(closable(windows)) as source:
            yield from self.segments
            if self._whole:
                return
            fallbacks = getattr(stt, "fallbacks", [])
            with closing(closable(stt.transcribe(self._rest(source, fallbacks), options, self._carried))) as heard:
                for segment in heard:
                    self._pending.append(segment)
                    yield segment
            self._write({"segments": self._taken(), "fallbacks": self._all(fallbacks), "whole": True})

    def _rest(self, windows: Iterable[Window], fallbacks: list[str]) -> Iterator[Window]:
        """The windows, or parts of them, that are not done, each telling when it is."""

        def keep(seconds: float, carried: Mapping[str, Any]) -> None:
            step = {"seconds": seconds, "carried": carried, "segments": self._taken()}
            self._write(step | {"fallbacks": self._all(fallbacks)})

        begin = self.seconds
        for window in windows:
            rate = window.audio.rate
            heard = max(0, round((begin - window.start) * rate))
            if heard < len(window.audio.samples):
                start = max(window.start, begin) if heard else window.start
                yield dataclasses.replace(
                    window, audio=Audio(window.audio.samples[heard:], rate), start=start, done=keep
                )

    def _all(self, fallbacks: list[str]) -> list[str]:
        return list(dict.fromkeys([*self.fallbacks, *fallbacks]))

    def _taken(self) -> list[dict[str, Any]]:
        taken, self._pending = [dataclasses.asdict(segment) for segment in self._pending], []
        return taken

    def _write(self, step: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            _append(self._file, _line(step))
            self.is_empty = False
            if time.monotonic() - self._synced > _SYNC_S:
                os.fdatasync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _log.warning(
            "%s: what is heard from here on cannot be kept for a restart (%s)", self._name, error.strerror or error
        )
        file, self._file = self._file, None
        with suppress(OSError):
            assert file is not None
            file.close()

    def read(self, head: bytes) -> None:
        """Take over what an earlier run left, or begin with `head`. OSError."""
        assert self._file is not None
        content = self._file.read()
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        try:
            if lines and lines[0] != head:
                raise ValueError("another first line")
            steps = [_step(line) for line in lines[1:]]
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.warning("%s: what was kept of an earlier run is damaged, so it starts anew", self._name)
            lines, steps = [], []
        self._file.seek(0)
        self._file.truncate(sum(map(len, lines)))
        if not lines:
            _append(self._file, head)
        self._file.seek(0, os.SEEK_END)
        self.is_empty = not steps
        for step in steps:
            self.segments += step["segments"]
            self.seconds = step.get("seconds", self.seconds)
            self.fallbacks = step["fallbacks"]
            self._carried = step.get("carried", self._carried)
            self._whole = step.get("whole", False)


# ---------------------------------------------------------------- finding and opening


def open_checkpoint(file: str, origin: Mapping[str, Any], how: str) -> Checkpoint | None:
    """The checkpoint of a file for the pipeline of this provenance; `how` the file is read counts too.

    None for what is no regular file, where another process hears the same, and, with a warning, where the user's cache
    cannot be written. Checkpoints that nobody has touched for 30 days are removed.
    """
    path = Path(file)
    if file == STDIN:
        return None
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    identity = {
        "schema": _SCHEMA,
        "file": os.path.realpath(path),
        "size": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "how": how,
        **{key: origin[key] for key in ("mmcli", "models", "options_hash")},
    }
    folder = platformdirs.user_cache_path("mmcli") / "transcripts"
    try:
        weights = [_facts(model["source"]) for model in origin["models"].values()]
        head = _line({**identity, "weights": weights})
        target = folder / f"{hashlib.sha256(head).hexdigest()[:32]}.jsonl"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_old(folder)
        held = _locked(target)
        if held is None:
            return None
        checkpoint = Checkpoint(held, target, file)
        try:
            checkpoint.read(head)
        except OSError:
            with checkpoint:
                raise
    except OSError as error:
        _log.warning("%s: what is heard cannot be kept for a restart (%s)", file, error.strerror or error)
        return None
    return checkpoint


def _facts(source: str) -> list[Any]:
    """Sizes and times of the files of a model that stands in a folder of the user's, which has no revision."""
    scheme, _, place = source.partition(":")
    found = []
    if scheme == "path":
        for file in sorted(Path(place).expanduser().glob("*")):
            facts = file.stat()
            found.append([file.name, facts.st_size, facts.st_mtime_ns])
    return found


def _locked(path: Path) -> IO[bytes] | None:
    """The file, made where it is missing, with the lock of this process; None where another one has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        # Whoever had the lock before may have removed the file between our two steps.
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _remove_old(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()


def _append(file: IO[bytes], line: bytes) -> None:
    if file.write(line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _step(line: bytes) -> dict[str, Any]:
    step = json.loads(line)
    return {**step, "segments": tuple(map(_segment, step["segments"])), "fallbacks": tuple(step["fallbacks"])}


def _segment(fields: dict[str, Any]) -> Segment:
    decoding = fields["decoding"] and Decoding(**fields["decoding"] | {"tokens": tuple(fields["decoding"]["tokens"])})
    rows = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    rows["words"] = tuple(Word(**word) for word in fields["words"])
    return Segment(**fields | rows | {"decoding": decoding})
