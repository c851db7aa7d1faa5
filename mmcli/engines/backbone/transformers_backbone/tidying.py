"""What makes a text of answers that are written in tokens for places and fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmcli.engines.backbone.transformers_backbone.media import Picture
from mmcli.engines.backbone.transformers_backbone.prompts import Turn, donut_task, picture_of, question_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmcli.engines.backbone.transformers_backbone.loading import Loaded

Tidy = Callable[["Loaded", "list[int]", "Sequence[Turn]"], str]
"""(model, tokens of the answer, conversation) -> text."""


def florence(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> str:
    """Text as it is; boxes, polygons and their labels as JSON, in pixels of the picture as its file has it."""
    task = question_of(turns).partition(">")[0] + ">"
    kinds = loaded.processor.tasks_answer_post_processing_type
    if kinds.get(task, "pure_text") == "pure_text":
        return _words(loaded, ids)
    raw = loaded.tokenizer.decode(ids, skip_special_tokens=False)
    picture = picture_of(turns)
    assert isinstance(picture, Picture)
    return _json(loaded.processor.post_process_generation(raw, task=task, image_size=picture.size)[task])


def kosmos(loaded: Loaded, ids: list[int], turns: Sequence[Turn]) -> str:
    """The text without marks; where grounding was asked for, JSON with the phrases and their boxes in 0..1."""
    raw = _words(loaded, ids)
    begun = question_of(turns)
    if begun and not begun.startswith("<grounding>"):
        return str(loaded.processor.post_process_generation(raw)[0])
    text, entities = loaded.processor.post_process_generation((begun or "<grounding>An image of") + raw)
    found = [{"phrase": phrase, "boxes": boxes} for phrase, _, boxes in entities]
    return _json({"text": text, "entities": found}) if begun else str(text)


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
