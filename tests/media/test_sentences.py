"""Segments cut anew at the ends of sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise

import pytest

from mmcli.media.sentences import by_sentence
from mmcli.stages import Decoding, Segment, Word
from tests.media.transcripts import drawn


def said(text: str, start: float, language: str = "en") -> Segment:
    """A segment of 0.3 s for each word, or character where there are no spaces, as Whisper gives it."""
    parts = [f" {word}" for word in text.split()] if language not in ("zh", "ja") else list(text)
    words = tuple(Word(part, start + 0.3 * n, start + 0.3 * (n + 1), 0.9) for n, part in enumerate(parts))
    return Segment(start, words[-1].end, "".join(parts), words, language)


def test_sentences_have_the_times_of_their_words_whatever_segments_they_came_in() -> None:
    segments = [said("I met Dr.", 0), said("Smith today. He came at 5 p.m. and", 1.5), said("left. Why? No", 5)]
    made = list(by_sentence([*segments, said("reason", 7)]))
    assert [segment.text for segment in made] == [
        "I met Dr. Smith today.",
        "He came at 5 p.m. and left.",
        "Why?",
        "No reason",
    ]
    assert [round(segment.end, 1) for segment in made] == [2.1, 5.3, 5.6, 7.3]
    assert [round(segment.start, 1) for segment in made] == [0.0, 2.1, 5.3, 5.6]


@pytest.mark.parametrize(
    "language, parts, sentences",
    [
        ("zh", ["你好。今天", "很好！再见"], ["你好。", "今天很好！", "再见"]),
        ("yue", ["你好。 今天"], ["你好。", "今天"]),
        ("ja", ["こんにちは。元", "気ですか？"], ["こんにちは。", "元気ですか？"]),
        ("hi", ["नमस्ते। आप कैसे", "हैं?"], ["नमस्ते।", "आप कैसे हैं?"]),
        ("de", ["Das ist z.", "B. gut. Ja."], ["Das ist z. B. gut.", "Ja."]),
    ],
)
def test_each_language_has_its_own_ends_and_spaces(language: str, parts: list[str], sentences: list[str]) -> None:
    made = by_sentence([said(part, 2.0 * n, language) for n, part in enumerate(parts)])
    assert [segment.text for segment in made] == sentences


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_word_is_lost_or_moved(language: str) -> None:
    for seed in range(30):
        segments = drawn(seed, language, segments=10)
        made = list(by_sentence(segments))
        assert [word for segment in made for word in segment.words] == [w for s in segments for w in s.words]
        for segment, following in pairwise(made):
            assert segment.start <= segment.end <= following.start
        assert all(segment.end - segment.start <= 30 or len(segment.words) < 15 for segment in made)


def test_a_sentence_is_given_as_soon_as_its_end_is_there() -> None:
    asked = 0

    def segments() -> Iterator[Segment]:
        nonlocal asked
        for text in ("Good morning.", "I met Dr.", "Smith. And"):
            asked += 1
            yield said(text, 2.0 * asked)

    made = by_sentence(segments())
    assert (next(made).text, asked) == ("Good morning.", 1)
    assert (next(made).text, asked) == ("I met Dr. Smith.", 3)
    assert next(made).text == "And"


def test_speakers_languages_and_silence_part_sentences() -> None:
    first, other = said("So I", 0), said("came home", 1)
    assert len(list(by_sentence([first, other]))) == 1
    assert len(list(by_sentence([first, dataclasses.replace(other, speaker="B")]))) == 2
    assert len(list(by_sentence([first, dataclasses.replace(other, language="fr")]))) == 2
    assert len(list(by_sentence([first, said("came home", 4)]))) == 2


def test_speech_without_punctuation_is_not_one_endless_sentence() -> None:
    made = list(by_sentence([said("and so on and on", 1.6 * n) for n in range(100)]))
    assert max(segment.end - segment.start for segment in made) <= 30
    assert len(made) > 5


def test_without_punctuation_and_capitals_pauses_end_sentences() -> None:
    made = by_sentence([said("so i went", 0), said("to the sea", 1), said("and home", 2.5), said("again", 3.2)])
    assert [segment.text for segment in made] == ["so i went to the sea", "and home again"]
    assert len(list(by_sentence([said("So I went", 0), said("home", 2.5)]))) == 1


def test_what_is_known_of_a_segment_alone_does_not_go_to_its_sentences_but_its_doubts_do() -> None:
    decoding = Decoding((1, 2), 0, 0.0, -0.2, 1.0, 0.0)
    segment = dataclasses.replace(said("One. Two.", 0), decoding=decoding, flags=("no_speech",), speaker="A")
    made = list(by_sentence([segment]))
    assert [(each.decoding, each.flags, each.speaker) for each in made] == [(None, ("no_speech",), "A")] * 2


def test_a_segment_without_words_stays_whole() -> None:
    segments = [Segment(0, 2, "One. Two. And", language="en"), Segment(2, 3, "three.", language="en")]
    assert [(s.start, s.end, s.text, s.words) for s in by_sentence(segments)] == [
        (0, 2, "One. Two. And", ()),
        (2, 3, "three.", ()),
    ]
