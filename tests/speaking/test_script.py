"""Who says what, with which pauses before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmcli.errors import UsageError
from mmcli.media.prose import Paragraph
from mmcli.speaking.script import Utterance, parse_voices, script


def said(*texts: str, speakers: tuple[str, ...] = ()) -> list[Utterance]:
    return list(script([Paragraph(text) for text in texts], "en", speakers))


@pytest.mark.parametrize(
    "mark, seconds",
    [
        ("[[pause 0.5]]", 0.5),
        ("[[ pause 500 ms ]]", 0.5),
        ("[[PAUSE 2s]]", 2.0),
        ('<break time="500ms"/>', 0.5),
        ("<break time='1.5s' />", 1.5),
        ("[[pause 99999]]", 60.0),
    ],
)
def test_a_mark_is_a_pause_and_is_not_read(mark: str, seconds: float) -> None:
    assert said(f"One. Two {mark} three.") == [
        Utterance("One."),
        Utterance("Two"),
        Utterance("three.", pytest.approx(seconds)),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("text", ["[[pause]]", "[[pause x]]", "<break/>", "[[pause -1]]"])
def test_what_is_no_mark_is_text(text: str) -> None:
    (only,) = said(text)
    assert (only.text, only.pause) == (text, 0.0)


def test_pauses_in_a_row_add_up_and_one_at_the_end_is_kept() -> None:
    assert said("[[pause 1]][[pause 2]]A.[[pause 3]]") == [Utterance("A.", 3.0), Utterance("", 3.0)]


def test_the_pause_of_a_paragraph_comes_before_its_first_sentence_only() -> None:
    paragraphs = [Paragraph("One. Two.", 0.4), Paragraph("  "), Paragraph("Three.")]
    assert [item.pause for item in script(paragraphs)] == [0.4, 0.0, 0.0]


def test_names_give_lines_to_speakers_until_the_next_name() -> None:
    lines = said("Intro.", "ANNA: Hello. You?", "Still me.", "[Ben]: Fine.", "Carl: no voice", speakers=("Anna", "BEN"))
    assert [(item.speaker, item.text) for item in lines] == [
        (None, "Intro."),
        ("Anna", "Hello."),
        ("Anna", "You?"),
        ("Anna", "Still me."),
        ("BEN", "Fine."),
        ("BEN", "Carl: no voice"),
    ]
    assert [item.text for item in said("Anna: Hello.")] == ["Anna: Hello."]


def test_the_first_sentence_comes_before_a_long_line_is_cut_and_before_the_next_line_is_read() -> None:
    asked: list[int] = []

    def lines() -> Iterator[Paragraph]:
        for number in range(3):
            asked.append(number)
            yield Paragraph("One sentence. " * 70_000)

    assert next(script(lines())) == Utterance("One sentence.")
    assert asked == [0]


def test_voices_are_a_list_of_names() -> None:
    assert parse_voices(" ANNA=en-us+f3, Ben = en-gb ") == {"ANNA": "en-us+f3", "Ben": "en-gb"}


@pytest.mark.parametrize("given", ["", "A", "A=", "=b", "A=b,", "A=b,a=c", "A:=b"])
def test_a_list_of_voices_that_is_none_is_one_line(given: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_voices(given)
    assert "\n" not in str(raised.value)
