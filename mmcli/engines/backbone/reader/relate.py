"""How strongly the words in one cell say what the value in another one is: by the row, the column, a chart's legend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import values
from mmcli.engines.backbone.reader.match import SAME, best
from mmcli.engines.backbone.reader.words import HINTS, OPPOSITES

if TYPE_CHECKING:
    from mmcli.engines.backbone.reader.question import Question
    from mmcli.engines.backbone.reader.sheet import Cell, Sheet

# From here on a cell names a value; below, it only says what the whole is about.
NAMES = 0.6
_ABOUT = 0.5
_RANGE = re.compile(r"\d.*(?:-|–|\bto\b).*\d")
_ADDRESS_WORDS = 3


@dataclass(frozen=True, slots=True)
class Value:
    """A candidate: a value written in a cell; `whole` when it is all of the cell."""

    text: str
    cell: Cell
    rank: int
    """0 for the kind that is wanted most."""
    whole: bool


def column(sheet: Sheet, label: Cell, reach: int = 60) -> list[Cell]:
    """The cells of the rows below, then above, that stand in the column of a cell, as long as the column goes on."""
    result: list[Cell] = []
    for step in (1, -1):
        last, gaps, row = label, 0, label.row + step
        while 0 <= row < len(sheet.rows) and abs(row - label.row) <= reach and gaps < 3:
            inside = [cell for cell in sheet.rows[row] if _overlap(cell, label) or _overlap(cell, last)]
            if inside:
                cell = max(inside, key=lambda c: min(c.right, label.right) - max(c.left, label.left))
                result.append(cell)
                # a line across all columns belongs to none
                last, gaps = (cell if len(sheet.rows[row]) > 1 else last), 0
            elif len(sheet.rows[row]) > 1:
                # a lone cell elsewhere is no row of a table: values above bars stand at heights of their own
                gaps += 1
            row += step
    return result


def weight(value: Value, label: Cell, question: Question, sheet: Sheet) -> float:
    """0 where the label has nothing to do with the value, 1 where it is its very name."""
    cell = value.cell
    typed = bool(question.types) and question.types != ("name",)
    if cell in sheet.series.get(label, ()):
        return 0.97
    if label is cell:
        # the whole of a cell is no value of its own label, but the name of a road is "Mill Road"
        named = question.types == ("name",) or (not typed and question.strong == (question.asked,))
        return 0.0 if value.whole and not (named and len(cell.words) > 1) else 1.0
    if typed and not values.is_value(label.text) and any(values.find(question.types[0], label.text)):
        # a label that has its value with it names no other
        return 0.0
    if label.row == cell.row:
        return 0.0 if question.relation in ("below", "above") else _in_row(label, cell, question, sheet)
    return _in_column(label, cell, question, sheet)


def heads(value: Value, sheet: Sheet) -> list[Cell]:
    """The cells that may name what a value is: its own, the one before it, and those of its column above."""
    row = sheet.rows[value.cell.row]
    before = row[: row.index(value.cell)][-1:]
    above = [
        cell
        for cell in column(sheet, value.cell)
        if cell.row < value.cell.row
        and not values.is_value(cell.text)
        and (len(sheet.rows[cell.row]) > 1 or len(row) == 1)
    ]
    return [*([] if value.whole else [value.cell]), *before, *above]


def hinted(question: Question, value: Value, sheet: Sheet) -> bool:
    """Whether a value's head is what the question word asks for: a destination for "where"."""
    hints = HINTS.get(question.words[0], ()) if question.words else ()
    return any(best(hint, cell.words) >= SAME for hint in hints for cell in heads(value, sheet))


def opposite(question: Question, value: Value, sheet: Sheet) -> bool:
    """Whether a value is labelled as the opposite of what is asked; a range of times has both its ends."""
    if _RANGE.search(value.text):
        return False
    titles = [row[0] for row in sheet.rows[: value.cell.row] if len(row) == 1 and row[0] not in sheet.prose]
    written = {word for cell in (*heads(value, sheet), *titles) for word in cell.words}
    asked = set(question.words)
    return any(
        asked & this and written & that and not written & this
        for one, other in OPPOSITES
        for this, that in ((one, other), (other, one))
    )


def _overlap(one: Cell, other: Cell) -> bool:
    shared = min(one.right, other.right) - max(one.left, other.left)
    return shared > 0.3 * min(one.width, other.width)


def _in_row(label: Cell, cell: Cell, question: Question, sheet: Sheet) -> float:
    row = sheet.rows[cell.row]
    at, to = row.index(label), row.index(cell)
    typed = bool(question.types) and question.types != ("name",)
    if typed:
        between = row[at + 1 : to]
        if any(other.text.endswith(":") for other in between):
            return 0.3
        # "3 Coffee" has its number before the name
        return 0.9 if to < at else max(0.9, 1.0 - 0.02 * sum(not values.is_value(other.text) for other in between))
    if _headed(cell, question, sheet) or hinted(question, Value("", cell, 0, True), sheet):
        return 0.9
    if to < at:
        # what costs 4.40 is the head of the row
        return 0.85 if to == 0 and values.is_value(label.text) else 0.0
    pair = label.text.endswith(":") or len(row) == 2 or values.is_value(cell.text)
    alike = not values.is_value(cell.text) and not label.text.endswith(":") and _header(row, sheet)
    return 1.0 if to == at + 1 and pair and not alike else 0.0


def _headed(cell: Cell, question: Question, sheet: Sheet) -> bool:
    """Whether the head of a cell's column is in the question."""
    above = [head for head in heads(Value("", cell, 0, True), sheet) if head.row < cell.row]
    return any(best(word, head.words) >= SAME for word in {*question.strong, question.asked} - {""} for head in above)


def _header(row: tuple[Cell, ...], sheet: Sheet) -> bool:
    """Whether the words of a row name columns: values stand right below or above several of them."""
    near = [
        other
        for number in (row[0].row - 1, row[0].row + 1)
        if 0 <= number < len(sheet.rows)
        for other in sheet.rows[number]
    ]
    return sum(any(_overlap(cell, other) and values.is_value(other.text) for other in near) for cell in row) > 1


def _in_column(label: Cell, cell: Cell, question: Question, sheet: Sheet) -> float:
    below = cell.row > label.row
    typed = bool(question.types) and question.types != ("name",)
    if question.relation and question.relation != ("below" if below else "above"):
        return 0.0
    if _overlap(label, cell):
        between = [other for other in column(sheet, label) if _between(other.row, label.row, cell.row)]
        adjacent = not any(_overlap(other, cell) for other in between)
        found = _below(label, cell, between, adjacent, question, sheet) if below else 0.0
        thing = values.is_value(label.text) and not values.is_value(cell.text)
        if not below and adjacent and (typed or question.relation or thing):
            found = 0.85
        elif not below and typed and not any(values.is_value(other.text) for other in between):
            found = 0.7
        if found:
            return found
    if typed and not below and any(cell in ends for ends in sheet.series.values()):
        # bars side by side share the name below them
        return 0.85 if min(sheet.rows[label.row], key=lambda other: abs(other.x - cell.x)) is label else 0.0
    # a heading says something about all that stands below it, the head of a column about what stands beside its values
    return _ABOUT if below and (len(sheet.rows[label.row]) == 1 or _is_head(label, sheet)) else 0.0


def _below(label: Cell, cell: Cell, between: list[Cell], adjacent: bool, question: Question, sheet: Sheet) -> float:
    typed = bool(question.types) and question.types != ("name",)
    head = len(sheet.rows[label.row]) > 1 or len(sheet.rows[cell.row]) == 1
    if adjacent and question.relation:
        return 0.95
    if adjacent and typed:
        return 0.95 if head else _ABOUT
    # the head of a column stays its head all the way down, unless text of another kind comes between
    same = all(values.is_value(other.text) == values.is_value(cell.text) for other in between)
    wanted = typed or not any(values.is_value(other.text) for other in sheet.rows[label.row])
    if same and wanted and not question.relation and _is_head(label, sheet):
        return 0.93
    address = len(cell.words) >= _ADDRESS_WORDS and cell.words[0][0].isdigit()
    table = len(sheet.rows[label.row]) > 1 and values.is_value(label.text) != values.is_value(cell.text)
    return 0.8 if adjacent and (label.text.endswith(":") or address or table) else 0.0


def _is_head(label: Cell, sheet: Sheet) -> bool:
    """Whether a cell begins its column, in a row of several."""
    above = (cell for cell in column(sheet, label) if cell.row < label.row)
    return len(sheet.rows[label.row]) > 1 and not any(len(sheet.rows[cell.row]) > 1 for cell in above)


def _between(row: int, one: int, other: int) -> bool:
    return min(one, other) < row < max(one, other)


def where(value: Value, labels: list[Cell]) -> str:
    """The place of a value in words: 'beside "Hamburg", below "Departure"'."""
    own, parts = "", []
    for label in dict.fromkeys(labels):
        if label is value.cell:
            own = f'in "{label.text}"'
        else:
            place = "beside" if label.row == value.cell.row else "below" if label.row < value.cell.row else "above"
            parts.append(f'{place} "{label.text}"')
    return ", ".join([own, *parts][:3]) if own else ", ".join(parts[:3])
