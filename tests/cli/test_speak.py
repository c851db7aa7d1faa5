"""mmcli speak as a user runs it: files and scripts in, sound, times and pictures out, and what goes wrong."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import PIL.Image
import pytest
import soundfile

from mmcli.catalogue import package_data

Run = Callable[..., Any]
FAKE = ("-p", "fake", "-q")


def test_what_espeak_says_is_heard_again(mmcli: Run, tmp_path: Path) -> None:
    questions = tomllib.loads((package_data("samples") / "samples.toml").read_text(encoding="utf-8"))["questions"]
    hits = words = 0
    for number, question in enumerate(questions):
        voice = ("--voice", question["voice"], "--speed", question["speed"])
        assert mmcli("speak", question["text"], "-o", f"{number}.wav", *voice, "-q").code == 0
    files = [f"{number}.wav" for number in range(len(questions))]
    assert mmcli("transcribe", *files, "-m", "pocketsphinx", "-o", "heard", "-f", "txt", "-q").code == 0
    for number, question in enumerate(questions):
        heard = (tmp_path / "heard" / f"{number}.txt").read_text()
        said = re.sub(r"[^a-z ]", "", question["text"].lower())
        hits += jiwer.process_words(said, " ".join(heard.lower().split()) or "-").hits
        words += len(said.split())
    assert hits / words >= 0.6


def test_times_and_a_picture_stand_beside_the_sound(mmcli: Run, tmp_path: Path) -> None:
    text = "Good morning. [[pause 1]] It is late."
    ended = mmcli("speak", text, "-o", "a.flac", "--timings", "json", "--draw", "a.png", "--json", "-q")
    assert (ended.code, ended.err) == (0, "")
    made = json.loads(ended.out)
    times = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    first, second = times["segments"]
    samples, rate = soundfile.read(tmp_path / "a.flac")
    assert made["seconds"] == pytest.approx(len(samples) / rate, abs=0.01)
    assert (made["output"], made["timings"], made["sentences"]) == ("a.flac", "a.json", 2)
    assert [segment["text"] for segment in times["segments"]] == ["Good morning.", "It is late."]
    assert [word["word"] for word in second["words"]] == ["It", "is", "late."]
    assert second["start"] - first["end"] > 1
    assert np.abs(samples[round(first["end"] * rate) + 50 : round(second["start"] * rate) - 50]).max() < 0.01
    assert times["provenance"]["models"]["tts"]["name"] == "espeak"
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1400, 720)


@pytest.mark.parametrize("format", ["srt", "vtt", "tsv", "lrc", "jsonl", "txt", "aud"])
def test_times_have_every_format(mmcli: Run, tmp_path: Path, format: str) -> None:
    assert mmcli("speak", "One. Two.", "-o", "a.wav", "--timings-file", f"b.{format}", *FAKE).code == 0
    assert "Two." in (tmp_path / f"b.{format}").read_text(encoding="utf-8")


def test_several_files_and_formats_of_text(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One two.\n\nThree.\n")
    (tmp_path / "b.md").write_text("# Four\n\n*Five* six [seven](x).\n\n```\nhidden\n```\n")
    ended = mmcli("speak", "-i", "a.txt", "-i", "b.md", "-o", "c.wav", "--timings", "txt", "-p", "fake")
    assert ended.code == 0
    assert any("1 block of code was left out" in note for note in ended.notes)
    assert (tmp_path / "c.txt").read_text() == "One two.\nThree.\nFour\nFive six seven.\n"


def test_times_never_overwrite_what_is_read(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One two.\n")
    ended = mmcli("speak", "-i", "a.txt", "-o", "a.wav", "--timings", "txt", *FAKE)
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert "would overwrite a.txt" in ended.err
    assert (tmp_path / "a.txt").read_text() == "One two.\n"


def test_a_script_has_several_voices_and_a_name_without_lines_is_told(mmcli: Run, tmp_path: Path) -> None:
    script = "ANNA: Hello.\nBEN: Hello.\nANNA: Hello."
    voices = "Anna=en-us+f3,Ben=en-gb,Carl=de"
    ended = mmcli("speak", script, "--voices", voices, "-o", "a.wav", "--timings", "json")
    assert ended.code == 0
    assert any("no line begins with Carl:" in note for note in ended.notes)
    samples, rate = soundfile.read(tmp_path / "a.wav")
    segments = json.loads((tmp_path / "a.json").read_text())["segments"]
    assert [segment["speaker"] for segment in segments] == ["Anna", "Ben", "Anna"]
    spectra = [
        np.abs(np.fft.rfft(samples[round(s["start"] * rate) : round(s["start"] * rate) + rate // 3])) for s in segments
    ]
    likeness = [np.corrcoef(spectra[0], spectrum)[0, 1] for spectrum in spectra[1:]]
    assert likeness[1] > likeness[0] + 0.2


def test_subtitles_are_spoken_at_their_times(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:03,500\nMuch too long for it.\n\n"
        "3\n00:00:06,000 --> 00:00:08,000\nThe end.\n"
    )
    ended = mmcli("speak", "--subs", "a.srt", "-o", "b.wav", "--timings", "json")
    assert ended.code == 0
    assert any("1 of 3 cues last longer than their time: 2 by" in note for note in ended.notes)
    segments = json.loads((tmp_path / "b.json").read_text())["segments"]
    assert [round(segment["start"], 2) for segment in segments] == [1.0, 3.0, 6.0]
    assert soundfile.info(tmp_path / "b.wav").duration == pytest.approx(8.0, abs=0.01)


def test_silence_and_volume_do_what_they_say(mmcli: Run, tmp_path: Path) -> None:
    mmcli("speak", "One. Two.", "-o", "a.wav", *FAKE)
    mmcli("speak", "One. Two.", "-o", "b.wav", "--sentence-silence", "0.5", "--volume", "0.5", *FAKE)
    (plain, rate), (other, _) = (soundfile.read(tmp_path / name) for name in ("a.wav", "b.wav"))
    assert len(other) - len(plain) == rate // 2
    assert np.abs(other).max() == pytest.approx(np.abs(plain).max() / 2, abs=1e-3)


def test_the_sound_begins_before_the_text_ends() -> None:
    command = [sys.executable, "-m", "mmcli", "speak", "-", "--output-raw", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Good morning.\n")
        process.stdin.flush()
        assert len(process.stdout.read(8000)) == 8000
        process.stdin.write(b"And good night.\n")
        process.stdin.close()
        assert len(process.stdout.read()) > 20_000
    assert process.returncode == 0


def test_voices_are_listed_by_language_and_as_json(mmcli: Run) -> None:
    assert mmcli("speak", "--list-voices", "-l", "de", "-q").out == "de\tde\tGerman\n"
    voices = json.loads(mmcli("speak", "--list-voices", "--language", "pt", "--json", "-q").out)
    assert {voice["language"] for voice in voices} == {"pt", "pt-br"}
    assert mmcli("speak", "--list-voices", "-l", "German", "-q").out == "de\tde\tGerman\n"
    ended = mmcli("speak", "--list-voices", "-l", "xx", "-q")
    assert (ended.code, len(ended.notes)) == (2, 1)


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "[[pause 2]]", "\x00\x1b"])
def test_a_text_without_words_is_one_line_and_no_file(mmcli: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "text.txt").write_text(text or "\n")
    ended = mmcli("speak", "-i", "text.txt", "-o", "a.wav", "--timings", "srt", "--draw", "a.png", "-q")
    assert (ended.code, len(ended.notes)) in ((2, 1), (1, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@pytest.mark.parametrize("text", ["🙂🙂", "日本語", "ქართული", "𝓗𝓮𝓵𝓵𝓸", "\u202eabc\u202c \ufeffabc"])
def test_any_script_is_no_error(mmcli: Run, tmp_path: Path, text: str) -> None:
    assert mmcli("speak", text, "-o", "a.wav", "-q").code == 0


def test_a_megabyte_on_one_line_is_spoken_whole(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words " * 5000 + "x" * 970_000)
    ended = mmcli("speak", "-i", "a.txt", "-o", "a.wav", "--timings", "json", *FAKE)
    assert (ended.code, ended.err) == (0, "")
    # The fake has a tone of 0.3 s for each word; the long one is cut after every 1000 characters.
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(0.3 * (5000 + 970), rel=0.01)


@pytest.mark.parametrize("suffix", [(), ("--timings-file", "/dev/full", "--timings", "srt"), ("--draw", "/dev/full")])
def test_a_full_disk_is_one_line(mmcli: Run, tmp_path: Path, suffix: tuple[str, ...]) -> None:
    output = "a.wav" if suffix else "/dev/full"
    ended = mmcli("speak", "Hello there.", "-o", output, *suffix, *FAKE)
    assert ended.code in (1, 2)
    assert len(ended.notes) == 1


@pytest.mark.parametrize("flag", [("-o", "-"), ("--output-raw",)])
def test_a_reader_that_goes_away_ends_it_quietly(flag: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One two three four five.\n" * 2000)
    command = [sys.executable, "-m", "mmcli", "speak", "-i", str(tmp_path / "a.txt"), *flag, "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    "args, words",
    [
        (["a", "--subs", "b.srt"], "give one text"),
        (["-i", "-", "-i", "-", "-o", "a.wav"], "only once"),
        (["a", "--timings", "srt"], "--timings-file"),
        (["a", "-o", "-", "--timings", "srt"], "--timings-file"),
        (["a", "-o", "a.wav", "--timings", "xyz"], "formats:"),
        (["a", "-o", "a.wav", "--timings-file", "a"], "formats:"),
        (["a", "-o", "a.wav", "--draw", "a.gif"], ".png"),
        (["a", "-o", "a.wav", "--voices", "A"], "NAME=VOICE"),
        (["a", "-o", "a.wav", "--voices", "A=xyzzy"], "xyzzy"),
        (["a", "-o", "-", "--json"], "--json"),
        (["a", "-o", "a.wav", "--speaker-wav", "none.wav"], "none.wav"),
        (["--subs", "none.srt", "-o", "a.wav"], "none.srt"),
        (["-i", "none.txt", "-o", "a.wav"], "none.txt"),
        (["a", "-o", "a.wav", "--volume", "-1"], "--volume"),
        (["a", "-o", "a.wav", "--sentence-silence", "x"], "--sentence-silence"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(mmcli: Run, tmp_path: Path, args: list[str], words: str) -> None:
    ended = mmcli("speak", *args, "-q")
    assert ended.code in (1, 2)
    assert ended.out == ""
    assert len(ended.notes) == 1
    assert words in ended.err
    assert list(tmp_path.iterdir()) == []


def test_samples_of_a_voice_are_checked_before_anything_loads(mmcli: Run, tmp_path: Path) -> None:
    for seconds, words in ((0.1, "too short"), (3.0, "is silent")):
        soundfile.write(tmp_path / "v.wav", np.zeros(int(16000 * seconds)), 16000)
        ended = mmcli("speak", "a", "-o", "a.wav", "--speaker-wav", "v.wav", "-q")
        assert (ended.code, len(ended.notes)) == (1, 1)
        assert words in ended.err


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    peaks = []
    for pages in (5, 100):
        words = itertools.islice(itertools.cycle(["apple", "bread", "candle", "door", "engine."]), 300 * pages)
        (tmp_path / "a.txt").write_text(" ".join(words))
        program = (
            "import resource, sys; from mmcli.__main__ import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        )
        command = [sys.executable, "-c", program, "speak", "-i", "a.txt", "-o", "a.wav", *FAKE]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks.append(int(ended.stdout))
    assert peaks[1] < peaks[0] + 15
