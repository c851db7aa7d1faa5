"""Names and codes of languages."""

from __future__ import annotations

import pytest

from mmcli.catalogue import make_options
from mmcli.errors import ConfigError
from mmcli.languages import language_code, seamless_code


def test_names_are_those_of_whisper() -> None:
    known = pytest.importorskip("transformers.models.whisper.tokenization_whisper").TO_LANGUAGE_CODE
    assert {name: language_code(name) for name in known} == known
    assert language_code("German ") == "de"


@pytest.mark.parametrize("name", ["de", "en-GB", "zh_CN", "", "xx"])
def test_what_is_no_name_stays_as_it_is(name: str) -> None:
    assert language_code(name) == name


def test_options_take_names() -> None:
    assert make_options("stt", {"language": "Japanese"}, {}).language == "ja"
    assert make_options("e2e", {"target_language": "haitian creole"}, {}).target_language == "ht"
    with pytest.raises(ConfigError, match="language"):
        make_options("stt", {"language": 7}, {})


def test_seamless_has_codes_of_its_own() -> None:
    assert (seamless_code("de-AT"), seamless_code("zh"), seamless_code("deu")) == ("deu", "cmn", "deu")
