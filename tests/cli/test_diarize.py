"""mmcli transcribe --diarize as a user types it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmcli.catalogue import package_data
from tests.engines.diarize.checkpoints import nemotron, xvector

DIALOGUE = package_data("samples") / "dialogue.flac"


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples, rate = soundfile.read(DIALOGUE)
    path = tmp_path_factory.mktemp("mono") / "two of them.wav"
    soundfile.write(path, samples.mean(axis=1), rate)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that counts what the real voice detector cuts out."""
    path = tmp_path_factory.mktemp("plain") / "plain.toml"
    path.write_text('[pipelines.plain]\nstt = "fake-stt"\n', encoding="utf-8")
    return path


def test_a_call_with_a_channel_each_names_speaks_when(mmcli: Callable[..., Any], plain: Path) -> None:
    ended = mmcli("transcribe", DIALOGUE, "--speaker-names", "Ann, Ben", "-p", plain)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["[Ann]", "[Ben]"] * 3 + ["[Ann]"]
    assert "each channel has a speaker" in ended.err


def test_real_people_who_talk_at_once_in_two_channels_are_both_heard(mmcli: Callable[..., Any], data: Path) -> None:
    ended = mmcli("transcribe", data / "a13_stereo2spk.wav", "--diarize", "-m", "pocketsphinx")
    assert ended.code == 0, ended.err
    first, second = ended.out.splitlines()
    assert first.startswith("[SPEAKER_00]: ")
    assert "curtain on the left" in first
    assert second.startswith("[SPEAKER_01]: ")
    assert "seems extremely" in second


def test_standard_input_is_read_twice_and_told_by_voice(mmcli: Callable[..., Any], mono: Path, plain: Path) -> None:
    given = ("--speakers", "2", "-f", "json", "-p", plain)
    ended = mmcli("transcribe", "-", *given, stdin=mono.read_bytes())
    assert ended.code == 0, ended.err
    assert "roughly" in ended.err
    result = json.loads(ended.out)
    who = [segment["speaker"] for segment in result["segments"]]
    assert set(who) == {"SPEAKER_00", "SPEAKER_01"}
    assert who[:4] == ["SPEAKER_00", "SPEAKER_01"] * 2
    for segment in result["segments"]:
        assert {word["speaker"] for word in segment["words"]} == {segment["speaker"]}
    provenance = result["provenance"]
    assert provenance["models"]["diarize"]["name"] == "spectral"
    assert provenance["options"]["diarize"]["min_speakers"] == 2
    assert provenance["options"]["stt"]["word_timestamps"] is True
    assert json.loads(mmcli("transcribe", mono, *given).out)["segments"] == result["segments"]


def test_rttm_and_the_other_formats_tell_the_speaker(
    mmcli: Callable[..., Any], mono: Path, plain: Path, tmp_path: Path
) -> None:
    given = [part for name in ("rttm", "srt", "tsv") for part in ("-f", name)]
    names = ("--speaker-names", "Ann Smith,Ben")
    ended = mmcli("transcribe", mono, "--speakers", "2", *given, "-o", tmp_path, *names, "-q", "-p", plain)
    assert (ended.code, ended.err) == (0, "")
    lines = (tmp_path / "two of them.rttm").read_text(encoding="utf-8").splitlines()
    form = re.compile(r"SPEAKER two_of_them 1 (\d+\.\d{3}) (\d+\.\d{3}) <NA> <NA> (Ann_Smith|Ben) <NA> <NA>")
    found = [form.fullmatch(line) for line in lines]
    assert all(found)
    assert {match[3] for match in found if match} == {"Ann_Smith", "Ben"}
    assert "[Ann Smith]: " in (tmp_path / "two of them.srt").read_text(encoding="utf-8")
    assert "\t[Ben]: " in (tmp_path / "two of them.tsv").read_text(encoding="utf-8")


def test_all_formats_leave_rttm_to_who_asks_for_it(mmcli: Callable[..., Any], speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mmcli("transcribe", speech, "-p", "fake", "-f", "all", "-o", out, "-q").code == 0
    assert not list(out.glob("*.rttm"))


def test_a_folder_of_a_model_is_one(mmcli: Callable[..., Any], tmp_path: Path, speech: Path) -> None:
    for build in (xvector, nemotron):
        folder = tmp_path / build.__name__
        build(folder)
        ended = mmcli("transcribe", speech, "-p", "fake", "--speaker-model", folder, "--speakers", "1", "-f", "json")
        assert ended.code == 0, ended.err
        result = json.loads(ended.out)
        assert [segment["speaker"] for segment in result["segments"]] == ["SPEAKER_00"] * 3
        assert result["provenance"]["models"]["diarize"]["engine"] == "transformers-speaker"


def test_a_pipeline_can_name_the_model(mmcli: Callable[..., Any], tmp_path: Path, speech: Path) -> None:
    file = tmp_path / "calls.toml"
    text = '[pipelines.calls]\nvad = "fake-vad"\ndiarize = "fake-diarize"\nstt = "fake-stt"\n'
    file.write_text(text + '[pipelines.calls.options.diarize]\nnames = ["Ann", "Ben"]\n', encoding="utf-8")
    told = mmcli("transcribe", speech, "-p", file).out.splitlines()
    assert [line.split(" ")[0] for line in told] == ["[Ann]:", "[Ben]:", "[Ann]:"]
    assert "[" not in mmcli("transcribe", speech, "-p", file, "--no-diarize").out


def test_silence_has_no_speakers(mmcli: Callable[..., Any], data: Path, plain: Path) -> None:
    ended = mmcli("transcribe", data / "x04_silence.wav", "--diarize", "-f", "rttm", "-p", plain, "-q")
    assert (ended.code, ended.out) == (0, "")


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (("--min-speakers", "3", "--max-speakers", "2"), 2, "cannot be 2"),
        (("--speakers", "0"), 2, "at least 1 speaker, not 0"),
        (("--speakers", "2", "--max-speakers", "3"), 2, "cannot both be given"),
        (("--no-diarize", "--speakers", "2"), 2, "cannot both be given"),
        (("--diarize-by", "chanel"), 2, 'did you mean "channel"'),
        (("--diarize-by", "channel"), 1, "--diarize-by voice"),
        (("--speaker-names", "Ann,,Ben"), 2, "Anna,Ben"),
        (("--speaker-model", "whisper-tiny"), 2, "has the role stt, not diarize"),
        (("--speaker-model", "nemotron-diarization"), 4, "mmcli models pull nemotron-diarization"),
        (("--speaker-model", "spectrel"), 2, 'did you mean "spectral"'),
        (("-f", "rttm"), 2, "give --diarize too"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    mmcli: Callable[..., Any], speech: Path, given: tuple[str, ...], code: int, message: str
) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", *given, env={"HF_HOME": str(speech.parent / "none")})
    assert ended.code == code
    assert ended.out == ""
    (line,) = ended.notes
    assert message in line


def test_a_name_cannot_steer_the_terminal(mmcli: Callable[..., Any], speech: Path) -> None:
    ended = mmcli("transcribe", speech, "-p", "fake", "--speaker-names", "A\x1b[31mB")
    assert ended.code == 0
    assert "\x1b" not in ended.out


def test_a_stream_leaves_no_file_behind(mmcli: Callable[..., Any], tmp_path: Path, speech: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    given = ("transcribe", "-", "-p", "fake", "--diarize")
    assert mmcli(*given, stdin=speech.read_bytes(), env={"TMPDIR": str(folder)}).code == 0
    assert list(folder.iterdir()) == []
    assert mmcli(*given, stdin=np.zeros(5, np.int16).tobytes(), env={"TMPDIR": str(folder)}).code == 1
    assert list(folder.iterdir()) == []
