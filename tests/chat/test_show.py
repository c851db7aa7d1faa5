"""Answers on the screen, as a terminal emulator would have it: whole, in order, without what was drawn in between."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from mmcli.chat import show

TEXT = """# Harbour

A *paragraph* of
two lines.

- one
- two
  - inner

| place | price |
| --- | --- |
| tea | 2.10 |

```python
print("hello")

print("again")
```

1. first
2. second

The end [here](http://example.org/\x1b]0;title\x07).
"""


@pytest.mark.parametrize("cut", range(1, len(TEXT), 3))
def test_what_is_whole_stays_whatever_comes(cut: int) -> None:
    end = show.whole_blocks(TEXT[:cut])
    assert TEXT[:end] == TEXT[: show.whole_blocks(TEXT[:cut])]
    assert end == 0 or TEXT[end - 1] == "\n"
    # The blocks before this end are the same ones when all is known.
    assert end in _ends(TEXT)


def _ends(text: str) -> set[int]:
    ends, left, at = {0}, text, 0
    while end := _first(left):
        at += end
        ends.add(at)
        left = left[end:]
    return ends


def _first(text: str) -> int:
    from markdown_it import MarkdownIt

    starts = [t.map[0] for t in MarkdownIt().enable("table").parse(text) if t.level == 0 and t.map and t.nesting >= 0]
    return sum(len(line) for line in text.splitlines(keepends=True)[: starts[1]]) if len(starts) > 1 else 0


def _screen(output: str, height: int = 1000) -> list[str]:
    """What stays on a terminal: carriage returns, cursor up and erase line are all that Rich uses here."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.endswith("A") and token.startswith("\x1b["):
            row = max(0, row - int(token[2:-1] or 1))
        elif not token.startswith(("\x1b", "\r")):
            lines[row] += token
    return [line.rstrip() for line in lines]


def _rendered(monkeypatch: pytest.MonkeyPatch, pieces: list[str], height: int) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=height, color_system=None, legacy_windows=False)
    monkeypatch.setattr("mmcli.ui.console", lambda: console)
    monkeypatch.setattr("mmcli.chat.show._REDRAWN_S", 0.0)
    shown: Any = show.Rendered()
    for piece in pieces:
        shown.add(piece)
    shown.end()
    return out.getvalue()


@pytest.mark.parametrize("height", [4, 50])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_that_grows_ends_as_one_that_came_whole(
    monkeypatch: pytest.MonkeyPatch, height: int, size: int
) -> None:
    grown = _rendered(monkeypatch, [TEXT[at : at + size] for at in range(0, len(TEXT), size)], height)
    screen = [line for line in _screen(grown) if line]
    assert screen == [line for line in _screen(_rendered(monkeypatch, [TEXT], 50)) if line]
    text = "\n".join(screen)
    for words in ("Harbour", "A paragraph of\ntwo lines.", "tea", "2.10", 'print("again")', "2 second", "The end here"):
        assert words in text.replace("  ", " ").replace("\n ", "\n"), words
    assert "\x1b]" not in grown
    assert "title" in grown  # shown, and does nothing


def test_plain_text_ends_its_line_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = show.Plain()
    for piece in ("a *b*\n", "c\x1b[2J", "d"):
        shown.add(piece)
    shown.end()
    shown.end()
    assert capsys.readouterr().out == "a *b*\nc[2Jd\n"
