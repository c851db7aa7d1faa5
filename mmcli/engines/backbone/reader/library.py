"""Attachments turned into sheets, each once: what was read of a picture is kept for the next questions."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import layout
from mmcli.engines.backbone.reader.chart import series
from mmcli.engines.backbone.reader.codes import read_codes
from mmcli.engines.backbone.reader.sheet import Sheet, make_rows, name_of
from mmcli.media.ocr import Ocr
from mmcli.stages import Document, Image, TextLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import PIL.Image

    from mmcli.stages import Page

# Pictures and scanned pages that are kept; a sheet is some kilobytes, but it also keeps its attachment alive.
_KEPT = 64
_SCAN_WIDTH = 1600
# A page with less text than this may be a scan with a stamp or a page number laid over it.
_FEW_CHARACTERS = 40
# Plain text comes as one page; it is looked at in pieces of so many lines.
_PIECE_LINES = 1000

_TABLE = re.compile(r"\s*\|\s*|\t+|\s{2,}")
_CSV = re.compile(r"\s*[,;\t]\s*")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A picture, a page or a piece of a text. `sheet(codes)` must be called before the next leaf is taken."""

    number: int
    costly: bool
    """Whether it has to be recognised first."""
    sheet: Callable[[bool], Sheet]


class Library:
    def __init__(self) -> None:
        self._ocr = Ocr()
        self._lock = threading.Lock()
        # the attachment is held beside its sheet, so that its id belongs to no other object meanwhile
        self._kept: OrderedDict[tuple[int, int], tuple[object, Sheet]] = OrderedDict()

    def leaves(self, part: Image | Document) -> Iterator[Leaf]:
        """The leaves of an attachment, one at a time."""
        if isinstance(part, Image):
            yield Leaf(1, self._get(part, 0) is None, lambda codes: self._picture(part, 0, name_of(part), part.pixels))
            return
        for page in part.pages():
            name = f"page {page.number} of {name_of(part)}" if part.page_count > 1 else name_of(part)
            if page.render is None:
                yield from _pieces(page, name)
            else:
                yield self._page(part, page, name, page.render)

    def _page(self, document: Document, page: Page, name: str, render: Callable[[int], PIL.Image.Image]) -> Leaf:
        written = sum(len(line.text) for line in page.lines)
        sheet = _complete(Sheet(name, page.width, page.height, make_rows(page.lines)))

        def scanned() -> Sheet:
            return self._picture(document, page.number, name, lambda: render(_SCAN_WIDTH))

        def read(codes: bool) -> Sheet:
            if written >= _FEW_CHARACTERS:
                return replace(sheet, codes=scanned().codes) if codes else sheet
            scan = scanned()
            return scan if sum(len(cell.text) for cell in scan.cells) > written else replace(sheet, codes=scan.codes)

        costly = written < _FEW_CHARACTERS and self._get(document, page.number) is None
        return Leaf(page.number, costly, read)

    def _picture(self, owner: object, number: int, name: str, pixels: Callable[[], PIL.Image.Image]) -> Sheet:
        kept = self._get(owner, number)
        if kept is not None:
            return kept
        picture = pixels()
        codes = read_codes(picture)
        # letters that the recogniser sees in the pattern of a code are none
        lines = [line for line in self._ocr.lines(picture) if not any(_inside(line, code.box) for code in codes)]
        rows = make_rows(lines)
        sheet = _complete(Sheet(name, picture.width, picture.height, rows, codes, series(picture, rows)))
        with self._lock:
            self._kept[id(owner), number] = (owner, sheet)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return sheet

    def _get(self, owner: object, number: int) -> Sheet | None:
        with self._lock:
            entry = self._kept.get((id(owner), number))
            if entry is None:
                return None
            self._kept.move_to_end((id(owner), number))
            return entry[1]


def _pieces(page: Page, name: str) -> Iterator[Leaf]:
    cut = _CSV if name.casefold().endswith((".csv", ".tsv")) else _TABLE
    for start in range(0, max(1, len(page.lines)), _PIECE_LINES):
        # half a line high is a letter wide: the columns of the box count letters
        lines = [_narrow(line) for line in page.lines[start : start + _PIECE_LINES]]
        sheet = _complete(Sheet(name, page.width / 2, page.height, make_rows(lines, cut)))
        yield Leaf(page.number, False, lambda codes, sheet=sheet: sheet)  # type: ignore[misc]


def _complete(sheet: Sheet) -> Sheet:
    return replace(sheet, prose=layout.prose(sheet))


def _narrow(line: TextLine) -> TextLine:
    left, top, right, bottom = line.box
    return TextLine(line.text, (left / 2, top, right / 2, bottom))


def _inside(line: TextLine, box: tuple[float, float, float, float]) -> bool:
    x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
    # the lines of a bar code have digits below them, which lie outside
    return box[0] < x < box[2] and box[1] < y < box[3]
