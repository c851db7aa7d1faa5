from __future__ import annotations

import json

import pytest

from mmcli.errors import UsageError
from mmcli.media.subtitles import FORMATS, render
from mmcli.stages import Segment, Word

# rttm tells who speaks and not what.
WITH_TEXT = [form for form in FORMATS if form != "rttm"]
SEGMENTS = [
    Segment(0.0, 2.5, " Hello there", (Word(" Hello", 0.0, 0.5, 0.98765), Word(" there", 0.6, 2.5)), "en"),
    Segment(3725.9996, 3727.0, "an --> arrow\tand\nbreak"),
]


def written(form: str, segments: list[Segment] = SEGMENTS) -> str:
    return "".join(render(form, segments, lambda: {"made_by": "test"}))


def test_txt_has_a_line_for_each_segment() -> None:
    assert written("txt") == "Hello there\nan --> arrow and break\n"


def test_srt_counts_from_one_with_commas_and_hours() -> None:
    assert written("srt") == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello there\n\n2\n01:02:06,000 --> 01:02:07,000\nan -> arrow and break\n\n"
    )


def test_vtt_has_points_and_hours_only_from_the_first_hour_on() -> None:
    assert written("vtt") == (
        "WEBVTT\n\n00:00.000 --> 00:02.500\nHello there\n\n01:02:06.000 --> 01:02:07.000\nan -> arrow and break\n\n"
    )


def test_tsv_has_whole_milliseconds_and_no_tab_in_the_text() -> None:
    assert written("tsv") == "start\tend\ttext\n0\t2500\tHello there\n3726000\t3727000\tan --> arrow and break\n"


def test_lrc_has_minutes_and_hundredths() -> None:
    segments = [*SEGMENTS, Segment(4000.0, 4001.0, "[Music]")]
    assert written("lrc", segments) == ("[00:00.00]Hello there\n[62:06.00]an --> arrow and break\n[66:40.00] [Music]\n")


def test_labels_for_audacity_have_seconds_and_one_line() -> None:
    assert written("aud") == "0.000\t2.500\tHello there\n3726.000\t3727.000\tan --> arrow and break\n"


@pytest.mark.parametrize(
    "language, texts, joined",
    [
        ("en", ["One.", "Two."], "One. Two."),
        ("de", [" Eins.", " Zwei."], "Eins. Zwei."),
        ("zh", ["你好。", "今天"], "你好。今天"),
        ("ja", ["はい。", "iPhone", "12", "です"], "はい。iPhone 12です"),
        ("th", ["สวัสดี", "ครับ"], "สวัสดีครับ"),
        ("lo", ["ສະ", "ບາຍ"], "ສະບາຍ"),
        ("my", ["မင်္ဂ", "လာပါ"], "မင်္ဂလာပါ"),
        ("km", ["សួស", "តី"], "សួសតី"),
        ("yue", ["你好", "嗎"], "你好嗎"),
        (None, ["One", "", "two"], "One two"),
    ],
)
def test_the_text_of_the_json_is_joined_as_the_language_is_written(
    language: str | None, texts: list[str], joined: str
) -> None:
    segments = [Segment(n, n + 1, text, language=language) for n, text in enumerate(texts)]
    assert json.loads(written("json", segments))["text"] == joined


def test_json_leaves_out_what_has_no_value() -> None:
    assert json.loads(written("json")) == {
        "text": "Hello there an --> arrow and\nbreak",
        "segments": [
            {
                "id": 0,
                "start": 0.0,
                "end": 2.5,
                "text": "Hello there",
                "words": [
                    {"word": " Hello", "start": 0.0, "end": 0.5, "probability": 0.9877},
                    {"word": " there", "start": 0.6, "end": 2.5},
                ],
            },
            {"id": 1, "start": 3726.0, "end": 3727.0, "text": "an --> arrow and\nbreak"},
        ],
        "language": "en",
        "provenance": {"made_by": "test"},
    }


@pytest.mark.parametrize("form", FORMATS)
def test_no_speech_is_a_valid_empty_file(form: str) -> None:
    empty = {"vtt": "WEBVTT\n\n", "tsv": "start\tend\ttext\n", "jsonl": '{"provenance": {"made_by": "test"}}\n'}
    text = written(form, [])
    assert json.loads(text)["segments"] == [] if form == "json" else text == empty.get(form, "")


@pytest.mark.parametrize("form", [form for form in WITH_TEXT if form != "json"])
def test_a_segment_is_given_before_the_next_one_is_asked_for(form: str) -> None:
    asked = 0

    def segments():
        nonlocal asked
        for segment in SEGMENTS:
            asked += 1
            yield segment

    for piece in render(form, segments(), dict):
        if "Hello" in piece:
            break
    assert asked == 1


@pytest.mark.parametrize("form", WITH_TEXT)
def test_nothing_that_a_model_says_moves_the_terminal_or_breaks_the_layout(form: str) -> None:
    text = written(form, [Segment(-0.1, 1.0, "a\x1b]0;x\x07b\r\n\r\n2\n00:00 \u202ec\ud800", speaker="S\x1b[1m")])
    assert not set(text) & set("\x1b\x07\r\u202e\ud800")
    text.encode()
    if form not in ("json", "jsonl"):
        assert len([line for line in text.splitlines() if "c" in line]) == 1
    if form == "jsonl":
        assert [next(iter(json.loads(line))) for line in text.splitlines()] == ["id", "provenance"]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_the_name_of_a_file_is_told_in_json_and_moves_no_terminal(form: str) -> None:
    name = "a\x9b31m\x7f\u202eb\U000e0041\udcffü.wav"
    text = "".join(render(form, [], lambda: {"source": name}))
    assert not set(text) & set(name) - set("a31mbü.wav")
    assert "ü" in text
    assert json.loads(text)["provenance"]["source"] == name.replace("\udcff", "?")


def test_the_speaker_stands_before_the_text() -> None:
    segments = [Segment(0, 1, "Yes.", speaker="SPEAKER_00")]
    assert written("txt", segments) == "[SPEAKER_00]: Yes.\n"
    assert json.loads(written("json", segments))["segments"][0]["speaker"] == "SPEAKER_00"


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UsageError, match='did you mean "srt"'):
        render("str", SEGMENTS, dict)
