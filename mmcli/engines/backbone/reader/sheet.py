"""What the reader knows of one picture or page: its cells of text in rows, its printed codes, its chart."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader.match import tokens
from mmcli.text import visible

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping

    from mmcli.engines.backbone.reader.codes import Code
    from mmcli.stages import Document, Image, TextLine


# How far apart the columns of comma-separated text are put, in heights of a line.
_COLUMN = 100


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A piece of text that stands by itself, its box in the units of the sheet (y downwards) and its row's number."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    words: tuple[str, ...]
    row: int = 0

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def x(self) -> float:
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        return (self.top + self.bottom) / 2


Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """One picture or one page of a document.

    `series` tells for cells of a chart's legend which cells are their values, `prose` which are lines of running text.
    """

    name: str
    """What the user calls it, with the page where there are several."""
    width: float
    height: float
    rows: tuple[Row, ...] = ()
    codes: tuple[Code, ...] = ()
    series: Mapping[Cell, tuple[Cell, ...]] = field(default_factory=dict)
    prose: frozenset[Cell] = frozenset()

    @property
    def cells(self) -> Iterable[Cell]:
        return (cell for row in self.rows for cell in row)

    @property
    def letter(self) -> float:
        """The usual height of a line."""
        heights = [cell.height for cell in self.cells]
        return statistics.median(heights) if heights else 1.0


def clean(text: str) -> str:
    """Text in one line that is safe for a terminal."""
    return " ".join(visible(" ".join(text.split())).split())


def name_of(part: Image | Document) -> str:
    """What answers call an attachment: its file name without the folders."""
    return clean(PurePath(part.source).name) or "the attachment"


def make_rows(lines: Iterable[TextLine], cut: re.Pattern[str] | None = None) -> tuple[Row, ...]:
    """Cells of lines, grouped into rows from top to bottom, each from left to right.

    `cut` parts a line of a plain text into cells; such a line's box counts characters and lines.
    """
    cells = [cell for line in lines for cell in _cells(line, cut)]
    cells.sort(key=lambda cell: (cell.y, cell.left))
    rows: list[list[Cell]] = []
    for cell in cells:
        # beside text of several sizes the smaller one decides; only the last rows can still reach this far down
        fitting = (row for row in reversed(rows[-8:]) if _beside(row, cell))
        row = next(fitting, None)
        if row is None:
            rows.append([cell])
        else:
            row.append(cell)
    rows.sort(key=lambda row: min(cell.y for cell in row))
    return tuple(
        tuple(_numbered(cell, number) for cell in sorted(row, key=lambda cell: cell.left))
        for number, row in enumerate(rows)
    )


def _cells(line: TextLine, cut: re.Pattern[str] | None) -> Iterable[Cell]:
    left, top, right, bottom = line.box
    if cut is None:
        text = clean(line.text)
        if text:
            yield Cell(text, left, top, right, bottom, tokens(text))
        return
    cuts = list(cut.finditer(line.text))
    # columns parted by spaces stand where they stand, those parted by commas, tabs or bars are put below each other
    parted = any(match.group().strip() or "\t" in match.group() for match in cuts)
    start = 0
    for number, (stop, following) in enumerate([*(match.span() for match in cuts), (len(line.text), len(line.text))]):
        text = clean(line.text[start:stop])
        # a letter is about half as wide as its line is high
        at = left + (number * _COLUMN if parted else start / 2)
        if any(c.isalnum() for c in text):
            yield Cell(
                text, at, top, at + (min(len(text) / 2, _COLUMN - 1) if parted else len(text) / 2), bottom, tokens(text)
            )
        start = following


def _beside(row: list[Cell], cell: Cell) -> bool:
    # the nearest one in x, so that a row may slope a little
    near = min(row, key=lambda other: max(other.left - cell.right, cell.left - other.right))
    if min(near.right, cell.right) - max(near.left, cell.left) > 0.3 * min(near.width, cell.width):
        return False
    overlap = min(near.bottom, cell.bottom) - max(near.top, cell.top)
    return overlap > 0.5 * min(near.height, cell.height)


def _numbered(cell: Cell, row: int) -> Cell:
    return Cell(cell.text, cell.left, cell.top, cell.right, cell.bottom, cell.words, row)
