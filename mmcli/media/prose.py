"""Texts as they are read aloud: a file's paragraphs, wrapped lines joined again, Markdown without its marks."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.media.document import is_pdf, open_document, read_text
from mmcli.media.files import head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PARAGRAPH_PAUSE_S = 0.4
MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")

# A line that fills this share of the widest one of its block was wrapped there; narrower blocks are verses and lists.
_FULL = 0.7
_MIN_WIDTH = 40
# Bounds what is held of a text without blank lines.
_MAX_BLOCK = 200
_ITEM = re.compile(r"\s*(?:[-*•–—]|\d{1,3}[.)])\s|\s{2,}\S")
_HYPHENATED = re.compile(r"[^\W\d_]-$")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A stretch of text and the silence before it, in seconds, beyond that of its sentences."""

    text: str
    pause: float = 0.0


def read_prose(path: str | Path, *, markdown: bool | None = None, code: bool = False) -> Iterator[Paragraph]:
    """The paragraphs of a text, a Markdown file or a PDF, which may be "-" (standard input).

    `markdown` None goes by the suffix. `code` is whether its blocks of code are read. InputError as `open_document`.
    """
    if is_pdf(head(path)):
        for page in open_document(path).pages():
            yield from paragraphs(line.text for line in page.lines)
    elif markdown or (markdown is None and str(path).lower().endswith(MARKDOWN_SUFFIXES)):
        from mmcli.media.markdown import read_markdown

        yield from read_markdown(read_text(path), code=code)
    else:
        yield from paragraphs(read_text(path).splitlines())


def paragraphs(lines: Iterable[str]) -> Iterator[Paragraph]:
    """Lines as paragraphs: blank lines part them, and a line that was only wrapped goes on in the next one."""
    block: list[str] = []
    pause = 0.0
    for line in lines:
        if line.strip() and len(block) < _MAX_BLOCK:
            block.append(line.rstrip())
            continue
        if block:
            yield from _unwrapped(block, pause)
            pause = PARAGRAPH_PAUSE_S if not line.strip() else 0.0
        block = [line.rstrip()] if line.strip() else []
    if block:
        yield from _unwrapped(block, pause)


def _unwrapped(block: list[str], pause: float) -> Iterator[Paragraph]:
    widest = max(map(len, block))
    text = block[0].strip()
    for before, line in itertools.pairwise(block):
        wrapped = widest >= _MIN_WIDTH and len(before) >= _FULL * widest and not _ITEM.match(line)
        if not wrapped:
            yield Paragraph(text, pause)
            text, pause = line.strip(), 0.0
        elif _HYPHENATED.search(text) and line.strip()[:1].islower():
            text = text[:-1] + line.strip()
        else:
            text = f"{text} {line.strip()}"
    yield Paragraph(text, pause)
