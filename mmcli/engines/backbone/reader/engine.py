"""The reader: every attachment is read once, then questions are answered out of what was read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import answer, facts, layout
from mmcli.engines.backbone.reader.library import Library
from mmcli.engines.backbone.reader.question import Question, parse
from mmcli.engines.backbone.reader.sheet import Sheet, clean, name_of
from mmcli.engines.options import check_settings, refuse_others
from mmcli.stages import Document, Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.catalogue import ModelCard
    from mmcli.engines.backbone.reader.find import Finding
    from mmcli.options import AnswerOptions
    from mmcli.stages import Conversation, Part

Attachment = Image | Document
Told = tuple[str, "Finding"]

_NOTHING_ATTACHED = (
    "Nothing is attached. The reader answers out of what is written in pictures, PDFs and texts; "
    "`mmcli models list --role backbone` names the models that can talk about other things."
)
# Findings of several attachments are told together when they are about equally sure.
_EQUAL = 0.08
# Of so many lines the nearest ones are told where there is no answer.
_MOST_LINES = 40


class Reader:
    """Answers out of what is written in the attachments, with no language model. It never says what is not there.

    Without a question it reads the attachments aloud. Attachments of earlier messages count, too; the newest come first.
    EngineError where the text recognition fails.
    """

    def __init__(self, card: ModelCard) -> None:
        check_settings(card)
        self._library = Library()

    def prepare(self, parts: Iterable[Part]) -> None:
        """Read the pictures; pages are read when a question gets to them. What fails here fails again in `answer`."""
        for part in parts:
            if isinstance(part, Image):
                for leaf in self._library.leaves(part):
                    leaf.sheet(False)

    def answer(self, conversation: Conversation, options: AnswerOptions) -> Iterator[str]:
        """The answer in sentences and lines; closing stops between pages. `max_new_tokens` bounds the words.

        UsageError for any other option.
        """
        refuse_others(options, ("max_new_tokens", "detail"), "the reader")
        yield from _bounded(self._pieces(conversation), options.max_new_tokens)

    def _pieces(self, conversation: Conversation) -> Iterator[str]:
        groups = _attachments(conversation)
        question = parse(conversation.messages[-1].text)
        if not groups:
            yield _NOTHING_ATTACHED
        elif question.kind == "read":
            yield from self._read(groups[0], question)
        elif question.kind in facts.KINDS:
            yield from _spaced(facts.tell(question, part) for part in groups[0])
        elif question.kind == "code":
            yield from self._codes(groups)
        else:
            yield from self._ask(question, groups)

    def _sheets(self, part: Attachment, question: Question, codes: bool = False) -> Iterator[Sheet]:
        for leaf in self._library.leaves(part):
            if question.page is None or leaf.number == _page(question.page, part):
                yield leaf.sheet(codes)

    def _read(self, parts: list[Attachment], question: Question) -> Iterator[str]:
        start = ""
        for part in parts:
            if len(parts) > 1:
                yield f"{start}{name_of(part)}:"
                start = "\n"
            empty = True
            for sheet in self._sheets(part, question):
                for text in _texts(sheet):
                    yield start + text
                    start, empty = "\n", False
            if empty:
                what = f", {facts.described(part)}" if isinstance(part, Image) else ""
                yield f"{start}Nothing is written in {name_of(part)}{what}. The reader only reads text; {answer.OTHERS}."
                start = "\n"

    def _codes(self, groups: list[list[Attachment]]) -> Iterator[str]:
        for parts in groups:
            told = []
            for part in parts:
                for sheet in self._sheets(part, Question("", "code"), codes=True):
                    place = f" in {sheet.name}" if len(parts) > 1 else ""
                    told += [f"{clean(code.text)}. It is written in the {code.kind}{place}." for code in sheet.codes]
            if told:
                yield from _spaced(told)
                return
        names = [name_of(part) for parts in groups for part in parts]
        yield f"There is no printed code that can be read in {facts.listed(names)}."

    def _ask(self, question: Question, groups: list[list[Attachment]]) -> Iterator[str]:
        lines: list[tuple[int, str]] = []
        for parts in groups:
            told: list[Told] = []
            for part in parts:
                told += self._search(question, part, lines)
            if told:
                top = max(finding.score for _, finding in told)
                told = [item for item in told if item[1].score >= top - _EQUAL]
                several = len(parts) > 1 or len(groups) > 1 or told[0][0] != name_of(parts[0])
                yield from _spaced(answer.told(finding, name if several else None) for name, finding in told)
                return
        if question.text.startswith("read"):
            yield from self._read(groups[0], question)
            return
        lines.sort(key=lambda item: -item[0])
        names = [name_of(part) for parts in groups for part in parts]
        yield answer.not_written(names, [line for _, line in lines[:2]])

    def _search(self, question: Question, part: Attachment, lines: list[tuple[int, str]]) -> list[Told]:
        """The best findings of an attachment with the page they are on; `lines` gathers the nearest ones."""
        best: list[Told] = []
        for leaf in self._library.leaves(part):
            if question.page is not None and leaf.number != _page(question.page, part):
                continue
            if best and best[0][1].score >= answer.SURE and leaf.costly and question.number >= 0:
                break
            sheet = leaf.sheet(False)
            found = answer.findings(question, sheet) or answer.findings_in_codes(question, sheet)
            better = not best or (found and found[0].score > best[0][1].score)
            if found and (better or question.number < 0):
                best = [(sheet.name, finding) for finding in found]
            if len(lines) < _MOST_LINES:
                lines += answer.nearest_lines(question, sheet)
        return best


def _attachments(conversation: Conversation) -> list[list[Attachment]]:
    """The attachments of each of the user's messages that has some, the newest message first."""
    groups = [
        [part for part in message.parts if isinstance(part, Attachment)]
        for message in reversed(conversation.messages)
        if message.role == "user"
    ]
    return [group for group in groups if group]


def _page(number: int, part: Attachment) -> int:
    return part.page_count if number < 0 and isinstance(part, Document) else abs(number)


def _texts(sheet: Sheet) -> Iterator[str]:
    yield from layout.reading(sheet)
    for code in sheet.codes:
        yield f"A {code.kind}: {clean(code.text)}"


def _spaced(sentences: Iterable[str]) -> Iterator[str]:
    for index, sentence in enumerate(sentences):
        yield f" {sentence}" if index else sentence


def _bounded(pieces: Iterator[str], most: int) -> Iterator[str]:
    """The pieces up to so many words."""
    left = most
    for piece in pieces:
        words = list(re.finditer(r"\S+", piece))
        if len(words) >= left:
            if left > 0:
                yield piece[: words[left - 1].end()]
            return
        left -= len(words)
        yield piece
