"""Values found by their labels: beside, below or above them, in a row and a column of a table, by a chart's legend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import values
from mmcli.engines.backbone.reader.match import SAME, best, misheard, similar, tokens
from mmcli.engines.backbone.reader.words import HINTS, OPPOSITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcli.engines.backbone.reader.question import Question
    from mmcli.engines.backbone.reader.sheet import Cell, Sheet

# A longer cell is running text; prose.py reads it.
_LABEL_WORDS = 9
_MOST_LABELS = 150


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer: its words, where they stand ('beside "TOTAL"'), how sure, and which words were taken for others."""

    value: str
    where: str
    score: float
    heard: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hits:
    """For each word of the question the cells in which it is written, with its likeness there."""

    cells: Mapping[str, Mapping[Cell, float]]
    heard: tuple[tuple[str, str], ...]

    def has(self, word: str) -> bool:
        return bool(self.cells.get(word))

    def count(self, cell: Cell) -> int:
        return sum(cell in found for found in self.cells.values())


@dataclass(frozen=True, slots=True)
class _Value:
    """A candidate: a value written in a cell; `whole` when it is all of the cell."""

    text: str
    cell: Cell
    rank: int
    """0 for the kind that is wanted most."""
    whole: bool


def look_up(question: Question, sheet: Sheet) -> Hits:
    """Where the words of a question are written on a sheet."""
    cells = list(sheet.cells)
    words = {*question.strong, *question.weak}
    if question.asked:
        words.add(question.asked)
    found = {word: _places(word, cells) for word in words}
    heard = []
    every = {token for cell in cells for token in cell.words}
    for word in question.strong:
        if found[word]:
            continue
        for other in (_joined(word, question.words, every), misheard(word, every)):
            if other is not None:
                found[word] = {cell: SAME for cell in cells if other in cell.words}
                heard.append((word, other))
                break
    return Hits(found, tuple(heard))


def _places(word: str, cells: Iterable[Cell]) -> dict[Cell, float]:
    scores = {cell: best(word, cell.words) for cell in cells}
    top = max(scores.values(), default=0.0)
    # where a word stands as it was asked for, similar ones are other words
    least = max(SAME, top - 0.12)
    return {cell: score for cell, score in scores.items() if score >= least}


def _joined(word: str, words: tuple[str, ...], every: Iterable[str]) -> str | None:
    """A token that the word and its neighbour in the question make together ("sub total")."""
    at = words.index(word) if word in words else -1
    pairs = [words[at - 1] + word] if at > 0 else []
    if 0 <= at < len(words) - 1:
        pairs.append(word + words[at + 1])
    return next((token for pair in pairs for token in every if len(pair) > 3 and similar(pair, token) >= 0.85), None)


def needed(question: Question, hits: Hits) -> tuple[str, ...]:
    """The words that have to be written beside the answer."""
    words = tuple(word for word in question.strong if word != question.asked or hits.has(word))
    if not words and not question.strong:
        words = tuple(word for word in question.weak if hits.has(word))[:2]
    if not words and "money" in question.types:
        return ("total",)
    return words


def find(question: Question, sheet: Sheet, hits: Hits) -> list[Finding]:
    """The best findings of a sheet, equals of different rows included; empty where nothing fits."""
    need = needed(question, hits)
    if need == ("total",) and not hits.has("total"):
        hits = Hits({**hits.cells, "total": _places("total", sheet.cells)}, hits.heard)
    missing = [word for word in need if not hits.has(word)]
    if not need or (missing and not (len(missing) == 1 and len(need) >= 4)):
        return []
    if question.asked and not question.types and question.asked in question.strong and not hits.has(question.asked):
        return []
    need = tuple(word for word in need if word not in missing)
    labels = sorted(
        {cell for word in need for cell in hits.cells[word] if len(cell.words) <= _LABEL_WORDS},
        key=lambda cell: (-hits.count(cell), cell.row),
    )[:_MOST_LABELS]
    scored: dict[tuple[str, Cell], tuple[float, Finding]] = {}
    for value in _candidates(question, sheet, labels):
        judged = _judge(value, question, sheet, hits, need)
        if judged is not None and judged.score > scored.get((value.text, value.cell), (0.0,))[0]:
            scored[value.text, value.cell] = (judged.score - 0.15 * len(missing), judged)
    return _top(scored)


def _top(scored: Mapping[tuple[str, Cell], tuple[float, Finding]]) -> list[Finding]:
    ordered = sorted(scored.items(), key=lambda item: (-item[1][0], item[0][1].row, -item[0][1].left))
    result: list[Finding] = []
    rows = set()
    for (_, cell), (score, finding) in ordered:
        if score < ordered[0][1][0] - 0.01 or len(result) == 3:
            break
        if cell.row not in rows and finding.value not in {other.value for other in result}:
            rows.add(cell.row)
            result.append(finding)
    return result


def _candidates(question: Question, sheet: Sheet, labels: list[Cell]) -> Iterator[_Value]:
    seen: set[Cell] = set()
    for label in labels:
        near = [*sheet.rows[label.row], *column(sheet, label), *sheet.series.get(label, ())]
        for cell in near:
            if cell not in seen:
                seen.add(cell)
                yield from _values(question, cell)


def _values(question: Question, cell: Cell) -> Iterator[_Value]:
    asked = set(question.words)
    for rank, kind in enumerate(question.types or ("any",)):
        if kind in ("any", "name"):
            letters = sum(c.isalpha() for c in cell.text) > 1 and not values.is_value(cell.text)
            if kind == "any" or letters:
                yield from _texts(question, cell)
            continue
        for match in values.find(kind, cell.text):
            text = match.group().strip()
            # what the question itself says is no answer to it
            if not set(tokens(text)) <= asked:
                yield _Value(text, cell, rank, whole=len(text) > 0.8 * len(cell.text))


def _texts(question: Question, cell: Cell) -> Iterator[_Value]:
    if not set(cell.words) - set(question.words):
        return
    label, colon, rest = cell.text.partition(":")
    if colon and rest.strip() and any(best(word, tokens(label)) >= SAME for word in question.words):
        yield _Value(rest.strip(), cell, 0, whole=False)
    else:
        yield _Value(cell.text, cell, 0, whole=True)


def column(sheet: Sheet, label: Cell, reach: int = 60) -> list[Cell]:
    """The cells of the rows around that stand in the column of a cell, as long as the column goes on."""
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
            else:
                gaps += 1
            row += step
    return result


def _overlap(one: Cell, other: Cell) -> bool:
    shared = min(one.right, other.right) - max(one.left, other.left)
    return shared > 0.3 * min(one.width, other.width)


def _judge(value: _Value, question: Question, sheet: Sheet, hits: Hits, need: tuple[str, ...]) -> Finding | None:
    """How well the words of the question describe a value by where they stand; None where one does not."""
    total, used = 0.0, []
    for word in need:
        chosen = max(
            ((_weight(value, cell, question, sheet) * score, cell) for cell, score in hits.cells[word].items()),
            key=lambda item: item[0],
            default=(0.0, value.cell),
        )
        if chosen[0] <= 0:
            return None
        total += chosen[0]
        used.append(chosen[1])
    if max(_weight(value, cell, question, sheet) for cell in used) < 0.6:
        return None
    score = total / len(need)
    heads = _heads(value, sheet)
    if _opposite(question, value, heads):
        return None
    if any(best(hint, cell.words) >= SAME for hint in HINTS.get(question.words[0], ()) for cell in heads):
        score += 0.15
    for word in {*question.weak, question.asked} - set(need):
        named = [cell for cell in hits.cells.get(word, ()) if _weight(value, cell, question, sheet) >= 0.6]
        if named and value.cell not in named:
            score += 0.12 if word == question.asked or len(named[0].words) <= 2 else 0.05
            used.append(named[0])
    nearest = max(used[: len(need)], key=lambda cell: _weight(value, cell, question, sheet))
    score -= 0.15 * _extra(nearest, value, need) + 0.08 * value.rank
    if not value.whole and value.cell not in used:
        # a number out of another thing's name
        score -= 0.1
    return Finding(value.text, _where(value, used), score, hits.heard)


def _extra(label: Cell, value: _Value, need: tuple[str, ...]) -> float:
    """The share of a label's words that the question does not have: "total tax" is not the "total"."""
    if label is value.cell and value.whole:
        return 0.0
    own = set(tokens(value.text)) if value.cell is label else set()
    rest = [word for word in label.words if word not in own and not word[0].isdigit() and len(word) > 1]
    return sum(best(word, need) < SAME for word in rest) / len(rest) if rest else 0.0


def _heads(value: _Value, sheet: Sheet) -> list[Cell]:
    """The cells that may name what a value is: its own, the one before it, and the head of its column."""
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


def _opposite(question: Question, value: _Value, heads: list[Cell]) -> bool:
    """Whether a value is labelled as the opposite of what is asked; a range of times has both its ends."""
    if re.search(r"\d.*(?:-|–|\bto\b).*\d", value.text):
        return False
    asked, written = set(question.words), {word for cell in heads for word in cell.words}
    return any(
        asked & this and written & that and not written & this
        for one, other in OPPOSITES
        for this, that in ((one, other), (other, one))
    )


def _weight(value: _Value, label: Cell, question: Question, sheet: Sheet) -> float:
    """How strongly a word in one cell says what the value in another one is, 0 to 1."""
    cell = value.cell
    typed = bool(question.types) and question.types != ("name",)
    if cell in sheet.series.get(label, ()):
        return 0.97
    if label is cell:
        # the whole of a cell is no value of its own label, but the name of a road is "Mill Road"
        return 0.0 if value.whole and not (question.types == ("name",) and len(cell.words) > 1) else 1.0
    if label.row == cell.row:
        return 0.0 if question.relation in ("below", "above") else _in_row(label, cell, sheet, typed)
    return _in_column(label, cell, question, sheet, typed)


def _in_row(label: Cell, cell: Cell, sheet: Sheet, typed: bool) -> float:
    row = sheet.rows[cell.row]
    if label.left > cell.left:
        # "3 Coffee", or the row head of what stands further right
        return 0.9 if typed or row.index(label) - row.index(cell) == 1 else 0.8
    between = row[row.index(label) + 1 : row.index(cell)]
    if any(other.text.endswith(":") for other in between):
        return 0.3
    return max(0.9, 1.0 - 0.02 * sum(not values.is_value(other.text) for other in between))


def _in_column(label: Cell, cell: Cell, question: Question, sheet: Sheet, typed: bool) -> float:
    below = cell.row > label.row
    if question.relation and question.relation != ("below" if below else "above"):
        return 0.0
    if _overlap(label, cell):
        between = [other for other in column(sheet, label) if _between(other.row, label.row, cell.row)]
        adjacent = not any(_overlap(other, cell) for other in between)
        if below:
            head = label.row == 0 or len(sheet.rows[label.row]) > 1
            if adjacent:
                return 0.95 if typed or question.relation or head else 0.8
            # a head of a column stays its head all the way down, unless text of another kind comes between
            same = all(values.is_value(other.text) == values.is_value(cell.text) for other in between)
            return 0.93 if head and same and not question.relation else 0.45
        if adjacent and (typed or question.relation):
            return 0.85
        if typed and all(not values.is_value(other.text) for other in between):
            return 0.7
    if typed and not below and any(cell in ends for ends in sheet.series.values()):
        # bars side by side share the name below them
        named = min(sheet.rows[label.row], key=lambda other: abs(other.x - cell.x))
        return 0.85 if named is label else 0.0
    # a heading says something about all that stands below it
    return 0.5 if below and (len(sheet.rows[label.row]) == 1 or label.row < 3) else 0.0


def _between(row: int, one: int, other: int) -> bool:
    return min(one, other) < row < max(one, other)


def _where(value: _Value, labels: list[Cell]) -> str:
    """The place of a value in words: 'beside "Hamburg", below "Departure"'."""
    parts: dict[str, None] = {}
    for label in labels:
        if label is value.cell:
            parts = {f'in "{label.text}"': None} | parts
        elif label.row == value.cell.row:
            parts[f'beside "{label.text}"'] = None
        elif label.row < value.cell.row:
            parts[f'below "{label.text}"'] = None
        else:
            parts[f'above "{label.text}"'] = None
    return ", ".join(list(parts)[:3])


def only_value(question: Question, sheet: Sheet, hits: Hits) -> list[Finding]:
    """The values of the wanted kind where no label is needed: the only one of the sheet, or, asked for plainly, all."""
    strong = [word for word in question.strong if word != question.asked or hits.has(word)]
    if not all(hits.has(word) for word in strong) or not question.types or question.relation:
        return []
    for kind in question.types:
        if kind == "name":
            continue
        found = [
            (match.group().strip(), cell)
            for cell in sheet.cells
            for match in values.find(kind, cell.text)
            if not set(tokens(match.group())) <= set(question.words)
        ]
        different = dict(found)
        if len(different) == 1 or (different and not strong and len(different) <= 5):
            return [Finding(text, f'in "{cell.text}"', 0.5, hits.heard) for text, cell in different.items()]
        if different:
            return []
    return []
