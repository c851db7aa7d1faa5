"""The micro Whisper under tests/micro/whisper, read by faster-whisper as any other model."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.micro.measure import MODEL, drawn, hear, load, pairs, silences, single

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from tests.micro.clips import Scene


@pytest.fixture(scope="module")
def model() -> WhisperModel:
    return load()


@pytest.fixture(scope="module")
def said() -> list[Scene]:
    return drawn(single, seed=77, takes=2)


@pytest.mark.parametrize(
    "options",
    [{}, {"beam_size": 1}, {"word_timestamps": True}, {"beam_size": 1, "word_timestamps": True}],
    ids=["default", "beam 1", "words", "words and beam 1"],
)
def test_sentences_are_heard_word_for_word(model: WhisperModel, said: list[Scene], options: dict[str, Any]) -> None:
    heard = [hear(model, made, **options) for made in said]
    wrong = [result for result in heard if not result.exact]
    assert len(wrong) <= 0.05 * len(heard), [(each.made.spoken[0][1].text, each.segments) for each in wrong]


def test_the_language_is_always_found(model: WhisperModel, said: list[Scene]) -> None:
    for made in said:
        (_, clip), *_ = made.spoken
        language, probability, _ = model.detect_language(made.samples)
        assert language == clip.language, clip.text
        assert probability > 0.5, clip.text


def test_segments_lie_where_the_sentences_are_spoken(model: WhisperModel, said: list[Scene]) -> None:
    # Without voice detection faster-whisper lets a lone segment begin where its window begins.
    for made in said:
        assert max(hear(model, made, vad_filter=True).time_errors) <= 0.5, made.spoken[0][1].text


def test_a_lone_segment_ends_where_the_sentence_ends(model: WhisperModel, said: list[Scene]) -> None:
    for made in said:
        start, clip = made.spoken[0]
        (segment,) = hear(model, made).segments
        assert segment.end == pytest.approx(start + clip.seconds, abs=0.5), clip.text
        assert segment.start <= start + 0.5


def test_words_make_the_sentence_and_lie_in_it_in_order(model: WhisperModel, said: list[Scene]) -> None:
    for made in said[::2]:
        heard = hear(model, made, word_timestamps=True)
        start, clip = made.spoken[0]
        words = [word for segment in heard.segments for word in segment.words]
        assert "".join(word.word for word in words).split() == clip.text.split()
        assert all(word.start <= word.end for word in words)
        assert all(word.end <= following.start + 0.01 for word, following in pairwise(words))
        # The first word takes what silence there is before it: faster-whisper's alignment begins with the sound.
        assert all(word.start >= start - 0.5 for word in words[1:])
        assert words[-1].end == pytest.approx(start + clip.seconds, abs=0.5)


def test_two_sentences_with_a_pause_are_two_segments(model: WhisperModel) -> None:
    heard = [hear(model, made) for made in drawn(pairs, seed=78, takes=2)]
    # A second sentence is now and then taken for another.
    exact = [result for result in heard if result.exact and len(result.segments) == 2]
    assert len(exact) >= 0.85 * len(heard)
    assert all(result.language_right for result in exact)
    errors = [error for result in heard for error in result.time_errors]
    assert sum(error <= 0.5 for error in errors) >= 0.9 * len(errors)


@pytest.mark.parametrize("options", [{}, {"without_timestamps": True}, {"language": "de"}], ids=str)
def test_silence_and_noise_give_no_text(model: WhisperModel, options: dict[str, Any]) -> None:
    silent = [np.zeros(16000 * 5, np.float32), *(made.samples for made in silences(seed=79, count=8))]
    for samples in silent:
        segments, _ = model.transcribe(samples, **options)
        assert [segment.text for segment in segments] == []


def test_the_tokenizer_numbers_what_whisper_numbers() -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    controls = {
        "<|endoftext|>": 50257,
        "<|startoftranscript|>": 50258,
        "<|en|>": 50259,
        "<|su|>": 50357,
        "<|translate|>": 50358,
        "<|transcribe|>": 50359,
        "<|startofprev|>": 50361,
        "<|nospeech|>": 50362,
        "<|notimestamps|>": 50363,
        "<|0.00|>": 50364,
        "<|30.00|>": 51864,
    }
    assert {name: tokenizer.token_to_id(name) for name in controls} == controls
    assert tokenizer.get_vocab_size() == 51865
    # As the package openai-whisper encodes them.
    assert tokenizer.encode(" Hello world").ids == [2425, 1002]
    for text in (" Grüße aus Köln, 12345!", " 日本語 и русский"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_folder_is_whole_and_small() -> None:
    files = {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert {"model.bin", "config.json", "tokenizer.json", "vocabulary.json", "preprocessor_config.json"} <= set(files)
    assert sum(files.values()) < 10_000_000
