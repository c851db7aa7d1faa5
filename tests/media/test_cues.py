"""Cues of srt and vtt: equal to the peer's for the same segments, and right by themselves."""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
from itertools import pairwise

import pytest

from mmcli.media.cues import Shape, cues
from mmcli.media.sentences import by_sentence
from mmcli.media.subtitles import render
from mmcli.media.words import spaced
from mmcli.stages import Segment, Word
from tests.media.transcripts import as_the_peer_has_them, drawn

SHAPES = [
    Shape(width, count, words, highlight)
    for width, count, words, highlight in itertools.product((None, 12, 42), (None, 1, 2), (None, 1, 5), (False, True))
]
TRANSCRIPTS = [
    drawn(1),
    drawn(2, segments=20),
    drawn(3, "zh", segments=9),
    drawn(4, segments=3, longest=400),
    [dataclasses.replace(segment, speaker="SPEAKER_00") for segment in drawn(5)],
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_files_are_those_of_the_peers_writers(shape: Shape, tmp_path: object) -> None:
    writers = pytest.importorskip("whisper_ctranslate2.writers")
    for segments in TRANSCRIPTS:
        for form, writer in (("srt", writers.WriteSRT), ("vtt", writers.WriteVTT)):
            theirs = io.StringIO()
            writer(str(tmp_path)).write_result(as_the_peer_has_them(segments), theirs, dataclasses.asdict(shape))
            assert "".join(render(form, segments, dict, shape)) == theirs.getvalue()


def test_without_word_times_files_are_those_of_the_peers_writers() -> None:
    writers = pytest.importorskip("whisper_ctranslate2.writers")
    segments = [dataclasses.replace(segment, words=()) for segment in drawn(6)]
    theirs = io.StringIO()
    writers.WriteSRT("").write_result(as_the_peer_has_them(segments), theirs, {})
    assert "".join(render("srt", segments, dict)) == theirs.getvalue()


def test_a_line_is_cut_at_a_thousand_characters_where_word_times_are_known() -> None:
    words = tuple(Word(f" word{n}", n, n + 1) for n in range(300))
    segment = Segment(0, 300, "".join(word.text for word in words), words)
    lines = next(iter(cues([segment], Shape())))[2].split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 1000


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_word_is_shown_in_order_and_time_never_goes_back(shape: Shape, language: str) -> None:
    for seed in range(4):
        segments = drawn(100 + seed, language, segments=8)
        made = list(cues(segments, shape))
        for (start, end, _), (following, _, _) in pairwise([*made, (1e9, 1e9, "")]):
            assert start <= end <= following
        if shape.highlight_words:
            shown = re.findall(r"<u>(.*?)</u>", "\n".join(text for *_, text in made))
        else:
            shown = [text for *_, text in made]
        said = "".join(segment.text for segment in segments)
        assert re.sub(r"\s", "", "".join(shown)) == re.sub(r"\s", "", said)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape.highlight_words], ids=str)
def test_cues_are_no_larger_than_asked_for(shape: Shape) -> None:
    for seed in range(8):
        for *_, text in cues(drawn(200 + seed, segments=8), shape):
            lines = text.split("\n")
            if shape.max_line_width is not None:
                assert all(len(line) <= shape.max_line_width or " " not in line for line in lines)
            if shape.max_line_count is not None:
                assert len(lines) <= shape.max_line_count
            if shape.max_words_per_line is not None and not shape.flows:
                assert len(text.split()) <= shape.max_words_per_line


def test_word_times_that_go_back_are_never_shown_so() -> None:
    words = (Word(" one", 0.0, 1.0), Word(" two", 0.5, 0.8), Word(" three", 0.2, 2.0))
    made = list(cues([Segment(0.0, 2.0, " one two three", words)], Shape(highlight_words=True)))
    assert [(start, end) for start, end, _ in made] == [(0.0, 1.0), (1.0, 1.0), (1.0, 2.0)]


def test_words_without_spaces_of_their_own_get_those_of_the_text() -> None:
    words = (Word("hello", 0, 1), Word("there", 1, 2), Word("you", 2, 3))
    segment = Segment(0, 3, "hello, there (you)!", words, "en")
    assert [text for *_, text in cues([segment], Shape(12))] == ["hello, there\n(you)!"]
    segment = Segment(0, 3, "HELLO? There. YOU?", words, "en")
    assert [text for *_, text in cues([segment], Shape(max_words_per_line=2))] == ["HELLO? There.", "YOU?"]
    segment = Segment(0, 3, "5 £ 3", words, "en")
    assert [text for *_, text in cues([segment], Shape(max_words_per_line=2))] == ["5 £", "3"]


def test_a_corrected_text_is_shown_with_the_times_of_what_it_replaces() -> None:
    words = (Word(" Hello", 0, 1, 0.9), Word(" from", 1, 2, 0.8), Word(" Berlin.", 2, 4, 0.7))

    def shown(text: str, language: str = "en") -> list[tuple[float, float, str]]:
        return list(cues([Segment(0, 5, text, words, language)], Shape(max_words_per_line=1)))

    assert shown("Hello from Munich!") == [(0, 1, "Hello"), (1, 2, "from"), (2, 4, "Munich!")]
    assert shown("Hello from New York.") == [(0, 1, "Hello"), (1, 2, "from"), (2, 3, "New"), (3, 4, "York.")]
    assert shown("from Berlin.") == [(1, 2, "from"), (2, 4, "Berlin.")]
    assert shown("Oh hello from Berlin")[:2] == [(0, 0, "Oh"), (0, 1, "hello")]
    assert shown("Hello from Munich. Bye!")[2:] == [(2, 3, "Munich."), (3, 4, "Bye!")]
    assert shown("別的", "zh") == [(0, 4, "別的")]
    assert [word.probability for word in spaced(Segment(0, 5, "Hello to Berlin.", words))] == [0.9, 0.8, 0.7]
    many = tuple(Word(f" {n}", n, n + 1) for n in range(5000))
    assert len(list(cues([Segment(0, 5000, "x " * 5000, many)], Shape()))) == 1


def test_the_speaker_stands_once_before_a_segment_and_a_new_one_begins_a_cue() -> None:
    first, second = drawn(8, segments=2, longest=3)
    segments = [dataclasses.replace(first, speaker="A"), dataclasses.replace(second, speaker="B")]
    for shape in (Shape(), Shape(max_words_per_line=2), Shape(1000, 100, 100)):
        made = [text for *_, text in cues(segments, shape)]
        assert [text[:3] for text in made if text.startswith("[")] == ["[A]", "[B]"]
        assert "".join(made).count("]: ") == 2


def test_no_word_can_fake_a_cue() -> None:
    words = (
        Word(" a -->", 0, 1),
        Word(" b ------>", 0, 1),
        Word("\n\n2\n00:01 --> 00:02\nfake\x1b[2J", 1, 2),
        Word(" --", 2, 3),
        Word(">", 3, 4),
    )
    said = "".join(word.text for word in words)
    text = "".join(render("srt", [Segment(0, 4, said, words)], dict, Shape(highlight_words=True)))
    assert text.count("-->") == 5
    assert "\x1b" not in text
    assert all(len(block.split("\n")) == 3 for block in text.strip().split("\n\n"))


def test_cues_of_people_who_talk_at_once_are_in_order_of_time() -> None:
    def said(speaker: str, start: float, text: str) -> Segment:
        words = tuple(Word(f" {word}", start + n, start + n + 0.9, 0.9) for n, word in enumerate(text.split()))
        return Segment(start, words[-1].end, text, words, "en", speaker)

    segments = [said("A", 0.0, "One two. Three four. Five six."), said("B", 1.5, "Yes. No."), said("A", 7.0, "Seven.")]
    shown = list(cues(segments, Shape(max_words_per_line=2)))
    assert [start for start, _, _ in shown] == [0.0, 1.5, 2.0, 4.0, 7.0]
    spoken = list(by_sentence(segments))
    assert [(s.speaker, s.start) for s in spoken] == [
        ("A", 0.0),
        ("B", 1.5),
        ("A", 2.0),
        ("B", 2.5),
        ("A", 4.0),
        ("A", 7.0),
    ]
    assert sorted(word.start for s in spoken for word in s.words) == sorted(w.start for s in segments for w in s.words)
