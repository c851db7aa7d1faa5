"""Texts and Markdown as they are read aloud."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmcli.errors import InputError
from mmcli.media.prose import PARAGRAPH_PAUSE_S, Paragraph, paragraphs, read_prose

WRAPPED = """\
It was a bright cold day in April, and the clocks were strik-
ing thirteen. He slipped quickly through the glass doors of
the house.

Second one.
"""
MARKDOWN = """\
---
title: hidden
---
# A *big* heading

Some **bold** text, a [link](https://example.org "t"), ~~old~~ `code`
and a wrapped line.<br>Next &amp; last.

- one
  - inner
- [x] two

| Name | Value |
|------|-------|
| Ann  | **3** |
|      |       |

<!-- hidden --> ![A cat](cat.png) <b>done</b>

```python
print(1)
```
"""


def test_wrapped_lines_are_joined_and_blank_lines_pause() -> None:
    assert list(paragraphs(WRAPPED.splitlines())) == [
        Paragraph(
            "It was a bright cold day in April, and the clocks were striking thirteen. "
            "He slipped quickly through the glass doors of the house."
        ),
        Paragraph("Second one.", PARAGRAPH_PAUSE_S),
    ]


def test_verses_lists_and_headings_stay_lines() -> None:
    lines = ["Roses are red,", "violets are blue.", "", "- a first item which is as long as a whole line", "- second"]
    assert [paragraph.text for paragraph in paragraphs(lines)] == [line for line in lines if line]


def test_markdown_is_read_without_its_marks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.md").write_text(MARKDOWN, encoding="utf-8")
    with caplog.at_level(logging.WARNING, "mmcli"):
        read = list(read_prose(tmp_path / "a.md"))
    assert [paragraph.text for paragraph in read] == [
        "A big heading",
        "Some bold text, a link, old code and a wrapped line.",
        "Next & last.",
        "one",
        "inner",
        "two",
        "Name, Value.",
        "Ann, 3.",
        "A cat done",
    ]
    assert read[0].pause > PARAGRAPH_PAUSE_S
    assert read[1].pause == read[0].pause
    assert [paragraph.pause for paragraph in read[3:6]] == [PARAGRAPH_PAUSE_S, 0.0, 0.0]
    assert [record.getMessage() for record in caplog.records] == [
        "1 block of code was left out; --read-code reads them"
    ]


def test_code_is_read_where_asked_for_and_markdown_is_plain_where_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(MARKDOWN, encoding="utf-8")
    assert list(read_prose(tmp_path / "a.md", code=True))[-1].text == "print(1)"
    assert any("**bold**" in paragraph.text for paragraph in read_prose(tmp_path / "a.md", markdown=False))
    (tmp_path / "a.txt").write_text("*Hi* there.", encoding="utf-16")
    assert [p.text for p in read_prose(tmp_path / "a.txt", markdown=True)] == ["Hi there."]


def test_a_pdf_is_read_and_a_picture_refused(data: Path) -> None:
    report = Path(__file__).parent.parent.parent / "samples" / "report.pdf"
    assert sum(len(paragraph.text) for paragraph in read_prose(report)) > 200
    with pytest.raises(InputError, match="no text"):
        list(read_prose(report.with_name("receipt.png")))
