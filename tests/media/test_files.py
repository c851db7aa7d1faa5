from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mmcli.errors import InputError, OutputError
from mmcli.media import files
from mmcli.media.files import atomic_path, display_name, head, open_input, peek, read_limited


def refused(path: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        open_input(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_from(redirect: str, before: str = "") -> str:
    """What a program that reads its standard input prints, error messages included, where a shell redirects it."""
    code = "from mmcli.media.files import open_input\nwith open_input('-') as s: print(s.read())"
    line = f'{before} "{sys.executable}" -c "{code}" {redirect}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("bad", ["\x1b[2J", "\n", "\x07", "\x9b31m", "\u202e", "\u2066", "\u2028", "\udcff"])
def test_a_name_shown_holds_nothing_that_moves_the_terminal(bad: str) -> None:
    shown = display_name(f"a{bad}b")
    assert shown == "a" + "\ufffd" + bad[1:].replace("\x1b", "\ufffd") + "b"
    shown.encode()


def test_a_name_shown_keeps_letters_of_every_script() -> None:
    name = "Grüße 日本 مرحبا می\u200cخواهم 👩\u200d🚀.wav"
    assert display_name(name) == name


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "question.wav").write_bytes(b"x")
    assert refused(tmp_path / "qestion.wav").endswith('no such file; did you mean "question.wav"?')


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert f"the folder {tmp_path}/none does not exist" in refused(tmp_path / "none" / "a.wav")


def test_a_dangling_link_says_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone.wav")
    assert f"is a link to {tmp_path}/gone.wav, which does not exist" in refused(tmp_path / "link")


def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "ring").symlink_to("ring")
    assert "is a folder" in refused(tmp_path)
    assert "is empty" in refused(tmp_path / "empty")
    assert "a part of its path is a file" in refused(tmp_path / "empty" / "a.wav")
    assert "cannot be read" in refused(tmp_path / "ring")
    assert "cannot be read" in refused("a\0b")
    assert "cannot be read" in refused(tmp_path / ("x" * 300))
    assert "\x1b" not in refused(tmp_path / "\x1b[31m.wav")


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="the null device of this machine is a file")
def test_a_device_without_data_is_empty() -> None:
    assert "is empty" in refused(os.devnull)
    assert "standard input: is empty" in read_from(f"<{os.devnull}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    assert "no permission" in refused(path)


def test_a_fifo_that_nobody_writes_to_ends_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PIPE_WAIT_S", 0.3)
    os.mkfifo(tmp_path / "fifo")
    assert "no program has written into this pipe" in refused(tmp_path / "fifo")


def test_a_fifo_whose_writer_is_slow_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PIPE_WAIT_S", 0.3)
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as stream:
            time.sleep(0.8)
            stream.write(b"late")

    thread = threading.Thread(target=write)
    thread.start()
    with open_input(path) as stream:
        assert peek(stream, 2) == b"la"
        assert stream.read() == b"late"
    thread.join()


def test_standard_input_is_read_and_an_empty_or_closed_one_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_from("", before="printf hello |") == "b'hello'\n"
    assert "standard input: is empty" in read_from("", before=": |")
    assert "standard input: is empty" in read_from(f"<{tmp_path}/empty")
    assert "standard input: is closed" in read_from("<&-")


def test_a_limit_holds_for_files_and_for_streams(tmp_path: Path, piped) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * 1000)
    with open_input(path) as stream:
        assert len(read_limited(stream, "big", 1000)) == 1000
    with open_input(path) as stream, pytest.raises(InputError, match="is larger than"):
        read_limited(stream, "big", 999)
    with piped(b"x" * 1000) as name, open_input(name) as stream, pytest.raises(InputError, match="is larger than"):
        read_limited(stream, "big", 999)


# ---------------------------------------------------------------- writing


def test_a_file_appears_whole_with_its_folders_and_usual_permissions(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "a.txt"
    with atomic_path(target) as aside:
        aside.write_text("done")
        assert aside.suffix == ".txt"
        assert aside.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "done"
    other = tmp_path / "plain"
    other.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError, GeneratorExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as aside:
            aside.write_text("half")
            raise failure

    with pytest.raises(failure):
        write()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "real.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_path(link) as aside:
        aside.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target, why in ((tmp_path, "is a folder"), (tmp_path / "file" / "a.txt", "a part of its path is a file")):
        with pytest.raises(OutputError, match=why), atomic_path(target) as aside:
            aside.write_text("x")
    with pytest.raises(OutputError, match="No space left on device"), atomic_path(Path("/dev/full")) as direct:
        direct.write_text("x")
    with pytest.raises(OutputError, match="Disk quota"), atomic_path(tmp_path / "b.txt"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"), atomic_path(tmp_path / "a.txt"):
        pass


def test_a_fifo_is_written_directly(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    thread.start()
    with atomic_path(fifo) as direct:
        assert direct == fifo
        direct.write_bytes(b"through")
    thread.join()
    assert got == [b"through"]


def test_the_first_bytes_are_looked_at_without_being_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert head(tmp_path / "a") == b"abc"
    assert head(tmp_path / "none") == head(tmp_path) == b""
    os.mkfifo(tmp_path / "pipe")
    assert head(tmp_path / "pipe") == b""  # at once, and nothing is read that could not be put back
    code = "from mmcli.media.files import *; print(head('-'), head('-'), open_input('-').read())"
    ended = subprocess.run([sys.executable, "-c", code], input=b"abc" * 50_000, capture_output=True, check=True)
    first, second, whole = (part.strip() for part in ended.stdout.decode().split(" "))
    assert first == second
    assert first.startswith("b'abcabc")
    assert len(whole) == 3 + 150_000


def test_memory_of_the_system_is_written_as_any_folder(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        target = Path(folder) / "in" / "a.txt"
        with atomic_path(target) as aside:
            aside.write_text("whole", encoding="utf-8")
            assert aside != target
        assert target.read_text(encoding="utf-8") == "whole"


def test_an_open_file_is_written_directly(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            with atomic_path(Path(name)) as direct:
                assert str(direct) == name
    with atomic_path(Path("/dev/stdout")) as direct:
        assert str(direct) == "/dev/stdout"
