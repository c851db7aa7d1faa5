"""Markdown as it is read aloud: headings with a pause, lists item by item, links by their text, tables row by row."""

from __future__ import annotations

import html
import logging
import re
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from mmcli.media.prose import PARAGRAPH_PAUSE_S, Paragraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

HEADING_PAUSE_S = 0.8

_LOG = logging.getLogger(__name__)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_TASK = re.compile(r"^\[[ xX]\]\s+")
_HIDDEN = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SPACES = re.compile(r"[ \t]+")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read_markdown(text: str, *, code: bool = False) -> Iterator[Paragraph]:
    """The paragraphs of a Markdown text (CommonMark, tables, strikethrough). Front matter, comments and the tags of HTML are left out.

    So are blocks of code, unless `code`: then line by line. Their number goes to the log.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    text = _HIDDEN.sub("", _FRONT_MATTER.sub("", text))
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    pause, left_out = 0.0, 0
    row: list[str] | None = None
    for token in tokens:
        match token.type:
            case "heading_open" | "heading_close" | "hr":
                pause = HEADING_PAUSE_S
            case "paragraph_open" | "bullet_list_open" | "ordered_list_open" | "table_open":
                pause = max(pause, 0.0 if token.level else PARAGRAPH_PAUSE_S)
            case "tr_open":
                row = []
            case "tr_close":
                if row:
                    yield Paragraph(", ".join(row) + ".", pause)
                    pause = 0.0
                row = None
            case "inline":
                said = _said(token.children or ())
                if row is not None:
                    row += [said] if said else []
                elif said:
                    yield from _lines(_TASK.sub("", said), pause)
                    pause = 0.0
            case "html_block":
                yield from _lines(_TAG.sub("", html.unescape(token.content)), pause)
            case "fence" | "code_block" if code:
                yield from _lines(token.content, pause)
            case "fence" | "code_block":
                left_out += 1
    if left_out:
        blocks = "1 block of code was" if left_out == 1 else f"{left_out} blocks of code were"
        _LOG.warning("%s left out; --read-code reads them", blocks)


def _lines(text: str, pause: float) -> Iterator[Paragraph]:
    for line in filter(None, map(str.strip, text.splitlines())):
        yield Paragraph(line, pause)
        pause = 0.0


def _said(tokens: Sequence[Token]) -> str:
    """What is said of a line: words without marks, links by their text, pictures by what stands for them."""
    parts = []
    for token in tokens:
        if token.type in ("text", "code_inline", "image"):
            parts.append(token.content)
        elif token.type == "softbreak":
            parts.append(" ")
        elif token.type == "hardbreak" or (token.type == "html_inline" and _BREAK.fullmatch(token.content)):
            parts.append("\n")
    return _SPACES.sub(" ", _TAG.sub("", "".join(parts))).strip()
