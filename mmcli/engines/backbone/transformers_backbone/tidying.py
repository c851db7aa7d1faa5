"""What makes text and places of answers that are written in tokens for places and fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmcli.engines.backbone.transformers_backbone.media import Picture
from mmcli.engines.backbone.transformers_backbone.prompts import Turn, donut_task, picture_of, question_of
from mmcli.media.regions import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmcli.engines.backbone.transformers_backbone.loading import Loaded

Tidy = Callable[["Loaded", "list[int]", "Sequence[Turn]"], str]
"""(model, tokens of the answer, conversation) -> text."""
Marks = Callable[["Loaded", "list[int]", "Sequence[Turn]"], "Iterator[Mark]"]
"""The same -> the places that the answer names."""
_GROUNDING = "<grounding>"


def florence(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> str:
    """Text as it is; boxes, polygons and their labels as JSON, in pixels of the picture as its file has it."""
    found = _florence(loaded, ids, turns)
    return _words(loaded, ids) if found is None else _json(found)


def florence_marks(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> Iterator[Mark]:
    """Its boxes, outlines of lines of text and polygons, in pixels of the picture."""
    found = _florence(loaded, ids, turns) or {}
    named = found.get("labels", [])
    for key, labels in (("bboxes", found.get("bboxes_labels", named)), ("quad_boxes", named)):
        for shape, label in zip(found.get(key, ()), labels, strict=False):  # no shapes of this kind, labels of another
            yield Mark(label, _points(shape))
    for shapes, label in zip(found.get("polygons", ()), found.get("polygons_labels", named), strict=False):
        for shape in shapes:
            yield Mark(label, _points(shape))


def _florence(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> dict[str, Any] | None:
    """What the processor makes of an answer; None for a task whose answer is text."""
    task = question_of(turns).partition(">")[0] + ">"
    if loaded.processor.tasks_answer_post_processing_type.get(task, "pure_text") == "pure_text":
        return None
    raw = loaded.tokenizer.decode(ids, skip_special_tokens=False)
    picture = picture_of(turns)
    assert isinstance(picture, Picture)
    found: dict[str, Any] = loaded.processor.post_process_generation(raw, task=task, image_size=picture.size)[task]
    return found


def _points(numbers: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(numbers[::2], numbers[1::2], strict=False))


def kosmos(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> str:
    """The text without marks; where grounding was asked for, JSON with the phrases and their boxes in 0..1."""
    text, entities = _kosmos(loaded, ids, turns)
    found = [{"phrase": phrase, "boxes": boxes} for phrase, _, boxes in entities]
    return _json({"text": text, "entities": found}) if question_of(turns).startswith(_GROUNDING) else str(text)


def kosmos_marks(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> Iterator[Mark]:
    """Its phrases with their boxes in 0..1."""
    for phrase, _, boxes in _kosmos(loaded, ids, turns)[1]:
        for left, top, right, bottom in boxes:
            yield Mark("" if phrase.startswith("<patch_index_") else phrase, ((left, top), (right, bottom)))


def _kosmos(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> tuple[str, list[Any]]:
    begun = question_of(turns) or f"{_GROUNDING}An image of"
    if not begun.startswith(_GROUNDING):
        begun = ""
    text, entities = loaded.processor.post_process_generation(begun + _words(loaded, ids))
    return str(text), entities


def document(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> str:
    """What TrOCR reads; the answer to a question put to Donut; else what Donut found as JSON."""
    task = donut_task(loaded, question_of(turns))
    if not task:
        return _words(loaded, ids)
    special = {loaded.tokenizer.eos_token_id, loaded.tokenizer.pad_token_id}
    raw = loaded.tokenizer.decode([id for id in ids if id not in special], skip_special_tokens=False)
    fields = loaded.processor.token2json(task + raw)
    if "<s_answer>" in task and isinstance(fields, dict):
        return str(fields.get("answer", "")) or _words(loaded, ids)
    return _json(fields) if fields else _words(loaded, ids)


def _words(loaded: Loaded, ids: list[int]) -> str:
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
