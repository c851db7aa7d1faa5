"""The file of conversations: what is kept, found, removed; two processes at once; files that are none; no room."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mmcli.errors import InputError, MmcliError, OutputError, UsageError
from mmcli.history.database import History
from mmcli.history.records import Entry, File, Record, as_json, now, of_json


def _pair(question: str, answer: str = "yes", **more: object) -> list[Entry]:
    return [Entry("user", question, now()), Entry("assistant", answer, now(), **more)]  # type: ignore[arg-type]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "deep" / "history.db")


def test_a_conversation_comes_back_as_it_was_kept(history: History, red: Path) -> None:
    files = (File.of(str(red)), File.of("-"), File.of("https://example.org/a.png"))
    asked = Entry("user", "Was ist das? 東京 🙂", now(), files)
    answer = Entry("assistant", "A red one", now(), (), True, "m", "p", "hash", '{"prompt": 3}')
    id = history.add(None, "Be short.", [asked, answer])
    found = history.read(id)
    assert (found.system, found.entries) == ("Be short.", (asked, answer))
    assert files[0].is_there()
    assert not files[1].is_there()
    assert files[1:] == (File("standard input"), File("https://example.org/a.png"))
    assert history.add(id, "Be long.", _pair("and now?")) == id
    assert [entry.text for entry in history.read("last").entries[2:]] == ["and now?", "yes"]
    assert history.read(id[:3]).system == "Be long."


def test_only_the_user_can_read_it(history: History) -> None:
    os.umask(os.umask(0o022))
    history.add(None, "", _pair("a secret"))
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in history.path.parent.iterdir()] == ["history.db"]


def test_the_newest_come_first_by_when_they_were_last_spoken_in(history: History) -> None:
    ids = [history.add(None, "", _pair(f"question {number}")) for number in range(3)]
    assert len(set(ids)) == 3
    history.add(ids[0], "", _pair("more"))
    assert [(record.id, count) for record, count in history.newest(2)] == [(ids[0], 4), (ids[2], 2)]
    assert [record.id for record in history.all()] == ids
    assert history.questions(2) == ["more", "question 2"]


@pytest.mark.parametrize(
    "words, found", [("STRASSE", 0), ("strässe", 1), ("Strasse cafe", 1), ('"', None), ("cafe* OR NOT(", 0), ("caf", 1)]
)
def test_words_are_found_whatever_their_accents_and_signs(history: History, words: str, found: int | None) -> None:
    history.add(None, "", _pair("Wo ist das Café in der Strässe?" if found is not None else "?"))
    history.add(None, "", _pair("Etwas anderes", "nein"))
    if found is None:
        with pytest.raises(UsageError, match="no word"):
            history.search(words, 5)
        return
    results = history.search(words, 5)
    assert len(results) == (1 if words != "cafe* OR NOT(" else 0)
    if results:
        assert "[Café]" in results[0].snippet or "[Strässe]" in results[0].snippet


def test_what_is_removed_is_gone_from_the_disk_too(history: History) -> None:
    keep = history.add(None, "", _pair("harmless"))
    gone = history.add(None, "", _pair("my xyzzysecret"))
    assert b"xyzzysecret" in history.path.read_bytes()
    with pytest.raises(UsageError, match='no conversation "nothere"'):
        history.remove([gone, "nothere"])
    assert len(history.newest(9)) == 2
    assert history.remove([gone]) == 1
    assert history.search("xyzzysecret", 5) == []
    for path in history.path.parent.iterdir():
        assert b"xyzzysecret" not in path.read_bytes()
    assert [record.id for record, _ in history.newest(9)] == [keep]
    assert history.remove(before="2000-01-01") == 0
    assert history.remove(before="2999-01-01") == 1
    assert history.newest(9) == []


def test_an_exchange_can_be_taken_back(history: History) -> None:
    id = history.add(None, "", _pair("one") + _pair("two"))
    history.undo(id)
    assert [entry.text for entry in history.read(id).entries] == ["one", "yes"]
    assert history.search("two", 5) == []


def test_two_processes_write_at_once_and_lose_nothing(history: History) -> None:
    program = (
        "import sys; from pathlib import Path; from mmcli.history.database import History; "
        "from mmcli.history.records import Entry\n"
        "history, id = History(Path(sys.argv[1])), None\n"
        "for n in range(40): id = history.add(id, '', [Entry('user', f'q{n}'), Entry('assistant', f'a{n}')])\n"
        "print(id)"
    )
    command = [sys.executable, "-c", program, str(history.path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ids = [process.communicate(timeout=120)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    wanted = [text for number in range(40) for text in (f"q{number}", f"a{number}")]
    for id in ids:
        assert [entry.text for entry in history.read(id).entries] == wanted
    with sqlite3.connect(history.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be one " * 40, b"SQLite format 3\0" + b"x" * 4000]
)
def test_a_file_that_is_none_is_one_line(history: History, content: bytes) -> None:
    history.path.parent.mkdir()
    history.path.write_bytes(content)
    for use in (lambda: history.add(None, "", _pair("?")), lambda: history.newest(3), lambda: history.search("a", 1)):
        with pytest.raises(MmcliError) as caught:
            use()
        assert str(history.path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert history.path.read_bytes() == content


def test_a_file_of_a_newer_version_is_left_alone(history: History) -> None:
    history.add(None, "", _pair("?"))
    with sqlite3.connect(history.path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(InputError, match="has version 9 of conversations, not 1; update mmcli"):
        history.read("last")


def test_a_locked_file_is_one_line(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmcli.history.database._BUSY_S", 0.1)
    history.add(None, "", _pair("?"))
    db = sqlite3.connect(history.path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match="database is locked"):
        history.add(None, "", _pair("?"))
    assert len(history.newest(5)) == 1  # whoever only reads need not wait
    db.close()


def test_no_room_on_the_disk_is_one_line_and_loses_nothing(history: History) -> None:
    id = history.add(None, "", _pair("before"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be used"):
            history.add(id, "", _pair("word " * 100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.text for entry in history.read(id).entries] == ["before", "yes"]
    assert history.add(id, "", _pair("after")) == id


def test_a_link_loop_or_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    with pytest.raises(MmcliError, match="is no file of conversations"):
        History(tmp_path / "history.db").add(None, "", _pair("?"))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        History(tmp_path / "file" / "history.db").add(None, "", _pair("?"))


# ---------------------------------------------------------------- JSON


def test_what_is_written_out_can_be_read_again(red: Path) -> None:
    asked = Entry("user", "What?", now(), (File.of(str(red)),))
    answer = Entry("assistant", "Red", now(), (), True, "m", "p", "h", '{"prompt": 3}')
    record = Record("abcdef", "Be short.", (asked, answer))
    assert of_json(json.dumps(as_json(record)), "x") == record


MESSAGES = [{"role": "user", "text": "a"}, {"role": "assistant", "text": "b"}]


@pytest.mark.parametrize(
    "content, why",
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no messages"),
        ('{"messages": 3}', "no messages"),
        (json.dumps({"messages": MESSAGES}), "another version"),
        (json.dumps({"schema": 1, "messages": MESSAGES[:1]}), "do not follow each other"),
        (json.dumps({"schema": 1, "messages": MESSAGES[::-1]}), "do not follow each other"),
        (json.dumps({"schema": 1, "messages": ["a", "b"]}), "a message is none"),
        (json.dumps({"schema": 1, "messages": [{"role": ["user"], "text": "a"}]}), '"role" is no text'),
        (json.dumps({"schema": 1, "system": 7, "messages": []}), '"system" is no text'),
        (json.dumps({"schema": 1, "messages": [{"role": "user", "attachments": [1]}]}), "an attachment is none"),
        (
            json.dumps({"schema": 1, "messages": [{"role": "user", "attachments": [{"size": 1, "path": 7}]}]}),
            '"path" is no text',
        ),
    ],
)
def test_what_is_no_conversation_is_one_line(content: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        of_json(content, "talk.json")


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem", "/nowhere", "a\0b", "/etc"])
def test_no_file_is_opened_that_is_not_the_one_that_was_attached(path: str) -> None:
    assert not File("x.png", path, 0, "").is_there()
    assert not File("x.png", path, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").is_there()
