"""A conversation as it is kept and written out: messages and what was attached to them, never the content of a file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmcli.errors import InputError

VERSION = 1
"""Of the JSON that is written."""
MAX_BYTES = 16_000_000
"""A larger file is no conversation."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as it was: what the user called it, and for a file where it lay, its bytes and their digest."""

    name: str
    path: str = ""
    size: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, name: str) -> File:
        """From a name of the command line. One that is no regular file (a pipe, an address) keeps its name alone."""
        if name == "-":
            return cls("standard input")
        try:
            found = os.stat(name)
            if stat.S_ISREG(found.st_mode):
                return cls(name, str(Path(name).absolute()), found.st_size, digest(name))
        except (OSError, ValueError):
            pass
        return cls(name)

    def is_there(self) -> bool:
        """Whether the same bytes still lie there. What was not digested never does."""
        with suppress(OSError, ValueError):
            found = os.stat(self.path)
            same = stat.S_ISREG(found.st_mode) and found.st_size == self.size
            return same and bool(self.sha256) and digest(self.path) == self.sha256
        return False


def now() -> str:
    """The time as it is kept: ISO 8601 in UTC, so that times sort as texts."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest(path: str) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One message. `provenance` is the hash of the options that made an answer; `usage` is in tokens of its model."""

    role: str
    text: str
    at: str = ""
    """ISO 8601 in UTC."""
    files: tuple[File, ...] = ()
    interrupted: bool = False
    """The answer broke off; `text` is what was said of it."""
    model: str = ""
    pipeline: str = ""
    provenance: str = ""
    usage: str = ""
    """JSON, empty where it is not known."""


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation as it is kept."""

    id: str
    system: str
    entries: tuple[Entry, ...]
    started: str = ""
    updated: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A message that has the words that were looked for, with those around them."""

    id: str
    at: str
    role: str
    snippet: str


_MADE = ("model", "pipeline", "provenance")


def as_json(record: Record) -> dict[str, Any]:
    """A conversation as `mmcli log` exports and `/save` writes it."""
    messages = []
    for entry in record.entries:
        message: dict[str, Any] = {"role": entry.role, "text": entry.text, "at": entry.at}
        if entry.files:
            message["attachments"] = [
                {"name": file.name, "path": file.path, "size": file.size, "sha256": file.sha256} for file in entry.files
            ]
        if entry.interrupted:
            message["interrupted"] = True
        message |= {key: getattr(entry, key) for key in _MADE if getattr(entry, key)}
        if entry.usage:
            message["usage"] = json.loads(entry.usage)
        messages.append(message)
    times = {"started": record.started, "updated": record.updated}
    return {"schema": VERSION, "id": record.id, **times, "system": record.system, "messages": messages}


def of_json(text: str | bytes, source: str) -> Record:
    """A conversation out of what `as_json` gave. InputError for anything else; unknown keys are passed over."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _none(source, "it is no JSON") from error
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        raise _none(source, "it has no messages")
    if given.get("schema") != VERSION:
        raise InputError(source, f"is a conversation of another version ({given.get('schema')!r:.20})", "update mmcli")
    entries = tuple(_entry(message, source) for message in given["messages"])
    roles = [entry.role for entry in entries]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise _none(source, "questions and answers do not follow each other")
    return Record(_text(given, "id", source), _text(given, "system", source), entries)


def _entry(message: Any, source: str) -> Entry:
    if not isinstance(message, dict) or not isinstance(message.get("attachments", []), list):
        raise _none(source, "a message is none")
    files = []
    for file in message.get("attachments", []):
        size = file.get("size", 0) if isinstance(file, dict) else None
        if not isinstance(size, int):
            raise _none(source, "an attachment is none")
        files.append(
            File(_text(file, "name", source), _text(file, "path", source), size, _text(file, "sha256", source))
        )
    usage = message.get("usage")
    return Entry(
        **{key: _text(message, key, source) for key in ("role", "text", "at", *_MADE)},
        files=tuple(files),
        interrupted=message.get("interrupted") is True,
        usage=json.dumps(usage) if isinstance(usage, dict) else "",
    )


def _text(table: dict[str, Any], key: str, source: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise _none(source, f'"{key}" is no text')
    return value


def _none(source: str, why: str) -> InputError:
    return InputError(source, f"is no saved conversation: {why}")
