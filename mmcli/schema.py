"""JSON schemas for answers: from a file, as JSON, or in a short form such as "name, age int, city: where it lives"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcli.errors import EngineError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BYTES = 1_000_000
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def parse_schema(text: str, *, several: bool = False) -> str:
    """A JSON schema as JSON; `several` makes it one of an object whose `items` is a list of such.

    The text is JSON, the name of a file that holds JSON, or the short form: fields with commas between them (line breaks,
    where a description holds a comma), each `name`, `name type` or `name type: description`; types are str, int, float
    and bool, str where there is none. Every field is required and none other allowed. UsageError for anything else.
    """
    schema = _read(text.strip())
    if several:
        schema = {
            "type": "object",
            "properties": {"items": {"type": "array", "items": schema}},
            "required": ["items"],
            "additionalProperties": False,
        }
    _check(schema)
    return json.dumps(schema, ensure_ascii=False)


def read_answer(text: str, schema: str) -> Any:
    """The document that an answer is. EngineError where it is none, or none that the schema allows."""
    import jsonschema
    import referencing.exceptions

    try:
        document = json.loads(text)
    except ValueError as error:
        raise EngineError("the answer is no whole JSON document", "give it more room with --max-tokens") from error
    try:
        json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise EngineError("the answer has a number that is none, or is infinite") from error
    try:
        _validator(json.loads(schema)).validate(document)
    except jsonschema.ValidationError as error:
        raise EngineError(f"the answer is not what the schema allows ({_short(error)})") from error
    except referencing.exceptions.Unresolvable as error:
        raise UsageError(f"--schema refers to {error.ref}, which is not in it") from error
    return document


def _read(text: str) -> Any:
    if text.startswith(("{", "[")):
        return _json(text, "--schema")
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a name, as a short form may be
        is_file = False
    if not is_file:
        if path.suffix == ".json" and " " not in text:
            raise UsageError(f"--schema: there is no file {text}")
        return _short_form(text)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"--schema: {text} is larger than {_MAX_BYTES // 1_000_000} MB")
        return _json(path.read_text(encoding="utf-8-sig"), f"--schema: {text}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--schema: {text} cannot be read ({error})") from error


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not JSON ({error})") from error


def _short_form(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for item in text.split("\n" if "\n" in text else ","):
        if not item.strip():
            continue
        named, _, description = item.partition(":")
        name, *kind = named.split() or [""]
        if not name or len(kind) > 1:
            raise UsageError(f'--schema: "{item.strip()}" is no field', "fields are given as in: name, age int")
        if name in fields:
            raise UsageError(f'--schema: the field "{name}" is given twice')
        kind = kind or ["str"]
        if kind[0] not in _TYPES:
            raise UsageError(
                f'--schema: "{kind[0]}" is no type', did_you_mean(kind[0], _TYPES) or f"types: {', '.join(_TYPES)}"
            )
        fields[name] = {
            "type": _TYPES[kind[0]],
            **({"description": description.strip()} if description.strip() else {}),
        }
    if not fields:
        raise UsageError("--schema names no field", "fields are given as in: name, age int")
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _check(schema: Any) -> None:
    import jsonschema

    if not isinstance(schema, dict):
        raise UsageError("--schema: a JSON schema is an object, as in {...}")
    try:
        type(_validator(schema)).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(f"--schema is not a JSON schema ({_short(error)})") from error
    for target in _references(schema):
        if not target.startswith("#"):
            raise UsageError(f"--schema refers to {target}, and nothing is fetched", "put it under $defs of the schema")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _validator(schema: Any) -> Any:
    import jsonschema
    import referencing

    # A registry of its own, as the default one fetches what a $ref names from the network.
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return cls(schema, registry=referencing.Registry())


def _short(error: Any) -> str:
    place = "/".join(map(str, error.absolute_path))
    text = str(error.message)
    return f"{f'at {place}: ' if place else ''}{text if len(text) <= 120 else text[:117] + '...'}"
