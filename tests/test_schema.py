"""JSON schemas in every form that --schema takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmcli.errors import EngineError, UsageError
from mmcli.schema import parse_schema, read_answer


def test_fields_become_a_schema() -> None:
    schema = json.loads(parse_schema("name, age int,height float , alive bool, city: where it lives"))
    assert schema["properties"] == {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "height": {"type": "number"},
        "alive": {"type": "boolean"},
        "city": {"type": "string", "description": "where it lives"},
    }
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False


def test_descriptions_may_hold_commas_where_fields_have_lines() -> None:
    schema = json.loads(parse_schema("name: first, then last\n\nage int: in years\n"))
    assert schema["properties"]["name"]["description"] == "first, then last"
    assert schema["properties"]["age"] == {"type": "integer", "description": "in years"}


def test_several_are_a_list_of_such() -> None:
    schema = parse_schema("name", several=True)
    assert read_answer('{"items": [{"name": "Ann"}, {"name": "Ben"}]}', schema)["items"][1] == {"name": "Ben"}
    with pytest.raises(EngineError, match="not what the schema allows"):
        read_answer('{"items": [{"name": 1}]}', schema)


def test_json_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    text = '{"type": "object", "properties": {"a": {"type": "null"}}}'
    assert json.loads(parse_schema(text)) == json.loads(text)
    (tmp_path / "a schema.json").write_text("\ufeff" + text, encoding="utf-8")
    assert json.loads(parse_schema(str(tmp_path / "a schema.json"))) == json.loads(text)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "names no field"),
        ("name, age integer", '"integer" is no type; did you mean "int"'),
        ("name int twice", "is no field"),
        ("name, name", "given twice"),
        (": without a name", "is no field"),
        ('{"type": ', "is not JSON"),
        ("[1]", "is an object"),
        ('{"type": "objekt"}', r"not a JSON schema \(at type: "),
        ("none.json", "there is no file none.json"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_schema_is_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_schema(text)
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"s\.json cannot be read"):
        parse_schema(str(tmp_path / "s.json"))
    (tmp_path / "s.json").write_text("{]")
    with pytest.raises(UsageError, match=r"s\.json is not JSON"):
        parse_schema(str(tmp_path / "s.json"))
    with (tmp_path / "s.json").open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(UsageError, match="larger than 1 MB"):
        parse_schema(str(tmp_path / "s.json"))


def test_an_answer_is_a_whole_document() -> None:
    schema = parse_schema("age int")
    assert read_answer('\n {"age": 3}\n', schema) == {"age": 3}
    with pytest.raises(EngineError, match="no whole JSON document; give it more room"):
        read_answer('{"age": ', schema)
    for number in ("1e999", "NaN"):
        with pytest.raises(EngineError, match="a number that is none"):
            read_answer(f'{{"size": {number}}}', parse_schema("size float"))
    with pytest.raises(EngineError, match=r"at age: 'old' is not of type 'integer'"):
        read_answer('{"age": "old"}', schema)


def test_what_a_schema_refers_to_has_to_be_in_it() -> None:
    with pytest.raises(UsageError, match=r"refers to http://127\.0\.0\.1:9/schema\.json, and nothing is fetched"):
        parse_schema('{"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}')
    schema = parse_schema('{"$ref": "#/$defs/age", "$defs": {"age": {"type": "integer"}}}')
    assert read_answer("3", schema) == 3
    with pytest.raises(UsageError, match="refers to /none, which is not in it"):
        read_answer("3", parse_schema('{"$ref": "#/none"}'))
