"""Values found by their labels: the candidates of a sheet, judged by how well the question's words describe them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import values
from mmcli.engines.backbone.reader.match import SAME, best, misheard, similar, tokens
from mmcli.engines.backbone.reader.relate import NAMES, Value, column, heads, hinted, opposite, weight, where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcli.engines.backbone.reader.question import Question
    from mmcli.engines.backbone.reader.sheet import Cell, Sheet

# A longer cell is running text; prose.py reads it.
_LABEL_WORDS = 9
_MOST_LABELS = 150
_EQUAL = 0.01
# A line above or below with more words that were not asked for only happens to hold the one that was.
_STRAY = 0.6
# "3 x Bagel": a count is no price
_QUANTITY = re.compile(r"\d+\s?[x×]\s", re.IGNORECASE)


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


_Scored = dict[tuple[str, "Cell"], tuple[Value, Finding]]


def look_up(question: Question, sheet: Sheet) -> Hits:
    """Where the words of a question are written on a sheet."""
    cells = list(sheet.cells)
    found = {word: _places(word, cells) for word in {*question.strong, *question.weak, question.asked} - {""}}
    heard: dict[str, str] = {}
    every = sorted({token for cell in cells for token in cell.words})
    for word in question.strong:
        if found[word]:
            continue
        for other, said in (_joined(word, question.words, every), (misheard(word, every), word)):
            if other is not None:
                found[word] = {cell: SAME for cell in cells if other in cell.words}
                heard[said] = other
                break
    return Hits(found, tuple(heard.items()))


def _places(word: str, cells: Iterable[Cell]) -> dict[Cell, float]:
    scores = {cell: best(word, cell.words) for cell in cells}
    # where a word stands as it was asked for, similar ones are other words
    least = max(SAME, max(scores.values(), default=0.0) - 0.12)
    return {cell: score for cell, score in scores.items() if score >= least}


def _joined(word: str, words: tuple[str, ...], every: Iterable[str]) -> tuple[str | None, str]:
    """A token that the word and its neighbour in the question make together ("sub total"), and the two."""
    at = words.index(word) if word in words else -1
    pairs = [(words[at - 1], word)] if at > 0 else []
    if 0 <= at < len(words) - 1:
        pairs.append((word, words[at + 1]))
    for one, two in pairs:
        for token in every:
            if len(one + two) > 3 and similar(one + two, token) >= 0.85:
                return token, f"{one} {two}"
    return None, word


def needed(question: Question, hits: Hits) -> tuple[str, ...]:
    """The words that have to be written beside the answer."""
    words = tuple(word for word in question.strong if word != question.asked or hits.has(word))
    if not question.strong:
        words = tuple(word for word in question.weak if hits.has(word))[:2]
        if not words and "money" in question.types:
            return ("total",)
    # "one coffee" is the coffee, unless quantities are written
    counted = any(_QUANTITY.match(cell.text) for cell in hits.cells.get("1", ()))
    return tuple(word for word in words if word != "1" or counted)


def find(question: Question, sheet: Sheet, hits: Hits) -> list[Finding]:
    """The best findings of a sheet, equals of different rows included; empty where nothing fits."""
    need = needed(question, hits)
    if need == ("total",) and not hits.has("total"):
        hits = Hits({**hits.cells, "total": _places("total", sheet.cells)}, hits.heard)
    missing = [word for word in need if not hits.has(word)]
    # the thing that is counted may go without saying where a row and a column are named: how many games the Bears won
    thing = re.search(r"how many (\w+)", question.text)
    few = 3 if thing and missing == list(tokens(thing.group(1))) else 4
    if not need or (missing and not (len(missing) == 1 and len(need) >= few)):
        return []
    if question.asked and not question.types and question.asked in question.strong and not hits.has(question.asked):
        return []
    need = tuple(word for word in need if word not in missing)
    labels = sorted(
        {cell for word in need for cell in hits.cells[word] if _is_label(cell, sheet)},
        key=lambda cell: (-hits.count(cell), cell.row),
    )[:_MOST_LABELS]
    scored: _Scored = {}
    for value in _candidates(question, sheet, labels):
        judged = _judge(value, question, sheet, hits, need)
        former = scored.get((value.text, value.cell))
        if judged is not None and (former is None or judged.score > former[1].score):
            scored[value.text, value.cell] = (value, judged)
    return _top(scored, sheet)


def _is_label(cell: Cell, sheet: Sheet) -> bool:
    return cell not in sheet.prose and len(cell.words) <= _LABEL_WORDS


def _top(scored: _Scored, sheet: Sheet) -> list[Finding]:
    """The best, at most three where they are equal: of different rows, or of columns with different heads."""
    ordered = sorted(scored.values(), key=lambda item: (-item[1].score, item[0].cell.row, -item[0].cell.left))
    equal = [item for item in ordered if item[1].score >= ordered[0][1].score - _EQUAL]
    result: list[tuple[Value, Finding]] = []
    for value, finding in equal:
        told = {other.value for _, other in result}
        alone = sum(other.cell.row == value.cell.row for other, _ in equal) == 1
        if finding.value in told:
            continue
        if not alone and _headed(equal, value.cell.row, sheet):
            head = [cell for cell in heads(value, sheet) if cell.row < value.cell.row][-1]
            result.append((value, replace(finding, where=f'{finding.where}, below "{head.text}"')))
        elif value.cell.row not in {other.cell.row for other, _ in result}:
            result.append((value, finding))
    result.sort(key=lambda item: (item[0].cell.row, item[0].cell.left))
    return [finding for _, finding in result][:3]


def _headed(equal: list[tuple[Value, Finding]], row: int, sheet: Sheet) -> bool:
    """Whether the values of a row stand below heads of their own ("Small", "Large")."""
    mine = [value for value, _ in equal if value.cell.row == row]
    names = [tuple(cell.text for cell in heads(value, sheet) if cell.row < row)[-1:] for value in mine]
    return all(names) and len(set(names)) == len(names)


def _candidates(question: Question, sheet: Sheet, labels: list[Cell]) -> Iterator[Value]:
    seen: set[Cell] = set()
    for label in labels:
        for cell in (*sheet.rows[label.row], *column(sheet, label), *sheet.series.get(label, ())):
            if cell not in seen and _is_label(cell, sheet):
                seen.add(cell)
                yield from _values(question, cell)


def _values(question: Question, cell: Cell) -> Iterator[Value]:
    asked = set(question.words)
    for rank, kind in enumerate(question.types or ("any",)):
        if kind in ("any", "name"):
            letters = sum(c.isalpha() for c in cell.text) > 1 and not values.is_value(cell.text)
            if (kind == "any" and not question.words[0].startswith("where")) or letters:
                yield from _texts(question, cell)
            continue
        if kind == "number" and question.types[0] == "money" and not values.is_value(cell.text):
            continue
        for match in values.find(kind, cell.text):
            text = match.group().strip()
            # what the question itself says is no answer to it
            if not set(tokens(text)) <= asked:
                yield Value(text, cell, rank, whole=len(text) > 0.8 * len(cell.text))


def _texts(question: Question, cell: Cell) -> Iterator[Value]:
    if not set(cell.words) - set(question.words):
        return
    label, colon, rest = cell.text.partition(":")
    if (
        colon
        and rest.strip()
        and not label[-1:].isdigit()
        and any(best(word, tokens(label)) >= SAME for word in question.words)
    ):
        yield Value(rest.strip(), cell, 0, whole=False)
    elif not cell.text.endswith(":"):
        yield Value(cell.text, cell, 0, whole=True)


def _judge(value: Value, question: Question, sheet: Sheet, hits: Hits, need: tuple[str, ...]) -> Finding | None:
    """How well the words of the question describe a value by where they stand; None where one does not."""
    used: list[tuple[float, Cell]] = []
    total = 0.0
    for word in need:
        near = [(weight(value, cell, question, sheet), cell, score) for cell, score in hits.cells[word].items()]
        close, cell, score = max(near, key=lambda item: item[0] * item[2])
        # a number says which row or column is meant, never what a page is about
        if close <= 0 or (word[0].isdigit() and close < NAMES):
            return None
        total += close * score
        used.append((close, cell))
    nearest = max(used, key=lambda item: item[0])
    if nearest[0] < NAMES or opposite(question, value, sheet):
        return None
    labels = [cell for _, cell in used]
    score = total / len(need) + 0.15 * hinted(question, value, sheet)
    for word in dict.fromkeys((*question.weak, question.asked)):
        if not word or word in need:
            continue
        named = [cell for cell in hits.cells.get(word, ()) if weight(value, cell, question, sheet) >= NAMES]
        if named and value.cell not in named:
            score += 0.12 if word == question.asked or len(named[0].words) <= 2 else 0.05
            labels.append(named[0])
    naming = [cell for close, cell in used if close >= NAMES]
    if all(cell.row != value.cell.row and _extra(cell, value, need) > _STRAY for cell in naming):
        return None
    score -= 0.15 * _extra(nearest[1], value, need) + 0.08 * value.rank
    if not value.whole and value.cell not in labels:
        # a number out of another thing's name
        score -= 0.1
    return Finding(value.text, where(value, labels), score, hits.heard)


def _extra(label: Cell, value: Value, need: tuple[str, ...]) -> float:
    """The share of a label's words that the question does not have: "total tax" is not the "total"."""
    if label is value.cell and value.whole:
        return 0.0
    own = set(tokens(value.text)) if value.cell is label else set()
    rest = [word for word in label.words if word not in own and not word[0].isdigit() and len(word) > 1]
    return sum(best(word, need) < SAME for word in rest) / len(rest) if rest else 0.0


def only_value(question: Question, sheet: Sheet, hits: Hits) -> list[Finding]:
    """The values of the wanted kind where no label is needed: the only one of the sheet, or, asked for plainly, all."""
    strong = [word for word in question.strong if word != question.asked or hits.has(word)]
    if not all(hits.has(word) for word in strong) or question.relation:
        return []
    for kind in question.types:
        if kind == "name" or (kind == "number" and question.types[0] != "number"):
            continue
        found = [
            (match.group().strip(), cell)
            for cell in sheet.cells
            for match in values.find(kind, cell.text)
            if not set(tokens(match.group())) <= set(question.words)
        ]
        different = dict(found)
        plain = not strong and len(different) <= 5 and not any(cell in sheet.prose for cell in different.values())
        if len(different) == 1 or (different and plain):
            return [Finding(text, f'in "{cell.text}"', 0.5, hits.heard) for text, cell in different.items()]
        if different:
            return []
    return []
