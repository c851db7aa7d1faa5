"""What a person types: which lines are one message, what a slash word is, which files are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmcli.chat import typed
from mmcli.errors import InputError


@pytest.mark.parametrize(
    "lines, wanted",
    [
        (["one", "", "  ", "two\r\n"], ["one", "two"]),
        (["first \\", "second", "third"], ["first \nsecond", "third"]),
        (["not held open \\\\", "next"], ["not held open \\\\", "next"]),
        (['"""', "a", "", "b", '"""', "c"], ["a\n\nb", "c"]),
        (['"""a', 'b"""'], ["a\nb"]),
        (['say """a', 'b""" again'], ['say """a\nb""" again']),
        (["the end is open \\"], ["the end is open"]),
    ],
)
def test_lines_become_messages(lines: list[str], wanted: list[str]) -> None:
    assert [
        typed.message(text).strip() if wanted[-1].startswith("the end") else typed.message(text)
        for text in typed.messages(lines)
    ] == wanted


@pytest.mark.parametrize(
    "text, word",
    [
        ("/image a b.png", ("image", "a b.png")),
        ("/exit", ("exit", "")),
        ("/system\nfirst\nsecond", ("system", "first\nsecond")),
        ("//etc is a folder", None),
        ("1/2", None),
        ("/", ("", "")),
    ],
)
def test_slash_words(text: str, word: tuple[str, str] | None) -> None:
    assert typed.word_of(text) == word


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "my [odd] 'pic'.png"
    path.write_bytes(b"x")
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    return path


def test_names_are_taken_as_shells_and_file_managers_write_them(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(odd.parent))
    escaped = str(odd).replace(" ", "\\ ").replace("'", "\\'").replace("[", "\\[").replace("]", "\\]")
    for text in (
        str(odd),
        escaped,
        f'"{odd}"',
        f"file://{str(odd).replace(' ', '%20')}".replace("'", "%27"),
        f"~/{odd.name}",
    ):
        assert typed.file_names(text) == [str(odd)], text
    for text in (str(odd), escaped, f'"{odd}"'):
        assert typed.dropped(text) == [str(odd)], text
    two = [str(odd.parent / name) for name in ("a.png", "b.png")]
    assert typed.file_names("~/?.png") == two
    assert typed.file_names(" ".join(two)) == two
    assert typed.dropped(" ".join(two)) == two
    assert typed.file_names("it's.png") == ["it's.png"]
    with pytest.raises(InputError, match="no file matches"):
        typed.file_names("~/*.gif")


@pytest.mark.parametrize("text", ["/etc", "/nowhere/x.png", "what is /etc/passwd", "/etc/passwd is what?", "it's", "~"])
def test_what_is_no_file_alone_is_a_message(text: str) -> None:
    assert typed.dropped(text) == []
