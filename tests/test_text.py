"""Sentences out of pieces, and text made safe for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmcli.text import sentences, visible, without


def test_sentences_are_the_same_however_the_text_is_cut_into_pieces() -> None:
    text = "Dr. Smith paid $3.50. He left at 5 p.m. on Monday! Was it late? Yes."
    whole = list(sentences([text]))
    assert whole == ["Dr. Smith paid $3.50.", "He left at 5 p.m. on Monday!", "Was it late?", "Yes."]
    assert list(sentences(text)) == whole  # one character at a time
    assert list(sentences(text.split(" "))) != whole  # joined without spaces it is another text
    assert list(sentences([word + " " for word in text.split(" ")])) == whole


def test_a_sentence_is_given_before_the_next_one_is_complete() -> None:
    asked: list[str] = []

    def pieces() -> Iterator[str]:
        for piece in ("Hello there. ", "How are", " you?", " Fine."):
            asked.append(piece)
            yield piece

    spoken = sentences(pieces())
    assert next(spoken) == "Hello there."
    assert len(asked) < 4


def test_a_line_break_ends_a_sentence_and_blank_lines_are_none() -> None:
    assert list(sentences(["Menu\n\n  \nSoup 3.20\nBread"])) == ["Menu", "Soup 3.20", "Bread"]


def test_chinese_sentences_are_cut_without_spaces() -> None:
    assert list(sentences(["你好。今天很好。"], "zh")) == ["你好。", "今天很好。"]


def test_text_without_any_end_is_cut_at_spaces_and_loses_nothing() -> None:
    words = [f"word{number}" for number in range(1000)]
    parts = list(sentences(word + " " for word in words))
    assert len(parts) > 5
    assert max(map(len, parts)) <= 1000
    assert " ".join(parts).split() == words


def test_a_long_line_without_a_single_space_ends_too() -> None:
    parts = list(sentences(["x" * 5000]))
    assert "".join(parts) == "x" * 5000
    assert max(map(len, parts)) <= 1000


@pytest.mark.parametrize("text", ["", "   ", "\n\n"])
def test_nothing_gives_no_sentence(text: str) -> None:
    assert list(sentences([text])) == []


@pytest.mark.parametrize(
    "dirty, clean",
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("bell\x07 back\x08", "bell back"),
        ("title\x1b]0;owned\x07", "title]0;owned"),
        ("eight-bit \x9b31m", "eight-bit 31m"),
        ("bidi \u202eexe.txt", "bidi exe.txt"),
        ("naïve 日本 👩\u200d🚀", "naïve 日本 👩\u200d🚀"),
        ("two\nlines\tand tab\r", "two\nlines\tand tab"),
        ("file\udcff", "file"),
    ],
)
def test_what_could_steer_a_terminal_is_taken_out(dirty: str, clean: str) -> None:
    assert visible(dirty) == clean


def test_no_token_is_left_even_of_pieces_that_others_kept_apart() -> None:
    tokens = ("<end>", "<image>", "")
    assert without("a <end>b<image>", tokens) == "a b"
    assert without("<im<end>age><e<image>nd>!", tokens) == "!"
    assert without("plain <text>", tokens) == "plain <text>"
