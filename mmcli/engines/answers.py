"""What backbones have in common in their answers: the end before a stop string, documents of a schema, places in pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mmcli.errors import ConfigError, EngineError, MmcliError, UsageError
from mmcli.media.regions import SCALES, Shown, parse
from mmcli.stages import Image, Usage
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from mmcli.catalogue import ModelCard
    from mmcli.places import Region
    from mmcli.stages import Conversation


def until(pieces: Iterator[str | Usage], stop: tuple[str, ...]) -> Generator[str | Usage, None, None]:
    """The pieces up to the first of the stop strings, which may lie across pieces.

    What may be the beginning of one is held back until it is known. A source that goes on with text after a stop is
    closed; one that then says its usage is heard.
    """
    stop = tuple(filter(None, stop))
    held, over = "", False
    with closing(closable(pieces)) as source:
        try:
            for piece in source:
                if isinstance(piece, Usage):
                    if held:
                        yield held
                    held = ""
                    yield dataclasses.replace(piece, finish="stop") if over else piece
                elif over:
                    if piece:
                        return
                else:
                    held += piece
                    found = [at for at in map(held.find, stop) if at >= 0]
                    over = bool(found)
                    end = min(found) if found else len(held) - _beginning(held, stop)
                    if end:
                        yield held[:end]
                    held = "" if over else held[end:]
        except MmcliError:
            if held:
                yield held
            raise
        if held:
            yield held


def _beginning(text: str, stop: tuple[str, ...]) -> int:
    """How many of the last characters may be the beginning of a stop string."""
    longest = min(len(text), max(map(len, stop), default=1) - 1)
    return next((n for n in range(longest, 0, -1) if any(each.startswith(text[-n:]) for each in stop)), 0)


def read_schema(schema: str) -> dict[str, Any]:
    """A JSON schema out of its text. UsageError where it is none."""
    from jsonschema import SchemaError, validators

    try:
        found = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the schema is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise UsageError("the schema is no JSON object")
    try:
        validators.validator_for(found, validators.Draft202012Validator).check_schema(found)
    except SchemaError as error:
        raise UsageError(f"the schema is no JSON schema ({_where(error)}{error.message})") from error
    return found


def check_document(text: str, schema: dict[str, Any], *, whole: bool) -> None:
    """EngineError where the text is no document that the schema allows; `whole` is False where it was cut off.

    References to other documents are not followed.
    """
    import referencing
    from jsonschema import ValidationError, validators

    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not whole:
            raise EngineError(
                "the answer was cut off before its document was whole", "allow it more --max-tokens"
            ) from error
        raise EngineError(f"the answer is no JSON ({error})", "does this model follow schemas?") from error
    cls = validators.validator_for(schema, validators.Draft202012Validator)
    try:
        cls(schema, registry=referencing.Registry()).validate(document)
    except ValidationError as error:
        message = error.message if len(error.message) < 200 else f"{error.message[:200]}..."
        raise EngineError(f"the schema does not allow the answer: {_where(error)}{message}", "ask again") from error
    except referencing.exceptions.Unresolvable as error:
        raise UsageError(f"the schema refers to what is not in it ({error.ref})") from error


def _where(error: Any) -> str:
    return f"{error.json_path}: " if error.absolute_path else ""


def coordinates(card: ModelCard, default: str | None = None) -> str | None:
    """What the coordinates in a model's answers count, by the setting of that name. ConfigError for what is no scale."""
    scale: str | None = card.settings.get("coordinates", default)
    if scale is not None and scale not in SCALES:
        raise ConfigError(
            f"{card.origin}: [models.{card.name}] setting coordinates cannot be {scale!r}",
            f"known: {', '.join(SCALES)}",
        )
    return scale


def places(text: str, scale: str | None, conversation: Conversation, side: int | None = None) -> tuple[Region, ...]:
    """The places that an answer names in the pictures of the newest message that has some.

    These were shown to the model with at most `side` pixels of the longer side.
    """
    if scale is None:
        return ()
    for message in reversed(conversation.messages):
        if images := [part for part in message.parts if isinstance(part, Image)]:
            return parse(text, scale, [_shown(image, side) for image in images])
    return ()


def _shown(image: Image, side: int | None) -> Shown:
    factor = min(1.0, (side or math.inf) / max(image.width, image.height))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return Shown(image.source, (image.width, image.height), size)
