"""Documents in: PDF pages with their text layer and their picture, and plain texts."""

from __future__ import annotations

import codecs
import re
from functools import partial
from typing import TYPE_CHECKING

from mmcli.errors import InputError
from mmcli.media.files import is_stream, open_input, peek, read_limited, source_name, too_large
from mmcli.stages import Document, Page, TextLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_TEXT_BYTES = 20_000_000
MAX_PDF_BYTES = 256_000_000

# What is looked at to tell a PDF, a text and anything else apart; a PDF may have up to 1024 bytes before its signature.
HEAD_BYTES = 4096
_PDF = b"%PDF-"
_PDF_WITHIN = 1024

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Colours and cursor movements of a terminal, as logs hold them.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_LINE_BREAKS = re.compile(r"\r\n|[\n\r\f\v]")


def open_document(path: str | Path | bytes, source: str | None = None) -> Document:
    """A PDF or a text from a file, "-" (standard input) or its bytes; `source` is what messages call it.

    A PDF's pages are measured in points, their lines come from its text layer. A text is one page whose boxes count
    characters and lines. InputError: what `open_input` refuses, neither PDF nor text, a password, damaged, more than
    20 MB of text, 256 MB of PDF or 2000 pages.
    """
    if isinstance(path, bytes):
        label = source or "the document"
        if not path:
            raise InputError(label, "is empty")
        return _document(path, label)
    label = source or source_name(path)
    with open_input(path) as stream:
        head = peek(stream, HEAD_BYTES)
        if is_pdf(head) and not is_stream(stream):
            from mmcli.media.pdf import open_pdf

            return open_pdf(partial(open_input, path), label)
        if not is_pdf(head) and not is_text(head):
            raise _neither(label)
        return _document(read_limited(stream, label, MAX_PDF_BYTES if is_pdf(head) else MAX_TEXT_BYTES), label)


def read_text(path: str | Path) -> str:
    """The whole text of a file or of "-" (standard input), in UTF-8, UTF-16, UTF-32 or an 8-bit encoding.

    Colours and cursor movements of a terminal are left out. InputError: what `open_input` refuses, no text, 20 MB.
    """
    label = source_name(path)
    with open_input(path) as stream:
        text = _decoded(read_limited(stream, label, MAX_TEXT_BYTES), final=True)
    if text is None:
        raise InputError(label, "is no text", "save it as plain text in UTF-8 first")
    return _ESCAPES.sub("", text)


def is_pdf(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a PDF."""
    return _PDF in head[:_PDF_WITHIN]


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a text, in UTF-8, UTF-16, UTF-32 or an 8-bit encoding."""
    return _decoded(head, final=False) is not None


def _document(data: bytes, label: str) -> Document:
    if is_pdf(data):
        from mmcli.media.pdf import open_pdf

        return open_pdf(lambda: data, label)
    if len(data) > MAX_TEXT_BYTES:
        raise too_large(label, MAX_TEXT_BYTES)
    text = _decoded(data, final=True)
    if text is None:
        raise _neither(label)
    page = _text_page(_ESCAPES.sub("", text))
    return Document(label, 1, partial(_one, page))


def _neither(label: str) -> InputError:
    return InputError(label, "is neither a PDF nor a text", "save it as PDF first")


def _one(page: Page) -> Iterator[Page]:
    yield page


def _text_page(text: str) -> Page:
    rows = [_CONTROLS.sub("\ufffd", row.replace("\t", "    ")).rstrip() for row in _LINE_BREAKS.split(text)]
    while rows and not rows[-1]:
        rows.pop()
    lines = []
    for number, row in enumerate(rows):
        words = row.lstrip()
        if words:
            lines.append(TextLine(words, (len(row) - len(words), number, len(row), number + 1)))
    return Page(1, max((len(row) for row in rows), default=0), len(rows), tuple(lines))


def _decoded(data: bytes, *, final: bool) -> str | None:
    """The text of some bytes, None where they are none; `final` is False where they may end within a character."""
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            return _plain(data, encoding, final)
    # UTF-16 without a mark: in most languages every other byte of it is often zero.
    if b"\0" in data:
        even, odd = data[::2].count(0), data[1::2].count(0)
        if max(even, odd) < len(data) // 5 or min(even, odd) > max(even, odd) // 10:
            return None
        return _plain(data, "utf-16-le" if odd > even else "utf-16-be", final)
    text = _plain(data, "utf-8", final)
    if text is not None:
        return text
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A stray byte in much UTF-8 is a damaged place, not another encoding.
        ascii_only = data[: error.start].isascii()
        if not ascii_only and len(data) > 1000:
            return _checked(data.decode("utf-8", "replace"))
    # cp1252 is Latin-1 with typographic quotes; the five bytes that it lacks stay what they are in Latin-1.
    return _plain(data, "cp1252", final) or _plain(data, "latin-1", final)


def _plain(data: bytes, encoding: str, final: bool) -> str | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return _checked(decoder.decode(data, final))
    except UnicodeDecodeError:
        return None


def _checked(text: str) -> str | None:
    """The text, or None where it has control characters as only programs write them."""
    controls = len(_CONTROLS.findall(_ESCAPES.sub("", text)))
    return None if "\0" in text or controls * 100 > len(text) else text
