"""Answers about the picture itself: its size, when, where and with what it was taken, its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader.colours import colour_names
from mmcli.engines.backbone.reader.sheet import clean, name_of
from mmcli.stages import Document, Image

if TYPE_CHECKING:
    from mmcli.engines.backbone.reader.question import Question

KINDS = ("size", "taken", "place", "camera", "colours", "pages")


def tell(question: Question, part: Image | Document) -> str:
    """One sentence in answer to a question of one of KINDS."""
    name = name_of(part)
    if isinstance(part, Document):
        if question.kind != "pages":
            return f"{name} is a document, not a picture; it has {pages(part)}."
        return f"{_capital(pages(part))}. So many are in {name}."
    if question.kind == "pages":
        return f"1 page. {name} is a picture."
    if question.kind == "size":
        return f"{part.width} by {part.height} pixels. That is the size of {name}."
    if question.kind == "colours":
        return f"{_capital(listed(colour_names(part.pixels())))}. These are the main colours of {name}."
    value = clean(part.facts.get(question.kind, ""))
    if value:
        return f"{value}. The file {name} says so."
    what = {"taken": "when it was taken", "place": "where it was taken", "camera": "which camera took it"}
    return f"The file {name} does not say {what[question.kind]}."


def described(part: Image) -> str:
    """A picture without text in words."""
    return f"a picture of {part.width} by {part.height} pixels, mostly {listed(colour_names(part.pixels())[:3])}"


def pages(document: Document) -> str:
    return f"{document.page_count} page{'s' if document.page_count != 1 else ''}"


def listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
