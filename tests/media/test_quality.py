"""What makes a segment doubtful, at the limits that the module tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmcli.media.quality import FLAGS, flagged
from mmcli.media.subtitles import render
from mmcli.stages import Decoding, Segment, Word


def flags(*args: Any, **more: Any) -> tuple[str, ...]:
    (segment,) = flagged([Segment(*args, **more)])
    return segment.flags


def decoded(logprob: float = -0.2, ratio: float = 1.2, silence: float = 0.1) -> Decoding:
    return Decoding((), 0, 0.0, logprob, ratio, silence)


@pytest.mark.parametrize(
    "decoding, found",
    [
        (decoded(), ()),
        (decoded(-1.0, 2.4, 0.6), ()),
        (decoded(ratio=2.41), ("repetition",)),
        (decoded(logprob=-1.01), ("low_probability",)),
        (decoded(silence=0.61), ("no_speech",)),
        (decoded(-2, 9, 0.9), FLAGS[:3]),
    ],
)
def test_what_whisper_tells_is_held_against_its_own_limits(decoding: Decoding, found: tuple[str, ...]) -> None:
    assert flags(0, 5, "Hello there.", decoding=decoding) == found


@pytest.mark.parametrize(
    "text, language, found",
    [
        ("thank you thank you thank you thank you", "en", True),
        ("Thank you. Thank you, thank you! Thank you.", "en", True),
        ("thank you thank you thank you", "en", False),
        ("no no no no", "en", False),
        ("no no no no no no no no", "en", True),
        ("so I went to the sea and then I went to the sea again and then home", "en", False),
        ("one two three " * 4, None, True),
        ("ご視聴ありがとうございました" * 4, "ja", True),
        ("今日はとてもいい天気ですね", "ja", False),
        ("", "en", False),
    ],
)
def test_a_phrase_that_follows_itself_again_and_again_is_repetition(
    text: str, language: str | None, found: bool
) -> None:
    assert ("repetition" in flags(0, 20, text, language=language)) == found


@pytest.mark.parametrize("chance, found", [(0.38, ()), (0.36, ("low_probability",)), (None, ())])
def test_words_that_are_improbable_on_the_mean(chance: float | None, found: tuple[str, ...]) -> None:
    words = (Word(" one", 0, 1, chance), Word(" two", 1, 2, chance))
    assert flags(0, 2, " one two", words) == found


@pytest.mark.parametrize(
    "start, end, text, language, found",
    [
        (0, 30.05, "word", "en", False),
        (3, 33.5, "word", "en", True),
        (0, 1, "x" * 35, "en", False),
        (0, 1, "x" * 36, "en", True),
        (0, 1, "、。" * 20, "ja", False),
        (0, 1, "今天天气很好我们去公园吧再见啊", "zh", False),
        (0, 1, "今天天气很好我们去公园吧再见啊你", "zh", True),
        (0, 0.02, "Yes.", "en", False),
        (5, 5, "Good morning.", "en", True),
    ],
)
def test_more_than_can_be_said_in_the_time_is_overlong(
    start: float, end: float, text: str, language: str, found: bool
) -> None:
    assert (flags(start, end, text, language=language) == ("overlong",)) == found


def test_flags_stand_in_the_json_and_stay_when_a_segment_is_cut() -> None:
    segment = Segment(0, 40, "Hello.", flags=("no_speech", "overlong"))
    document = json.loads("".join(render("json", flagged([segment]), dict)))
    assert document["segments"][0]["flags"] == ["no_speech", "overlong"]
    assert flags(0, 4, "Hello.", flags=("no_speech", "overlong")) == ("no_speech",)
    assert "flags" not in "".join(render("json", flagged([Segment(0, 4, "Hello.")]), dict))
