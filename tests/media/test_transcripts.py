"""Transcripts that were written before, of this program and of others, and files that only look like one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmcli.errors import InputError
from mmcli.media.sentences import by_sentence
from mmcli.media.subtitles import render
from mmcli.media.transcripts import is_transcript, read_transcript
from mmcli.stages import Decoding, Segment, Word
from tests.media.transcripts import drawn

MADE = {"mmcli": "0.1.0", "models": {"stt": {"name": "x"}}}


def written(tmp_path: Path, content: Any, name: str = "former.json") -> Path:
    path = tmp_path / name
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def whisper(segment: Segment, number: int) -> Segment:
    decoding = Decoding((5, 6), 100 * number, 0.2, -0.4, 1.25, 0.01)
    return Segment(segment.start, segment.end, segment.text, segment.words, "en", "A", decoding, flags=("no_speech",))


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("kind", ["plain", "whisper"])
def test_what_was_written_is_read_as_it_was(tmp_path: Path, form: str, kind: str) -> None:
    segments = drawn(1)
    if kind == "whisper":
        segments = [whisper(segment, number) for number, segment in enumerate(segments)]
    text = "".join(render(form, segments, lambda: MADE))
    path = written(tmp_path, text.encode())
    assert is_transcript(path)
    read = read_transcript(path)
    assert "".join(render(form, read.segments, lambda: read.provenance)) == text
    assert read.has_words
    if kind == "whisper":
        assert list(read.segments) == segments


def test_json_lines_are_written_as_they_come_and_end_with_what_made_them(tmp_path: Path) -> None:
    lines = "".join(render("jsonl", drawn(2), lambda: MADE)).splitlines()
    assert len(lines) == len(drawn(2)) + 1
    assert json.loads(lines[0])["language"] == "en"
    assert json.loads(lines[-1]) == {"language": "en", "provenance": MADE}
    empty = written(tmp_path, "".join(render("jsonl", [], lambda: MADE)).encode())
    assert read_transcript(empty).segments == ()


def test_that_of_openai_whisper_is_read(tmp_path: Path) -> None:
    words = [{"word": " Hi", "start": 0.0, "end": 0.4, "probability": 0.5}]
    entry = {"id": 0, "seek": 0, "start": 0.0, "end": 2.0, "text": " Hi", "tokens": [1], "temperature": 0.0}
    entry |= {"avg_logprob": -0.3, "compression_ratio": 0.5, "no_speech_prob": 0.1, "words": words}
    read = read_transcript(written(tmp_path, {"text": " Hi", "segments": [entry], "language": "fr"}))
    decoding = Decoding((1,), 0, 0.0, -0.3, 0.5, 0.1)
    assert read.segments == (Segment(0.0, 2.0, " Hi", (Word(" Hi", 0.0, 0.4, 0.5),), "fr", None, decoding),)


def test_that_of_whisperx_is_read_with_times_for_what_was_not_aligned(tmp_path: Path) -> None:
    words = [{"word": "In", "start": 1.0, "end": 1.2, "score": 0.7}, {"word": "1998,"}, {"word": "we", "start": 2.0}]
    segment = {"start": 1.0, "end": 3.0, "text": " In 1998, we", "words": words, "speaker": "SPEAKER_01"}
    read = read_transcript(written(tmp_path, {"segments": [segment], "word_segments": words}), "en")
    (made,) = read.segments
    assert made.words == (Word("In", 1.0, 1.2, 0.7), Word("1998,", 1.2, 2.0), Word("we", 2.0, 3.0))
    assert (made.speaker, made.language) == ("SPEAKER_01", "en")
    assert "".join(render("srt", read.segments, dict)).splitlines()[2] == "[SPEAKER_01]: In 1998, we"


def test_a_transcript_without_word_times_says_so(tmp_path: Path) -> None:
    entry = {"start": 0, "end": 1, "text": "Hi", "words": None}
    assert not read_transcript(written(tmp_path, {"segments": [entry]})).has_words
    timed = {**entry, "words": [{"word": "Hi", "start": 0, "end": 1}]}
    assert read_transcript(written(tmp_path, {"segments": [entry, timed]})).has_words
    assert read_transcript(written(tmp_path, {"segments": []})).has_words


def test_what_was_corrected_and_deleted_in_a_transcript_is_so_in_every_output(tmp_path: Path) -> None:
    words = [Word(" Hello", 0.0, 1.0), Word(" Berlin.", 1.0, 2.0)]
    heard = [Segment(0.0, 2.0, " Hello Berlin.", tuple(words), "en"), Segment(2.0, 4.0, " Hello Berlin.", tuple(words))]
    entries = json.loads("".join(render("json", heard, dict)))["segments"]
    entries[0]["text"], entries[1]["text"] = " Hello Munich.", " "
    segments = read_transcript(written(tmp_path, {"segments": entries})).segments
    for form in ("txt", "srt", "vtt", "tsv", "lrc", "aud"):
        text = "".join(render(form, segments, dict))
        assert (text.count("Hello Munich."), text.count("Berlin")) == (1, 0)
    assert [segment.text for segment in by_sentence(segments)] == ["Hello Munich."]


SEGMENT = {"start": 0.0, "end": 1.0, "text": "Hi"}


@pytest.mark.parametrize(
    "content, words",
    [
        (b"{", "is none"),
        (b"{}", "no transcript"),
        (b'{"segments": 5}', "no transcript"),
        (b'{"segments": [5]}', "has no text"),
        (b'{"segments": [{"start": 0, "end": 1, "text": "a"}', "is none"),
        (b"{\xff\xfe}", "is none"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"{}\n[]", "line 2"),
        (b'{"start": 0, "end": 1, "text": "a"}\n{"start', "line 2"),
        ({"segments": [{**SEGMENT, "start": "0"}]}, "segment 1: start is no time"),
        ({"segments": [SEGMENT, {**SEGMENT, "end": None}]}, "segment 2: end is no time"),
        ({"segments": [{**SEGMENT, "start": True}]}, "start is no time"),
        ({"segments": [{**SEGMENT, "start": -5}]}, "start is no time"),
        ({"segments": [{**SEGMENT, "end": 10**400}]}, "end is no time"),
        (b'{"segments": [{"start": NaN, "end": 1, "text": "a"}]}', "start is no time"),
        (b'{"segments": [{"start": 0, "end": 1e999, "text": "a"}]}', "end is no time"),
        (b'{"segments": [{"start": 0, "end": ' + b"9" * 5000 + b', "text": "a"}]}', "is none"),
        ({"segments": [{**SEGMENT, "words": [{"start": 0}]}]}, "a word without text"),
        ({"segments": [{**SEGMENT, "words": [{"word": "a", "start": "x"}]}]}, "the time of a word is no time"),
    ],
)
def test_what_is_no_transcript_is_told_in_one_line(tmp_path: Path, content: Any, words: str) -> None:
    path = written(tmp_path, content)
    assert is_transcript(path)
    with pytest.raises(InputError) as caught:
        read_transcript(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("form", ["txt", "srt", "vtt", "tsv", "json", "jsonl", "lrc", "aud"])
def test_hostile_values_do_no_harm_when_they_are_written_again(tmp_path: Path, form: str) -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"a": deep}
    entry = {
        "start": 5,
        "end": 1,
        "text": "a\ud800\x1b[2J\u202e\n\n1\n00:00 --> 00:01",
        "speaker": "\ud800\x1b]0;x\x07",
        "language": "\x1b",
        "flags": ["\x1b", 5, ["no_speech"]],
        "tokens": ["x"],
        "seek": float("inf"),
        "words": [{"word": "\ud800\x1b", "start": 9, "end": 2, "probability": 1e300}],
    }
    for provenance in (deep, {"a": float("nan")}, {"a": "\ud800"}, {"a": "\x9b2J"}, {"a\u202e": 1}, [], "x"):
        document = {"segments": [entry], "language": ["en"], "provenance": provenance}
        read = read_transcript(written(tmp_path, document))
        assert read.provenance == {}
        text = "".join(render(form, read.segments, lambda found=read: {"former": found.provenance}))
        text.encode()
        assert not set(text) & set("\x1b\x07\x9b\u202e")


def test_a_transcript_of_more_than_64_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(64_000_001)
    with pytest.raises(InputError, match="larger than 64 MB"):
        read_transcript(path)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf \n {", b"{}"])
def test_json_is_known_by_its_beginning(tmp_path: Path, content: bytes) -> None:
    assert is_transcript(written(tmp_path, content, "song.mp3"))


def test_no_recording_is_taken_for_a_transcript(data: Path, tmp_path: Path) -> None:
    recordings = sorted(data.glob("a*"))
    assert len(recordings) > 20
    assert not any(map(is_transcript, recordings))
    assert not is_transcript(tmp_path)
    assert not is_transcript(tmp_path / "none.json")
