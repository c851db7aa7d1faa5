"""What `mmcli transcribe` makes of segments: shaped, cut, read from a former transcript, coloured, judged."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

Run = Callable[..., Any]

WORDS = [
    {"word": " Good", "start": 0.5, "end": 0.8, "probability": 0.99},
    {"word": " morning.", "start": 0.8, "end": 1.4, "probability": 0.2},
    {"word": " Tea?", "start": 1.6, "end": 2.0},
]
FORMER = {
    "text": " Good morning. Tea?",
    "segments": [{"start": 0.5, "end": 2.0, "text": " Good morning. Tea?", "words": WORDS}],
    "language": "en",
    "provenance": {"mmcli": "0.0.1"},
}
DOUBTFUL = {"segments": [{"start": 75, "end": 79, "text": "thank you " * 4}, {"start": 80, "end": 81, "text": "Yes."}]}
FINE = {"segments": [{"start": 0, "end": 1, "text": "Yes."}]}


def put(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_flags_that_need_word_times_switch_them_on(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", "-f", "srt", "--max-words-per-line", "2", "-q")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[2::4][:3] == ["window 1", "of 1.6", "seconds"]
    ended = mmcli("transcribe", speech, "-p", "fake", "-f", "vtt", "--max_line_width", "8", "--highlight_words", "-q")
    assert "<u>window</u> 1\nof 1.6\nseconds" in ended.out


def test_a_former_transcript_is_written_anew_without_any_model(mmcli: Run, tmp_path: Path) -> None:
    put(tmp_path, "former.json", FORMER)
    flags = ["-m", "whisper-large-v3", "-f", "srt", "--max-line-width", "9"]
    expected = "1\n00:00:00,500 --> 00:00:02,000\nGood\nmorning.\nTea?\n\n"
    for name, stdin in (("former.json", b""), ("-", json.dumps(FORMER).encode())):
        ended = mmcli("transcribe", name, *flags, stdin=stdin)
        assert (ended.code, ended.out, ended.err) == (0, expected, "")
    assert mmcli("transcribe", "former.json", "--sentence").out == "Good morning.\nTea?\n"
    document = json.loads(mmcli("transcribe", "former.json", "-f", "json", "--segment-resolution=sentence").out)
    assert [(s["start"], s["end"]) for s in document["segments"]] == [(0.5, 1.4), (1.6, 2.0)]
    assert document["text"] == "Good morning. Tea?"
    assert document["language"] == "en"
    assert document["provenance"]["former"] == FORMER["provenance"]


@pytest.mark.parametrize(
    "flags", ["--task translate", "--clip 0,1", "--channel 1", "--speakers 2", "--beam-size 5", "--vad-threshold 0.5"]
)
def test_what_would_need_another_hearing_is_refused_for_a_former_transcript(
    mmcli: Run, tmp_path: Path, speech: Path, flags: str
) -> None:
    put(tmp_path, "former.json", FORMER)
    flag, value = flags.split()
    ended = mmcli("transcribe", "former.json", flag, value)
    assert (ended.code, ended.out) == (2, "")
    assert f"{flag} does nothing to a former transcript" in ended.err
    assert mmcli("transcribe", "former.json", "--vad_filter", "False", "--multilingual=False").code == 0
    if flag == "--clip":
        assert mmcli("transcribe", "former.json", speech, "-p", "fake", flag, value).code == 0


def test_what_was_heard_and_written_is_cut_as_if_it_was_heard_again(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    put(tmp_path, "former.json", FORMER)
    for form in ("json", "jsonl"):
        first = mmcli("transcribe", speech, "-p", "fake", "--word-timestamps", "-f", form, "-o", ".", "-q")
        assert first.code == 0
        shape = ["-f", "vtt", "--max-line-width", "8", "--highlight-words"]
        assert (
            mmcli("transcribe", f"bursts.{form}", *shape).out == mmcli("transcribe", speech, "-p", "fake", *shape).out
        )
    several = mmcli("transcribe", speech, "former.json", "-p", "fake")
    assert several.out.startswith(f"==> {speech} <==\nwindow 1")
    assert several.out.endswith("==> former.json <==\nGood morning. Tea?\n")


def test_an_input_is_never_written_over(mmcli: Run, tmp_path: Path) -> None:
    path = put(tmp_path, "former.json", FORMER)
    before = path.read_bytes()
    assert mmcli("transcribe", "former.json", "-f", "json", "-f", "srt", "-o", "source").code == 0
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"former.json", "former.json.json", "former.json.srt"}


def test_a_broken_transcript_is_one_line_and_the_others_go_on(mmcli: Run, tmp_path: Path) -> None:
    put(tmp_path, "former.json", FORMER)
    put(tmp_path, "empty.json", {"segments": []})
    (tmp_path / "broken.json").write_text('{"segments": [')
    ended = mmcli("transcribe", "broken.json", "former.json", "empty.json", "-q", "-f", "txt")
    assert ended.code == 3
    assert [note for note in ended.notes if "error" in note] == [ended.notes[0]]
    assert "Good morning. Tea?" in ended.out
    ended = mmcli("transcribe", "broken.json")
    assert (ended.code, len(ended.notes), ended.out) == (1, 1, "")


def test_without_word_times_a_transcript_cannot_be_shaped(mmcli: Run, tmp_path: Path) -> None:
    put(tmp_path, "former.json", FINE)
    for flags in (["-f", "srt", "--max-line-width", "20"], ["--sentence"]):
        ended = mmcli("transcribe", "former.json", *flags)
        assert (ended.code, len(ended.notes), ended.out) == (1, 1, "")
        assert "--word-timestamps" in ended.err
        assert flags[-2 if len(flags) > 1 else -1] in ended.err
    assert mmcli("transcribe", "former.json", "-f", "srt").code == 0


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--max-line-width 20", "--max-line-width is for srt and vtt"),
        ("--highlight-words -f json", "--highlight-words is for srt and vtt"),
        ("--max-line-width 0 -f srt", "--max-line-width"),
        ("--segment-resolution word", "segment or sentence"),
        ("--sentence --segment-resolution segment", "do not go together"),
        ("--print-colors -f srt", "leave out -f"),
    ],
)
def test_flags_without_effect_or_sense_are_one_line(mmcli: Run, speech: Path, flags: str, words: str) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", *flags.split())
    assert (ended.code, len(ended.notes), ended.out) == (2, 1, "")
    assert words in ended.err


def test_doubtful_segments_fail_after_all_is_written(mmcli: Run, tmp_path: Path) -> None:
    put(tmp_path, "doubtful.json", DOUBTFUL)
    put(tmp_path, "fine.json", FINE)
    ended = mmcli("transcribe", "doubtful.json", "-f", "json", "-o", "out", "-q", "--fail-on-quality")
    assert (ended.code, len(ended.notes)) == (1, 1)
    assert "1 of 2 segments are doubtful (repetition), the first at 00:01:15" in ended.err
    document = json.loads((tmp_path / "out" / "doubtful.json").read_text())
    assert [segment.get("flags") for segment in document["segments"]] == [["repetition"], None]
    ended = mmcli("transcribe", "doubtful.json", "fine.json", "-f", "txt", "-q", "--fail-on-quality")
    assert ended.code == 3
    assert ended.out.endswith("==> fine.json <==\nYes.\n")
    assert mmcli("transcribe", "fine.json", "--fail-on-quality").code == 0
    assert mmcli("transcribe", "doubtful.json").code == 0


# ---------------------------------------------------------------- colours


def _in_a_terminal(folder: Path, *args: str, **env: str) -> str:
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "", **env}
    command = ["-m", "mmcli", "transcribe", *args]
    child = pexpect.spawn(
        sys.executable, command, cwd=str(folder), env=environment, encoding="utf-8", timeout=60, dimensions=(24, 80)
    )
    text = child.read()
    child.close()
    assert child.exitstatus == 0, text
    return text


def test_words_are_coloured_by_their_probability_in_a_terminal(tmp_path: Path) -> None:
    put(tmp_path, "former.json", FORMER)
    text = _in_a_terminal(tmp_path, "former.json", "--print-colors")
    assert text == "\x1b[38;5;82mGood\x1b[0m\x1b[38;5;196m morning.\x1b[0m Tea?\r\n"


def test_colours_switch_word_times_on(tmp_path: Path, speech: Path) -> None:
    text = _in_a_terminal(tmp_path, str(speech), "-p", "fake", "--print-colors", "-q")
    assert "\x1b[38;5;82mwindow\x1b[0m\x1b[38;5;82m 1\x1b[0m" in text


def test_there_are_no_colours_where_they_are_not_wanted(tmp_path: Path, mmcli: Run) -> None:
    put(tmp_path, "former.json", FORMER)
    assert _in_a_terminal(tmp_path, "former.json", "--print-colors", NO_COLOR="1") == "Good morning. Tea?\r\n"
    assert _in_a_terminal(tmp_path, "former.json") == "Good morning. Tea?\r\n"
    assert mmcli("transcribe", "former.json", "--print-colors").out == "Good morning. Tea?\n"
    assert "\x1b[38;5;82m" in _in_a_terminal(tmp_path, "former.json", "--print-colors", "-o", "out", "-f", "all")
    for path in (tmp_path / "out").iterdir():
        assert "\x1b" not in path.read_text(encoding="utf-8")


def test_a_long_line_is_not_broken_and_no_text_steers_the_terminal(tmp_path: Path) -> None:
    words = [{"word": f" [red]w{n}\x1b[2J", "start": n, "end": n + 1, "probability": 0.5} for n in range(40)]
    said = "".join(str(word["word"]) for word in words)
    put(tmp_path, "long.json", {"segments": [{"start": 0, "end": 40, "text": said, "words": words}]})
    text = _in_a_terminal(tmp_path, "long.json", "--print-colors")
    assert text.count("\n") == 1
    assert text.count("[red]w") == 40
    assert "\x1b[2J" not in text
