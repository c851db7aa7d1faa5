"""The commands through pipes: what goes to standard output, what to standard error, and the exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

Run = Callable[..., Any]


def test_help_goes_to_standard_output_and_a_wrong_command_to_standard_error(mmcli: Run) -> None:
    ended = mmcli("--help")
    assert (ended.code, ended.err) == (0, "")
    assert "transcribe" in ended.out
    ended = mmcli("transcrib")
    assert (ended.code, ended.out) == (2, "")
    assert "Did you mean 'transcribe'" in ended.err
    assert len(ended.notes) == 1


def test_the_version(mmcli: Run) -> None:
    assert mmcli("--version").out.startswith("mmcli 0.")


@pytest.mark.parametrize(
    "args, words",
    [
        (["transcribe"], "Missing argument"),
        (["transcribe", "a.wav", "--beem"], "No such option"),
        (["transcribe", "a.wav", "-f", "doc"], "no such format"),
        (["transcribe", "a.wav", "b.wav", "-f", "srt"], "-o DIR"),
        (["transcribe", "a.wav", "-f", "srt", "-f", "vtt"], "-o DIR"),
        (["transcribe", "-", "-"], "only once"),
        (["transcribe", "a.wav", "-m", "whisper-huge"], 'there is no model "whisper-huge"'),
        (["transcribe", "a.wav", "-p", "none"], 'there is no pipeline "none"'),
        (["ask"], "nothing to ask"),
        (["ask", "-", "-a", "-"], "both the question and an attachment"),
        (["ask", "what?", "-a", "-", "-a", "-"], "only once"),
        (["speak"], "give one text"),
        (["speak", "a", "-i", "b"], "give one text"),
        (["speak", "a", "--output-raw", "-o", "b.wav"], "leave out -o"),
        (["speak", "a", "-o", "b.xyz"], ".xyz"),
        (["run", "embedded"], "nothing to run on"),
        (["run", "embedded", "-t", "x", "--json", "-o", "-"], "cannot both"),
        (["models", "list", "--role"], "requires an argument"),
        (["pipelines", "check", "none"], 'there is no pipeline "none"'),
        (["demo", "-n", "99"], "sample questions"),
        (["transcribe", "a.wav", "--config", "none.toml"], "cannot be read"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(mmcli: Run, args: list[str], words: str) -> None:
    ended = mmcli(*args)
    assert ended.code == 2
    assert ended.out == ""
    assert len(ended.notes) == 1, ended.err
    assert words in ended.err


def test_flags_are_taken_with_underscores_too(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", "--output_format", "json", "--word_timestamps")
    assert ended.code == 0
    assert json.loads(ended.out)["segments"][0]["words"]


# ---------------------------------------------------------------- transcribe


@pytest.mark.parametrize(
    "given, ours",
    [
        ("--word_timestamps True", "--word-timestamps"),
        ("--word_timestamps=True -f json", "--word-timestamps -f json"),
        ("--word-timestamps False -f json", "-f json"),
        ("--language English -f json", "-l en -f json"),
        ("--highlight_words=False -f srt", "-f srt"),
        ("--word_timestamps False --word_timestamps -f json", "--word-timestamps -f json"),
        ("--word_timestamps --word_timestamps False -f json", "-f json"),
    ],
)
def test_the_flags_of_other_whispers_are_taken_with_their_values(
    mmcli: Run, speech: Path, given: str, ours: str
) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", *given.split())
    assert (ended.code, ended.err) == (0, "")
    expected = mmcli("transcribe", speech, "-p", "fake", *ours.split())
    assert _told(ended.out) == _told(expected.out)


def _told(text: str) -> object:
    return {**json.loads(text), "provenance": ""} if text.startswith("{") else text


def test_a_switch_of_a_configuration_is_switched_off(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[pipelines.fake.options.stt]\nword_timestamps = true\n", encoding="utf-8")
    flags = ["transcribe", speech, "-p", "fake", "--config", "c.toml", "-f", "json"]
    for more, count in (([], 5), (["--word_timestamps", "False"], 0)):
        ended = mmcli(*flags, *more)
        assert len(json.loads(ended.out)["segments"][0].get("words", [])) == count
    # Behind what is no switch, and behind --, they are files.
    assert "True: no such file" in mmcli("transcribe", speech, "True", "-p", "fake").err
    assert "True: no such file" in mmcli("transcribe", "-p", "fake", "-q", "True").err
    assert "True: no such file" in mmcli("transcribe", "-p", "fake", "--word-timestamps", "--", "True").err


def test_a_transcript_goes_to_standard_output(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake")
    assert ended.code == 0
    assert [line[:8] for line in ended.out.splitlines()] == ["window 1", "window 2", "window 3"]
    assert ended.err == ""


def test_json_carries_segments_and_provenance(mmcli: Run, speech: Path) -> None:
    document = json.loads(mmcli("transcribe", speech, "-p", "fake", "-f", "json").out)
    assert [round(segment["start"]) for segment in document["segments"]] == [1, 3, 5]
    assert document["language"] == "en"
    assert document["provenance"]["models"]["stt"]["name"] == "fake-stt"
    assert document["provenance"]["timings"]["stt"] >= 0


def test_all_formats_are_written_beside_each_other_and_nothing_else(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", "-f", "all", "-o", "out")
    assert (ended.code, ended.out) == (0, "")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"bursts.{form}" for form in ("aud", "json", "jsonl", "lrc", "srt", "tsv", "txt", "vtt")]
    assert (tmp_path / "out" / "bursts.srt").read_text(encoding="utf-8").startswith("1\n00:00:0")


def test_equal_names_do_not_overwrite_each_other(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "bursts.wav").write_bytes(speech.read_bytes())
    ended = mmcli("transcribe", speech, "other/bursts.wav", "-p", "fake", "-o", "out", "-q")
    assert ended.code == 0
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_output_beside_the_source(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    assert mmcli("transcribe", speech, "-p", "fake", "-o", "source", "-f", "srt").code == 0
    assert speech.with_suffix(".srt").is_file()


def test_standard_input_is_transcribed(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", "-", "-p", "fake", stdin=speech.read_bytes())
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 3


def test_several_files_go_to_standard_output_under_their_names(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", speech, speech, "-p", "fake")
    assert ended.out.count(f"==> {speech} <==") == 2
    ended = mmcli("transcribe", speech, speech, "-p", "fake", "-f", "json")
    assert [len(json.loads(line)["segments"]) for line in ended.out.splitlines()] == [3, 3]


def test_a_bad_file_does_not_stop_the_others(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("no sound " * 100)
    ended = mmcli("transcribe", "empty.wav", speech, "text.mp3", "none.wav", "-p", "fake", "-o", "out", "-q")
    assert ended.code == 3
    assert ended.out == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bursts.txt"]
    assert len([line for line in ended.notes if "error:" in line]) == 3
    assert "3 of 4 failed" in ended.err


def test_an_unknown_language_is_told(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", speech, "-m", "pocketsphinx", "--language", "fi")
    assert ended.code == 2
    assert len(ended.notes) == 1


@pytest.mark.parametrize(
    "name, code",
    [
        ("x01_zero.wav", 1),
        ("x02_trunc.wav", 0),
        ("x03_mp3_named.wav", 0),
        ("x04_silence.wav", 0),
        ("x10_text.mp3", 1),
        ("x20_trunc.jpg", 1),
        ("x22_zero.jpg", 1),
        (".", 1),
        ("none.wav", 1),
    ],
)
def test_odd_files_are_transcribed_or_told_in_one_line(mmcli: Run, data: Path, name: str, code: int) -> None:
    ended = mmcli("transcribe", data / name, "-p", "embedded", "--fast", "-q")
    assert ended.code == code, ended.err
    assert len(ended.notes) == (0 if code == 0 else 1)
    assert "Traceback" not in ended.err
    assert (ended.out == "") == (code == 1 or "silence" in name)


# ---------------------------------------------------------------- ask


def test_a_question_about_a_picture(mmcli: Run, red: Path) -> None:
    ended = mmcli("ask", "what is it?", "-a", red, "-p", "fake")
    assert (ended.code, ended.err) == (0, "")
    assert "a picture of 60 by 40 pixels, red 250 green 10 blue 10" in ended.out
    assert ended.out.endswith("\n")


def test_json_of_an_answer_is_all_there_is_on_standard_output(mmcli: Run, red: Path) -> None:
    document = json.loads(mmcli("ask", "what is it?", "-a", red, "-p", "fake", "--json").out)
    assert document["question"] == "what is it?"
    assert document["attachments"] == [str(red)]
    assert "60 by 40" in document["answer"]
    assert document["provenance"]["pipeline"] == "fake"


def test_the_picture_or_the_question_may_come_from_standard_input(mmcli: Run, red: Path) -> None:
    assert "60 by 40" in mmcli("ask", "what is it?", "-a", "-", "-p", "fake", stdin=red.read_bytes()).out
    assert 'the text "what is it?"' in mmcli("ask", "-", "-a", red, "-p", "fake", stdin=b"what is it?\n").out


def test_the_length_of_an_answer_is_bounded(mmcli: Run) -> None:
    assert mmcli("ask", "what is it?", "-p", "fake", "--max-tokens", "2").out == "You gave\n"


@pytest.mark.parametrize("name", ["x20_trunc.jpg", "x22_zero.jpg", "x42_trunc.png", "none.png", "."])
def test_broken_pictures_are_told_in_one_line(mmcli: Run, data: Path, name: str) -> None:
    ended = mmcli("ask", "what is written here?", "-a", data / name, "-q")
    assert ended.code == 1
    assert len(ended.notes) == 1, ended.err
    assert "Traceback" not in ended.err


def test_a_picture_of_400_million_pixels_is_refused_before_it_is_decoded(mmcli: Run, tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.new("1", (20000, 20000)).save(tmp_path / "huge.png")
    ended = mmcli("ask", "what is written here?", "-a", "huge.png", "-q")
    assert ended.code == 1
    assert len(ended.notes) == 1
    assert "pixel" in ended.err


def test_escapes_of_a_file_name_do_not_reach_the_terminal(mmcli: Run, tmp_path: Path) -> None:
    name = "evil\x1b[31m.wav"
    (tmp_path / name).touch()
    ended = mmcli("transcribe", name, "-p", "fake")
    assert ended.code == 1
    assert "\x1b" not in ended.err


# ---------------------------------------------------------------- speak and run


def test_speech_goes_to_a_file_or_to_standard_output(mmcli: Run, tmp_path: Path) -> None:
    ended = mmcli("speak", "Good morning.", "-o", "a.wav")
    assert (ended.code, ended.out) == (0, "")
    seconds = soundfile.info(tmp_path / "a.wav").duration
    assert 0.5 < seconds < 3
    command = [sys.executable, "-m", "mmcli", "speak", "Good morning.", "-o", "-", "-q"]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav))
    assert len(samples) / rate == pytest.approx(seconds, abs=0.1)
    command[4:] = ["Good morning.", "--output-raw", "-q"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(raw) / 2 / rate == pytest.approx(seconds, abs=0.1)


def test_text_comes_from_standard_input_or_a_file(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("One two three.\nFour five six.\n", encoding="utf-8")
    assert mmcli("speak", "-i", "text.txt", "-o", "a.wav", "-p", "fake").code == 0
    assert mmcli("speak", "-", "-o", "b.wav", "-p", "fake", stdin=b"One two three.\nFour five six.\n").code == 0
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(1.8)
    assert soundfile.info(tmp_path / "b.wav").duration == pytest.approx(1.8)


def test_nothing_to_speak_leaves_no_file(mmcli: Run, tmp_path: Path) -> None:
    for text in ("", "   "):
        ended = mmcli("speak", text, "-o", "a.wav", "-q")
        assert ended.code in (1, 2)
        assert len(ended.notes) == 1
    assert list(tmp_path.iterdir()) == []


def test_voices_are_listed(mmcli: Run) -> None:
    voices = mmcli("speak", "--list-voices", "-q").out.splitlines()
    assert len(voices) > 50
    assert any(line.split("\t")[1].startswith("de") for line in voices)


def test_no_loudspeaker_is_told(mmcli: Run) -> None:
    ended = mmcli("speak", "hello", "-q")
    if ended.code == 0:
        pytest.skip("this machine has a loudspeaker")
    assert ended.code == 2
    assert "-o FILE" in ended.err


def test_a_whole_pipeline_on_files(mmcli: Run, speech: Path, red: Path, tmp_path: Path) -> None:
    ended = mmcli("run", "fake", "--audio", speech, "-a", red, "-o", "reply.wav")
    assert ended.code == 0
    assert "heard: window 1" in ended.err
    assert "a picture of 60 by 40" in ended.out
    assert soundfile.info(tmp_path / "reply.wav").duration > 3


def test_a_whole_pipeline_as_json(mmcli: Run, speech: Path) -> None:
    document = json.loads(mmcli("run", "fake", "--audio", speech, "--json", "-o", "reply.wav").out)
    assert document["heard"].startswith("window 1")
    assert document["reply"] == "reply.wav"
    assert document["reply_seconds"] > 3


def test_a_pipeline_file_is_run(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "hear.toml").write_text('[pipelines.hear]\nvad = "fake-vad"\nstt = "fake-stt"\n')
    ended = mmcli("run", "hear.toml", "--audio", speech)
    assert ended.code == 0
    assert ended.out.splitlines()[0].startswith("window 1")
    ended = mmcli("run", "hear.toml", "--audio", speech, "-o", "reply.wav")
    assert ended.code == 2
    assert "no tts" in ended.err


def test_sound_of_a_reply_on_standard_output_has_nothing_beside_it(speech: Path) -> None:
    command = [sys.executable, "-m", "mmcli", "run", "fake", "--audio", str(speech), "-o", "-"]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    assert soundfile.read(io.BytesIO(wav))[0].any()


# ---------------------------------------------------------------- catalogue and doctor


def test_auto_says_what_it_took(mmcli: Run, red: Path) -> None:
    ended = mmcli("ask", "what is the size of the picture?", "-a", red)
    assert ended.code == 0
    assert "using reader" in ended.err
    assert "mmcli models list" in ended.err
    assert mmcli("ask", "what is the size of the picture?", "-a", red, "-q").err == ""


def test_models_and_pipelines_are_listed_for_machines_too(mmcli: Run) -> None:
    models = {model["name"]: model for model in json.loads(mmcli("models", "list", "--json").out)}
    assert models["espeak"]["state"] == "installed"
    assert Path(models["espeak"]["folder"]).is_dir()
    hearing = [line.split("\t")[:2] for line in mmcli("models", "list", "--role", "stt").out.splitlines()]
    assert ["pocketsphinx", "stt"] in hearing
    assert {role for _, role in hearing} == {"stt"}
    assert json.loads(mmcli("models", "show", "espeak", "--json").out)["license"] == "GPL-3.0-or-later"
    assert "embedded" in mmcli("pipelines", "list").out


def test_a_pipeline_shows_every_value_with_its_origin(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[pipelines.embedded.options.tts]\nspeed = 1.5\n")
    values = json.loads(mmcli("pipelines", "show", "embedded", "--json", "--config", "my.toml").out)
    assert values["stt"] == {"value": "pocketsphinx", "origin": "models.toml"}
    assert values["options.tts.speed"] == {"value": 1.5, "origin": "my.toml"}
    assert values["options.vad.threshold"] == {"value": 0.5, "origin": "default"}


def test_a_pipeline_is_checked_without_loading_it(mmcli: Run, tmp_path: Path) -> None:
    assert mmcli("pipelines", "check", "embedded").code == 0
    (tmp_path / "my.toml").write_text('[pipelines.p]\nstt = "espeak"\n')
    ended = mmcli("pipelines", "check", "my.toml")
    assert ended.code == 2
    assert "has the role tts" in ended.out
    (tmp_path / "my.toml").write_text('[models.espeak]\nsource = "path:/none"\n[pipelines.p]\ntts = "espeak"\n')
    assert mmcli("pipelines", "check", "my.toml").code == 4
    for language in ("English", "en-GB", "auto"):
        (tmp_path / "my.toml").write_text(f'[pipelines.p]\nstt = "pocketsphinx"\noptions.stt.language = "{language}"\n')
        assert mmcli("pipelines", "check", "my.toml").code == 0
    (tmp_path / "my.toml").write_text('[pipelines.p]\nstt = "pocketsphinx"\noptions.vad.max_speech_s = 45.0\n')
    assert "at 30 seconds at the latest" in mmcli("pipelines", "check", "my.toml").out


def test_the_doctor_knows_the_machine(mmcli: Run) -> None:
    report = json.loads(mmcli("doctor", "--json").out)
    assert report["program"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert report["packages"]["numpy"][0].isdigit()
    assert "GB free" in report["machine"]["memory"]
    assert "pip install 'mmcli[all]'" in report["extras"]["all"]
    assert report["engines"]["tts espeak"].startswith("ready")
    assert "missing" not in report["packages"].values()


def test_completion_offers_commands_and_models() -> None:
    def complete(words: str, index: int) -> str:
        env = {**os.environ, "_MMCLI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}
        command = [sys.executable, "-c", "from mmcli.__main__ import main; main()"]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout

    assert "transcribe" in complete("mmcli tr", 1)
    assert "espeak" in complete("mmcli speak --model es", 3)
