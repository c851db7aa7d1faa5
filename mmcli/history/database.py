"""The conversations of the user, kept in one SQLite file that only the user can read.

    conversations 1 ─── * messages 1 ─── * files       what was attached: name, path and SHA-256, never its content
                             └──── words               full text (FTS5) of the messages, kept by triggers

The file is in WAL mode, so that several commands write and read at once. It is made aside and linked to its place whole, so
no other process sees a half one. `user_version` is the version of this schema.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcli.errors import InputError, OutputError, UsageError
from mmcli.history.records import Entry, File, Found, Record, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

VERSION = 1
LAST = "last"
"""Names the newest conversation wherever an id does."""
# Without letters and digits that look alike; 31 to the power of 6 of them.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_ID_LENGTH = 6
_BUSY_S = 5.0
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, started TEXT NOT NULL, updated TEXT NOT NULL,
    system TEXT NOT NULL);
CREATE TABLE messages (
    number INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
    role TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL, interrupted INTEGER NOT NULL,
    model TEXT NOT NULL, pipeline TEXT NOT NULL, provenance TEXT NOT NULL, usage TEXT NOT NULL);
CREATE INDEX messages_of ON messages (conversation, number);
CREATE TABLE files (
    message INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE, position INTEGER NOT NULL,
    name TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (message, position));
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'messages', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2');
CREATE TRIGGER word_in AFTER INSERT ON messages BEGIN
    INSERT INTO words (rowid, text) VALUES (new.number, new.text); END;
CREATE TRIGGER word_out AFTER DELETE ON messages BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.number, old.text); END;
"""


def default_path() -> Path:
    """Where the conversations lie."""
    import platformdirs

    return platformdirs.user_data_path("mmcli") / "history.db"


class History:
    """The file of conversations; it is made when something is first written.

    Every method opens and closes it and raises InputError or OutputError where it is broken, locked or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    # ------------------------------------------------------------ writing

    def add(self, id: str | None, system: str, entries: Iterable[Entry]) -> str:
        """Write messages at the end of a conversation, a new one for None, all of them or none. Gives its id."""
        time = now()
        with self._opened(make=True) as db:
            number = self._number(db, id)
            if number is None:
                # One that was removed meanwhile begins anew under its id.
                id = id or _new_id(db)
                number = db.execute(
                    "INSERT INTO conversations (id, started, updated, system) VALUES (?, ?, ?, ?)",
                    (id, time, time, _storable(system)),
                ).lastrowid
            db.execute(
                "UPDATE conversations SET updated = ?, system = ? WHERE number = ?", (time, _storable(system), number)
            )
            for entry in entries:
                _write(db, number, entry)
        assert id is not None
        return id

    def undo(self, id: str) -> None:
        """Take the last question and what follows it out of a conversation."""
        with self._opened(make=False) as db:
            number = self._number(db, id)
            db.execute(
                "DELETE FROM messages WHERE conversation = ? AND number >= "
                "(SELECT max(number) FROM messages WHERE conversation = ? AND role = 'user')",
                (number, number),
            )

    def remove(self, ids: Sequence[str] = (), before: str | None = None) -> int:
        """Remove conversations by their ids, or those last spoken in before a time. Gives how many.

        What is removed is overwritten in the file. UsageError for an id that does not exist; then nothing is removed.
        """
        if not self.path.exists():
            self._none(ids)
            return 0
        with self._opened(make=False) as db:
            numbers = [self._known(db, id) for id in ids]
            if before is not None:
                numbers += [
                    row[0] for row in db.execute("SELECT number FROM conversations WHERE updated < ?", (before,))
                ]
            db.executemany("DELETE FROM conversations WHERE number = ?", [(number,) for number in numbers])
            db.execute("INSERT INTO words (words) VALUES ('rebuild')")
        with self._opened(make=False, write=False) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(set(numbers))

    # ------------------------------------------------------------ reading

    def newest(self, most: int) -> list[tuple[Record, int]]:
        """The conversations last spoken in, newest first, each with its first message alone and how many it has."""
        if not self.path.exists():
            return []
        with self._opened(make=False, write=False) as db:
            rows = db.execute(
                "SELECT c.number, c.id, c.system, c.started, c.updated, (SELECT count(*) FROM messages "
                "WHERE conversation = c.number) FROM conversations c ORDER BY c.updated DESC, c.number DESC LIMIT ?",
                (most,),
            ).fetchall()
            return [(_record(db, row[:5], 1), row[5]) for row in rows]

    def read(self, id: str) -> Record:
        """A whole conversation, by its id, the beginning of one, or `last`. UsageError where there is none."""
        if not self.path.exists():
            self._none([id])
        with self._opened(make=False, write=False) as db:
            row = db.execute(
                "SELECT number, id, system, started, updated FROM conversations WHERE number = ?",
                (self._known(db, id),),
            ).fetchone()
            return _record(db, row)

    def all(self) -> Iterator[Record]:
        """Every conversation, oldest first."""
        ids: list[str] = []
        if self.path.exists():
            with self._opened(make=False, write=False) as db:
                ids = [row[0] for row in db.execute("SELECT id FROM conversations ORDER BY number")]
        for id in ids:
            yield self.read(id)

    def search(self, words: str, most: int) -> list[Found]:
        """Messages that have all the words, or words that begin so; the best first. Punctuation parts words."""
        query = " ".join(f'"{word}"*' for word in re.findall(r"\w+", words))
        if not query:
            raise UsageError("there is no word to search for")
        if not self.path.exists():
            return []
        with self._opened(make=False, write=False) as db:
            rows = db.execute(
                "SELECT c.id, m.at, m.role, snippet(words, 0, '[', ']', '...', 16) FROM words "
                "JOIN messages m ON m.number = words.rowid JOIN conversations c ON c.number = m.conversation "
                "WHERE words MATCH ? ORDER BY rank, m.number DESC LIMIT ?",
                (query, most),
            )
            return [Found(*row) for row in rows]

    def questions(self, most: int) -> list[str]:
        """What was asked last, newest first."""
        if not self.path.exists():
            return []
        with self._opened(make=False, write=False) as db:
            rows = db.execute("SELECT text FROM messages WHERE role = 'user' ORDER BY number DESC LIMIT ?", (most,))
            return [row[0] for row in rows if row[0]]

    # ------------------------------------------------------------ opening

    @contextmanager
    def _opened(self, *, make: bool, write: bool = True) -> Iterator[sqlite3.Connection]:
        """The file inside one transaction, which is undone by any exception."""
        try:
            if make and not self.path.exists():
                _make(self.path)
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise InputError(str(self.path), "is no file of conversations")
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as db:
                db.execute("PRAGMA foreign_keys = ON")
                db.execute("PRAGMA secure_delete = ON")
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version != VERSION:
                    raise InputError(
                        str(self.path),
                        f"has version {version} of conversations, not {VERSION}",
                        "update mmcli, or move it away",
                    )
                if not write:
                    yield db
                    return
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise _translated(self.path, error) from error
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def _number(self, db: sqlite3.Connection, id: str | None) -> int | None:
        row = db.execute("SELECT number FROM conversations WHERE id = ?", (id,)).fetchone()
        return row[0] if row else None

    def _known(self, db: sqlite3.Connection, id: str) -> int:
        if id == LAST:
            query = "SELECT number FROM conversations ORDER BY updated DESC, number DESC LIMIT 1"
            rows = db.execute(query).fetchall()
        else:
            rows = db.execute("SELECT number FROM conversations WHERE substr(id, 1, ?) = ?", (len(id), id)).fetchall()
        if len(rows) > 1:
            raise UsageError(f'"{id}" begins the ids of {len(rows)} conversations', "mmcli log list shows them whole")
        if not rows:
            self._none([id])
        return int(rows[0][0])

    @staticmethod
    def _none(ids: Sequence[str]) -> None:
        for id in ids:
            if id == LAST:
                raise UsageError("there is no conversation yet")
            raise UsageError(f'there is no conversation "{id}"', "mmcli log list shows those there are")


def _make(path: Path) -> None:
    """An empty file of conversations at its place, whole from its first moment; another process may have been faster."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(aside)) as db:
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version = {VERSION}")
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not path.exists():
                aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _translated(path: Path, error: sqlite3.Error) -> InputError | OutputError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or (name == "SQLITE_ERROR" and "no such" in str(error)):
        return InputError(str(path), f"is no whole file of conversations ({error})", "move it away, a new one is made")
    return OutputError(f"{path}: cannot be used ({error})")


def _new_id(db: sqlite3.Connection) -> str:
    while True:
        id = "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))
        if db.execute("SELECT 1 FROM conversations WHERE id = ?", (id,)).fetchone() is None:
            return id


def _write(db: sqlite3.Connection, number: int | None, entry: Entry) -> None:
    values = (entry.role, entry.text, entry.at, entry.interrupted, entry.model, entry.pipeline)
    row = (number, *map(_storable, (*values, entry.provenance, entry.usage)))
    message = db.execute(
        "INSERT INTO messages (conversation, role, text, at, interrupted, model, pipeline, provenance, usage) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    ).lastrowid
    for position, file in enumerate(entry.files):
        kept = tuple(map(_storable, (file.name, file.path, file.size, file.sha256)))
        db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", (message, position, *kept))


def _storable(value: Any) -> Any:
    """File names may hold bytes that are no characters, which SQLite refuses."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _record(db: sqlite3.Connection, row: Sequence[Any], most: int = -1) -> Record:
    number, id, system, started, updated = row
    entries = []
    messages = db.execute(
        "SELECT number, role, text, at, interrupted, model, pipeline, provenance, usage FROM messages "
        "WHERE conversation = ? ORDER BY number LIMIT ?",
        (number, most),
    ).fetchall()
    for message, role, text, at, interrupted, *made in messages:
        kept = db.execute("SELECT name, path, size, sha256 FROM files WHERE message = ? ORDER BY position", (message,))
        entries.append(Entry(role, text, at, tuple(File(*file) for file in kept), bool(interrupted), *made))
    return Record(id, system, tuple(entries), started, updated)
