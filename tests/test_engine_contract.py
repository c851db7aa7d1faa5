"""One suite over every engine of the table: each keeps the contract of its role."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from mmcli import engines
from mmcli.catalogue import package_data, read_catalogue
from mmcli.media.audio import open_audio
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions, ConverseOptions, DiarizeOptions, SpeakOptions, TranscribeOptions, VadOptions
from mmcli.speech import utterances
from mmcli.stages import (
    Audio,
    Backbone,
    Conversation,
    Diarizer,
    Message,
    Said,
    SpeechModel,
    Spoke,
    Synthesizer,
    Transcriber,
    Usage,
    Vocoder,
    VoiceDetector,
    Window,
)
from tests.micro.measure import MODEL

PROTOCOLS: dict[str, type] = {
    "vad": VoiceDetector,
    "diarize": Diarizer,
    "stt": Transcriber,
    "backbone": Backbone,
    "tts": Synthesizer,
    "vocoder": Vocoder,
    "e2e": SpeechModel,
}
QUESTION = package_data("samples") / "question-receipt.flac"


# What comes with a package, and for the engines whose weights come from a hub a small model of our own.
CARDS = {
    **{card.name: card for card in read_catalogue().models.values() if not card.source.startswith(("hf:", "coqui:"))},
    "micro-whisper": read_catalogue().model(str(MODEL), "stt"),
}


def _text(answer: Iterator[str | Usage]) -> str:
    """The text of an answer; what it took comes last, if it is told at all."""
    *pieces, last = answer
    assert all(isinstance(piece, str) for piece in pieces)
    return "".join([*pieces, *([last] if isinstance(last, str) else [])])  # type: ignore[list-item]


def _names(role: str) -> list[str]:
    return [name for name, card in CARDS.items() if card.role == role]


# These need torch or a server; tests/engines/ holds them to the same promises.
ELSEWHERE = {
    "coqui",
    "coqui-vocoder",
    "transformers-stt",
    "transformers-tts",
    "transformers-vocoder",
    "transformers-e2e",
    "transformers-speaker",
    "transformers",
    "openai-stt",
    "openai-tts",
    "openai",
}


def test_every_engine_is_tried() -> None:
    assert {card.engine for card in CARDS.values()} | ELSEWHERE == set(engines.ENGINES)


@pytest.fixture(scope="module")
def stage() -> Any:
    """Loads each model once for the whole suite."""
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            loaded[name] = engines.load(CARDS[name])
        return loaded[name]

    return load


@pytest.fixture(scope="module")
def sign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = PIL.Image.new("RGB", (640, 200), "white")
    PIL.ImageDraw.Draw(picture).text((40, 60), "Harbour 7 km", "black", PIL.ImageFont.load_default(72))
    path = tmp_path_factory.mktemp("sign") / "sign.png"
    picture.save(path)
    return path


@pytest.mark.parametrize("name", CARDS)
def test_it_has_the_methods_of_its_role(name: str, stage: Any) -> None:
    assert isinstance(stage(name), PROTOCOLS[CARDS[name].role])


@pytest.mark.parametrize("name", _names("vad"))
def test_a_detector_tells_speech_from_silence_in_blocks_of_any_length(name: str, stage: Any) -> None:
    detector = stage(name)
    speech = np.concatenate([block.samples for block in open_audio(QUESTION).blocks(detector.rate)])
    sound = np.concatenate([np.zeros(detector.rate, np.float32), speech, np.zeros(detector.rate + 7, np.float32)])

    def blocks(size: int) -> Iterator[Audio]:
        for start in range(0, len(sound), size):
            yield Audio(sound[start : start + size], detector.rate)

    whole = list(detector.probabilities(blocks(len(sound))))
    assert len(whole) == len(sound) // detector.frame
    assert max(whole) > 0.8
    assert max(whole[: detector.rate // detector.frame - 4]) < 0.3
    for size in (100, 512, 5000):
        np.testing.assert_allclose(list(detector.probabilities(blocks(size))), whole, atol=1e-4)


@pytest.mark.parametrize("name", _names("vad"))
def test_two_streams_of_a_detector_do_not_mix(name: str, stage: Any) -> None:
    detector = stage(name)
    one = list(open_audio(QUESTION).blocks(detector.rate))
    alone = list(detector.probabilities(one))
    first, second = detector.probabilities(one), detector.probabilities(one)
    pairs = list(zip(first, second, strict=True))
    np.testing.assert_allclose([a for a, _ in pairs], alone, atol=1e-4)
    np.testing.assert_allclose([b for _, b in pairs], alone, atol=1e-4)


def _windows(stage: Any, rate: int) -> list[Window]:
    blocks = open_audio(QUESTION).blocks(rate)
    return list(utterances(blocks, stage("fake-vad"), VadOptions()))


@pytest.mark.parametrize("name", _names("stt"))
def test_a_transcriber_hears_in_order_and_in_the_sources_time(name: str, stage: Any) -> None:
    stt = stage(name)
    (first, *_) = _windows(stage, stt.rate)
    moved = [first, Window(first.audio, first.start + 100), Window(first.audio, first.start + 200)]
    segments = list(stt.transcribe(iter(moved), TranscribeOptions(word_timestamps=True)))
    assert [round(segment.start / 100) for segment in segments] == [0, 1, 2]
    for segment, window in zip(segments, moved, strict=True):
        assert segment.text.strip()
        assert window.start <= segment.start < segment.end <= window.start + window.audio.seconds + 0.05
        assert segment.words
        edges = [edge for word in segment.words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert all(word.probability is None or 0 <= word.probability <= 1 for word in segment.words)


@pytest.mark.parametrize("name", _names("stt"))
def test_a_transcriber_gives_a_segment_before_the_next_window_is_asked_for_in_vain(name: str, stage: Any) -> None:
    stt = stage(name)
    closed: list[bool] = []

    def endless() -> Iterator[Window]:
        try:
            yield from itertools.cycle(_windows(stage, stt.rate)[:1])
        finally:
            closed.append(True)

    segments = stt.transcribe(endless(), TranscribeOptions())
    assert next(segments).text
    segments.close()
    assert closed == [True]


@pytest.mark.parametrize("name", _names("stt"))
def test_a_transcriber_goes_on_where_an_earlier_use_stopped(name: str, stage: Any) -> None:
    stt = stage(name)
    # Sampling would give another text each time.
    options = TranscribeOptions(temperature=(0.0,)) if name == "micro-whisper" else TranscribeOptions()
    (first, *_) = _windows(stage, stt.rate)
    done: list[tuple[float, str]] = []

    def note(seconds: float, carried: Any) -> None:
        done.append((seconds, json.dumps(carried)))

    windows = [Window(first.audio, first.start + 100.0 * number, note) for number in range(3)]
    heard = list(stt.transcribe(iter(windows), options))
    assert [seconds for seconds, _ in done] == [window.end for window in windows]
    for seconds, carried in done:
        rest = [window for window in windows if window.start >= seconds]
        after = [segment for segment in heard if segment.start >= seconds]
        assert list(stt.transcribe(iter(rest), options, json.loads(carried))) == after


@pytest.mark.parametrize("name", _names("stt"))
def test_no_windows_give_no_segments(name: str, stage: Any) -> None:
    assert list(stage(name).transcribe(iter([]), TranscribeOptions())) == []


@pytest.mark.parametrize("name", _names("diarize"))
def test_a_diarizer_tells_who_speaks_in_every_window_one_at_a_time(name: str, stage: Any) -> None:
    diarizer = stage(name)
    (first, *_) = _windows(stage, diarizer.rate)
    moved = [first, Window(first.audio, first.start + 100)]
    closed: list[bool] = []

    def windows() -> Iterator[Window]:
        try:
            yield from moved
        finally:
            closed.append(True)

    turns = diarizer.speakers(windows(), DiarizeOptions())
    assert closed == [True]
    edges = [edge for turn in turns for edge in (turn.start, turn.end)]
    assert edges == sorted(edges)
    assert {round(turn.start // 100) for turn in turns} == {0, 1}
    assert edges[-1] <= first.start + 100 + first.audio.seconds + 0.05
    assert len({turn.speaker for turn in diarizer.speakers(iter(moved), DiarizeOptions(max_speakers=1))}) == 1
    assert diarizer.speakers(iter([]), DiarizeOptions()) == ()


@pytest.mark.parametrize("name", _names("backbone"))
def test_an_answer_depends_on_the_picture_and_the_question(name: str, stage: Any, sign: Path, red: Path) -> None:
    def answer(path: Path, question: str) -> str:
        conversation = Conversation((Message("user", (open_image(path), question)),))
        return _text(stage(name).answer(conversation, AnswerOptions()))

    one = answer(sign, "How far is Harbour?")
    assert one == answer(sign, "How far is Harbour?")
    assert one != answer(red, "How far is Harbour?")
    assert one != answer(sign, "What is the width of the picture?")


@pytest.mark.parametrize("name", _names("backbone"))
def test_looking_ahead_changes_no_answer(name: str, stage: Any, sign: Path) -> None:
    question = "How far is Harbour?"
    one, other = open_image(sign), open_image(sign)
    stage(name).prepare((one,))
    answers = {
        _text(stage(name).answer(Conversation((Message("user", (picture, question)),)), AnswerOptions()))
        for picture in (one, other)
    }
    assert len(answers) == 1


@pytest.mark.parametrize("name", _names("backbone"))
def test_an_answer_is_bounded_and_can_be_closed(name: str, stage: Any, sign: Path) -> None:
    conversation = Conversation((Message("user", (open_image(sign), "How far is Harbour?")),))
    short = _text(stage(name).answer(conversation, AnswerOptions(max_new_tokens=2)))
    assert 1 <= len(short.split()) <= 2
    pieces = stage(name).answer(conversation, AnswerOptions())
    assert next(pieces)
    pieces.close()


@pytest.mark.parametrize("name", _names("tts"))
def test_a_voice_is_sound_of_the_right_length_and_level(name: str, stage: Any) -> None:
    def speak(options: SpeakOptions) -> list[Audio]:
        return list(stage(name).speak(iter(["How far is the harbour?", "Seven kilometres."]), options))

    blocks = speak(SpeakOptions())
    seconds = sum(block.seconds for block in blocks)
    assert 1 < seconds < 8
    assert len({block.rate for block in blocks}) == 1
    samples = np.concatenate([block.samples for block in blocks])
    assert samples.dtype == np.float32
    assert 0.05 < np.abs(samples).max() <= 1
    assert sum(block.seconds for block in speak(SpeakOptions(speed=2.0))) < 0.75 * seconds


@pytest.mark.parametrize("name", _names("tts"))
def test_the_first_sound_comes_before_the_second_sentence_is_known(name: str, stage: Any) -> None:
    asked: list[int] = []

    def sentences() -> Iterator[str]:
        for number in range(100):
            asked.append(number)
            yield f"Sentence number {number}."

    sound = stage(name).speak(sentences(), SpeakOptions())
    assert len(next(sound).samples)
    assert len(asked) < 5
    sound.close()


@pytest.mark.parametrize("name", _names("tts"))
def test_a_sentence_is_taken_only_when_the_one_before_has_been_spoken(name: str, stage: Any) -> None:
    texts = ["One.", "Two three four five six seven eight nine.", "Ten."]
    taken: list[str] = []

    def sentences() -> Iterator[str]:
        for text in texts:
            taken.append(text)
            yield text

    seconds: dict[str, float] = {}
    for block in stage(name).speak(sentences(), SpeakOptions()):
        seconds[taken[-1]] = seconds.get(taken[-1], 0.0) + block.seconds
    assert list(seconds) == texts
    assert seconds[texts[1]] > 2 * max(seconds[texts[0]], seconds[texts[2]])


@pytest.mark.parametrize("name", _names("tts"))
def test_speech_is_not_clipped_and_has_no_long_gaps(name: str, stage: Any) -> None:
    text = ["The museum opens at nine, and closes at six.", "Is it far?", "No!"]
    blocks = list(stage(name).speak(iter(text), SpeakOptions()))
    rate, samples = blocks[0].rate, np.abs(np.concatenate([block.samples for block in blocks]))
    assert (samples > 0.999).mean() < 1e-3
    assert 0.01 < np.sqrt((samples**2).mean()) < 0.5
    heard = np.flatnonzero(samples > 0.01)
    assert heard[0] < 0.5 * rate
    assert len(samples) - heard[-1] < rate
    assert np.diff(heard).max() < rate


@pytest.mark.parametrize("name", _names("tts"))
def test_the_words_that_a_voice_tells_lie_in_its_sound(name: str, stage: Any) -> None:
    seconds = 0.0
    words = []
    for block in stage(name).speak(iter(["How far is the harbour?", "Seven km."]), SpeakOptions()):
        for word in block.words:
            assert 0 <= word.start < block.seconds
            words.append((word.text, seconds + word.start, seconds + word.end))
        seconds += block.seconds
    if name == "espeak":
        assert [text for text, _, _ in words] == ["How", "far", "is", "the", "harbour?", "Seven", "km."]
    edges = [edge for _, start, end in words for edge in (start, end)]
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise([*edges, seconds]))


@pytest.mark.parametrize("name", _names("tts"))
@pytest.mark.parametrize("text", ["", "...", "🙂", "\x00", "\x1b[31m"])
def test_text_without_words_is_no_error(name: str, text: str, stage: Any) -> None:
    assert sum(block.seconds for block in stage(name).speak(iter([text]), SpeakOptions())) < 2


@pytest.mark.parametrize("name", _names("tts"))
def test_a_synthesizer_names_its_voices(name: str, stage: Any) -> None:
    voices = stage(name).voices()
    assert voices
    assert all(voice.name and voice.language for voice in voices)


@pytest.mark.parametrize("name", _names("e2e"))
def test_a_speech_model_answers_sound_with_text_and_sound(name: str, stage: Any) -> None:
    conversation = Conversation((Message("user", (open_audio(QUESTION),)),))
    events = list(stage(name).converse(conversation, ConverseOptions()))
    assert any(isinstance(event, Said) for event in events)
    assert any(isinstance(event, Spoke) for event in events)
