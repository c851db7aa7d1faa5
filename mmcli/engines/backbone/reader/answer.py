"""The words of an answer: the value first, then where it is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import layout, prose
from mmcli.engines.backbone.reader.find import Finding, find, look_up, only_value
from mmcli.engines.backbone.reader.match import SAME, best, tokens
from mmcli.engines.backbone.reader.sheet import Sheet, clean, make_rows
from mmcli.stages import TextLine

if TYPE_CHECKING:
    from mmcli.engines.backbone.reader.question import Question
    from mmcli.engines.backbone.reader.sheet import Cell

# A finding from here on is the answer; from SURE on no further page needs to be looked at.
ENOUGH = 0.45
SURE = 0.97
OTHERS = "`mmcli models list --role backbone` names the models that can look"
_MOST_CHARACTERS = 160


def findings(question: Question, sheet: Sheet) -> list[Finding]:
    """What answers a question on a sheet, best first; empty where nothing does."""
    if question.kind == "heading" and not _about_other(question):
        return _heading(sheet)
    if question.kind == "ordinal":
        return _ordinal(question, sheet)
    if question.kind == "position":
        return _position(question, sheet)
    hits = look_up(question, sheet)
    if question.kind == "mention":
        return _mention(question, sheet)
    found = find(question, sheet, hits)
    found += prose.find_in_prose(question, sheet, hits)
    found = found or only_value(question, sheet, hits) or _single_text(question, sheet)
    if question.script == "latin":
        found = [item for item in found if item.value.isascii() or not any(c > "\u024f" for c in item.value)]
    top = max((item.score for item in found), default=0.0)
    return [item for item in found if item.score >= max(ENOUGH, top - 0.01)]


def findings_in_codes(question: Question, sheet: Sheet) -> list[Finding]:
    """The same for the texts that are printed as codes."""
    found = []
    for code in sheet.codes:
        lines = [
            TextLine(line, (0.0, row, len(line) / 2, row + 1.0)) for row, line in enumerate(code.text.splitlines())
        ]
        text = Sheet(sheet.name, sheet.width, sheet.height, make_rows(lines))
        text = replace(text, prose=layout.prose(text))
        found += [
            replace(finding, where=f'in the {code.kind}: "{short(clean(code.text))}"')
            for finding in findings(question, text)
        ]
    return found


def _about_other(question: Question) -> bool:
    """Whether the heading that is asked for is that of something ("the title of the song"), so a label."""
    return any(best(word, ("heading", "headline", "title", "header")) < SAME for word in question.strong)


def _heading(sheet: Sheet) -> list[Finding]:
    cells = layout.heading(sheet)
    return [Finding(" ".join(cell.text for cell in cells).lstrip("# "), "as the heading", 1.0)] if cells else []


def _ordinal(question: Question, sheet: Sheet) -> list[Finding]:
    if question.unit == "sentence":
        items = prose.all_sentences(sheet)
    elif question.unit == "line":
        items = layout.lines(sheet)
    elif question.unit == "paragraph":
        items = list(layout.reading(sheet))
    else:
        items = [word for line in layout.lines(sheet) for word in line.split()]
    try:
        return [Finding(items[question.number], "", 1.0)]
    except IndexError:
        return []


def _position(question: Question, sheet: Sheet) -> list[Finding]:
    assert question.place is not None
    across, down = question.place
    cells = [cell for cell in sheet.cells if _wanted(question, cell)]
    place = " ".join(
        name
        for name, there in (("top", down == 0), ("bottom", down == 1), ("left", across == 0), ("right", across == 1))
        if there
    )
    near: list[tuple[float, Cell]] = []
    for cell in cells:
        x, y = cell.x / max(1e-6, sheet.width), cell.y / max(1e-6, sheet.height)
        dx, dy = abs(x - across), abs(y - down)
        # an edge is meant in its whole length, a corner and the middle as points
        distance = (
            max(dx, dy)
            if place in ("", "top left", "top right", "bottom left", "bottom right")
            else dy
            if across == 0.5
            else dx
        )
        if distance < (0.25 if 0.5 in (across, down) else 0.35):
            near.append((distance, cell))
    if not near:
        return []
    nearest = min(near, key=lambda item: item[0])[1]
    together = [cell for _, cell in near if cell.row == nearest.row] if down in (0, 1) and across == 0.5 else [nearest]
    text = layout.row_text(together)
    return [Finding(text, f"at the {place}" if place else "in the middle", 1.0)]


def _wanted(question: Question, cell: Cell) -> bool:
    if question.types and question.types[0] in ("number", "integer"):
        return any(c.isdigit() for c in cell.text)
    return question.asked != "word" or any(c.isalpha() for c in cell.text)


def _mention(question: Question, sheet: Sheet) -> list[Finding]:
    words = question.strong or question.weak
    for line in layout.reading(sheet):
        if words and all(best(word, tokens(line)) >= SAME for word in words):
            return [Finding("Yes", f'in "{short(line)}"', 1.0)]
    return []


def _single_text(question: Question, sheet: Sheet) -> list[Finding]:
    """All there is, where the question asks for the words and hardly anything is written."""
    cells = list(sheet.cells)
    plain = not question.strong and not question.types and not question.relation
    if plain and cells and len(cells) <= 3 and {"word", "words", "line", "name"} & {*question.weak, question.asked}:
        return [Finding(layout.row_text(cells), "", 0.6)]
    return []


def nearest_lines(question: Question, sheet: Sheet) -> list[tuple[int, str]]:
    """Up to two lines of a sheet with how many key words each holds, the fullest first."""
    words = question.strong or question.weak
    counted = [
        (sum(best(word, [w for cell in row for w in cell.words]) >= SAME for word in words), layout.row_text(row))
        for rows in layout.blocks(sheet)
        for row in rows
    ]
    return sorted(counted, key=lambda item: -item[0])[:2]


def told(finding: Finding, name: str | None) -> str:
    """A finding as a sentence; `name` says in which attachment, where there are several."""
    heard = "".join(f' "{word}" was taken for "{other}".' for word, other in finding.heard)
    value = finding.value if finding.value.endswith((".", "!", "?")) else f"{finding.value}."
    place = finding.where if finding.where != f'in "{finding.value}"' else ""
    if place or name:
        end = "" if place.endswith(('."', '!"', '?"')) else "."
        start = f"In {name} it is written" if name and place else "It is written"
        value = f"{value} {start} {place or f'in {name}'}{end}"
    return value + heard


def not_written(names: list[str], lines: list[str]) -> str:
    """The plain answer where there is none."""
    where = names[0] if len(names) == 1 else f"any of {', '.join(names[:-1])} and {names[-1]}"
    text = f"That is not written in {where}. The reader only reads text; {OTHERS}."
    if not lines:
        return f"{text} Nothing at all is written there."
    quoted = ", ".join(f'"{short(line)}"' for line in lines)
    return f"{text} Written there: {quoted}."


def short(line: str) -> str:
    """A line cut to what can be listened to."""
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS].rsplit(' ', 1)[0]} ..."
