"""The natural reading order of a sheet: columns, paragraphs, tables row by row, the heading."""

from __future__ import annotations

import math
import re
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader.sheet import Cell, Row, Sheet, make_rows
from mmcli.stages import TextLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SENTENCE_END = (".", "!", "?", ":", "。", "！", "？")
# Columns of running text have lines of at least so many characters; shorter cells side by side are a table.
_COLUMN = 16
_HEADING = 1.25
# Shorter paragraphs may be headings or labels in two lines.
_PROSE = 10
# a heading of Markdown
_MARKED = re.compile(r"#{1,6}\s+")


def reading(sheet: Sheet, tables: bool = True) -> Iterator[str]:
    """The text of a sheet: paragraphs joined again, other lines as they stand, the cells of a row with commas.

    Without `tables` rows of several cells are left out.
    """
    for rows in blocks(sheet):
        for first, *others in _paragraphs(rows):
            if len(first) > 1 and not tables:
                continue
            text = row_text(first)
            for row in others:
                text = _join(text, row[0].text)
            yield text


def lines(sheet: Sheet) -> list[str]:
    """The visual lines in reading order."""
    return [row_text(row) for rows in blocks(sheet) for row in rows]


def row_text(row: Iterable[Cell]) -> str:
    """A row as it is read out."""
    parts = [cell.text for cell in row]
    return " ".join(part if part.endswith((",", ":", ";")) or part == parts[-1] else f"{part}," for part in parts)


def heading(sheet: Sheet) -> list[Cell]:
    """The cells of the heading: the tallest lines where they stand out, else a short line alone at the top; or none."""
    marked = [cell for cell in sheet.cells if _MARKED.match(cell.text)]
    if marked:
        return marked[:1]
    rows = [row for row in sheet.rows if len(row) == 1 and sum(c.isalpha() for c in row[0].text) > 2]
    if not rows:
        return []
    usual = statistics.median(_size(cell) for cell in sheet.cells)
    tallest = max((row[0] for row in rows), key=_size)
    if _size(tallest) >= _HEADING * usual and len(sheet.rows) > 1:
        start = next(i for i, row in enumerate(rows) if _size(row[0]) > 0.88 * _size(tallest))
        found = [rows[start][0]]
        for row in rows[start + 1 :]:
            cell, last = row[0], found[-1]
            if _size(cell) < 0.85 * _size(last) or cell.top - last.bottom > last.height:
                break
            found.append(cell)
        return found
    first = rows[0][0]
    alone = len(sheet.rows[0]) == 1 and len(sheet.rows) > 2 and first.row == 0
    short = len(first.words) <= 10 and not first.text.endswith(_SENTENCE_END)
    gaps = [below[0].top - above[0].bottom for above, below in pairwise(sheet.rows)]
    if alone and short and (len(sheet.rows[1]) > 1 or gaps[0] > statistics.median(gaps[1:]) + 0.3 * sheet.letter):
        return [first]
    return []


def _size(cell: Cell) -> float:
    """The size of the letters: boxes of capitals alone are as high as those of smaller letters with tails."""
    return math.sqrt(cell.height * 2 * cell.width / max(1, len(cell.text)))


def blocks(sheet: Sheet) -> list[tuple[Row, ...]]:
    """The rows of a sheet in reading order, column by column where there are columns of running text."""
    return [rows for rows in _split(sheet.rows, sheet.letter, 0) if rows]


def _split(rows: tuple[Row, ...], letter: float, depth: int) -> list[tuple[Row, ...]]:
    gutter = _gutter(rows, letter) if depth < 4 else None
    if gutter is None:
        return [rows]
    result: list[tuple[Row, ...]] = []
    band: list[Cell] = []

    def flush() -> None:
        for side in ([c for c in band if c.x < gutter], [c for c in band if c.x >= gutter]):
            if side:
                result.extend(_split(_again(side), letter, depth + 1))
        band.clear()

    for row in rows:
        if any(cell.left < gutter < cell.right for cell in row):
            flush()
            result.append((row,))
        else:
            band.extend(row)
    flush()
    return _merged(result, rows, gutter)


def _merged(parts: list[tuple[Row, ...]], rows: tuple[Row, ...], gutter: float) -> list[tuple[Row, ...]]:
    """Rows that span the columns joined to one block again where they follow each other."""
    spanning = {row[0] for row in rows if any(cell.left < gutter < cell.right for cell in row)}
    result: list[tuple[Row, ...]] = []
    for part in parts:
        if result and part[0][0] in spanning and result[-1][-1][0] in spanning:
            result[-1] = (*result[-1], *part)
        else:
            result.append(part)
    return result


def _again(cells: list[Cell]) -> tuple[Row, ...]:
    """Rows of some of the cells; two columns whose lines are not level make one crooked row otherwise."""
    by_box = {(c.left, c.top, c.right, c.bottom): c for c in cells}
    rows = make_rows([TextLine(c.text, (c.left, c.top, c.right, c.bottom)) for c in cells])
    return tuple(tuple(by_box[c.left, c.top, c.right, c.bottom] for c in row) for row in rows)


def _gutter(rows: tuple[Row, ...], letter: float) -> float | None:
    """Where a gap parts two columns of running text that few lines cross; None where there is no such gap."""
    cells = [cell for row in rows for cell in row]
    if len(cells) < 6 or len(cells) > 800:
        return None
    best: tuple[int, float, float] | None = None
    for edge in sorted({round(cell.left) for cell in cells}):
        at = edge - 0.5 * letter
        left = [cell for cell in cells if cell.right <= at]
        right = [cell for cell in cells if cell.left >= at]
        crossing = len(cells) - len(left) - len(right)
        if min(len(left), len(right)) < 3 or crossing > 0.25 * len(cells):
            continue
        if not _is_text(left) or not _is_text(right):
            continue
        width = min(cell.left for cell in right) - max(cell.right for cell in left)
        if best is None or (crossing, -width) < best[:2]:
            best = (crossing, -width, min(cell.left for cell in right) - width / 2)
    return best[2] if best else None


def _is_text(cells: list[Cell]) -> bool:
    return statistics.median(len(cell.text) for cell in cells) >= _COLUMN


def prose(sheet: Sheet) -> frozenset[Cell]:
    """The cells that are lines of running text: those of paragraphs of several lines."""
    return frozenset(
        cell
        for rows in blocks(sheet)
        for paragraph in _paragraphs(rows)
        if len(paragraph) > 1 and sum(len(row[0].words) for row in paragraph) >= _PROSE
        for row in paragraph
        for cell in row
    )


def _paragraphs(rows: tuple[Row, ...]) -> Iterator[list[Row]]:
    """Rows that belong together; a row of several cells is always alone."""
    right = max(cell.right for row in rows for cell in row)
    paragraph: list[Row] = []
    for row in rows:
        if paragraph and not _goes_on(paragraph[-1], row, right):
            yield paragraph
            paragraph = []
        paragraph.append(row)
    if paragraph:
        yield paragraph


def _goes_on(last: Row, row: Row, right: float) -> bool:
    """Whether a line continues the paragraph of the line before."""
    if len(last) > 1 or len(row) > 1:
        return False
    above, below = last[0], row[0]
    ratio = below.height / max(above.height, 1e-6)
    if not 0.7 < ratio < 1.4 or below.top - above.bottom > 0.9 * above.height:
        return False
    if above.text.endswith(":") or _is_list(below.text):
        return False
    if below.text[0].islower() and not above.text.endswith(_SENTENCE_END):
        return True
    # the first word of the next line would not have fitted into this one
    first = below.width * (len(below.text.split()[0]) + 1) / max(1, len(below.text))
    return len(above.words) >= 4 and above.right + first > right - 0.5 * above.height


def _is_list(text: str) -> bool:
    return text[:2] in ("- ", "* ", "• ", "– ") or (text[:1].isdigit() and text[1:3] in (". ", ") "))


def _join(text: str, following: str) -> str:
    if text.endswith("-") and text[-2:-1].isalpha() and following[:1].islower():
        return text[:-1] + following
    return f"{text} {following}"
