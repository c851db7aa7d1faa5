"""`mmcli transcribe` and `mmcli models` as strangers call them: senseless values, hostile names, nowhere to write."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.errors import UsageError
from mmcli.options import Runtime

Run = Callable[..., Any]
FAKE = ["-p", "fake"]
MICRO = Path(__file__).parent.parent / "micro" / "whisper"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--clip", ","], "--clip names no time"),
        (["--clip", "1:2:3:4"], "--clip: numbers"),
        (["--clip", "nan,2"], "--clip: numbers"),
        (["--temperature-increment-on-fallback", "nan"], "at least 0.01"),
        (["--temperature-increment-on-fallback", "1e-9"], "at least 0.01"),
        (["-f", "srt,"], '-f "": no such format'),
        (["-f", "all,srtt"], '-f "srtt": no such format'),
        (["--no-diarize", "--speakers", "2"], "cannot both be given"),
    ],
)
def test_senseless_values_are_refused_at_once(mmcli: Run, speech: Path, flags: list[str], reason: str) -> None:
    ended = mmcli("transcribe", speech, *FAKE, *flags)
    assert (ended.code, ended.out, len(ended.notes)) == (2, "", 1), ended.err
    assert reason in ended.err


@pytest.mark.parametrize("runtime", [Runtime(device="gpu"), Runtime(device="cpu:1"), Runtime(threads=99999)])
def test_a_senseless_runtime_is_refused_by_every_engine(runtime: Runtime) -> None:
    catalogue = read_catalogue()
    for card in (catalogue.model("fake-stt"), catalogue.model("pocketsphinx"), catalogue.model(str(MICRO))):
        with pytest.raises(UsageError, match=r"the device is|--threads is from"):
            load(card, runtime)


@pytest.mark.parametrize("code", ["xx", "Elvish", "yue"])
def test_an_unknown_language_gets_no_false_suggestion(mmcli: Run, speech: Path, code: str) -> None:
    ended = mmcli("transcribe", speech, "-m", MICRO, "-l", code)
    assert ended.code == 2
    assert ended.notes[-1].endswith(
        f'knows no language "{code}"; languages are codes, such as en, de or zh, or English names'
    )


def test_a_file_name_that_is_no_text_stops_nothing(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.wav")
    shutil.copy(speech, tmp_path / odd)
    ended = mmcli("transcribe", odd, speech, *FAKE, "-f", "all", "-f", "rttm", "--diarize", "-o", "out", "-q")
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert len(list((tmp_path / "out").iterdir())) == 18
    document = json.loads((tmp_path / "out" / os.fsdecode(b"caf\xe9.json")).read_text(encoding="utf-8"))
    assert document["provenance"]["source"] == "caf?.wav"
    assert json.loads(mmcli("transcribe", odd, *FAKE, "-f", "json").out)["segments"] == document_without_speakers(
        document
    )


def document_without_speakers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Its segments as they are without --diarize."""
    return [{key: entry[key] for key in ("id", "start", "end", "text")} for entry in document["segments"]]


def test_text_that_the_terminal_cannot_show_is_written_all_the_same(mmcli: Run, tmp_path: Path) -> None:
    former = {"segments": [{"start": 0, "end": 1, "text": "né 日本"}]}
    (tmp_path / "former.json").write_text(json.dumps(former), encoding="utf-8")
    ended = mmcli("transcribe", "former.json", env={"PYTHONIOENCODING": "ascii"})
    assert (ended.code, ended.out, ended.err) == (0, "n? ??\n", "")


def test_an_empty_name_is_no_file(mmcli: Run, speech: Path) -> None:
    ended = mmcli("transcribe", "", speech, *FAKE)
    assert (ended.code, ended.notes) == (3, ['mmcli: error: "": is no name of a file', "mmcli: 1 of 2 failed"])


def test_a_hyphen_as_folder_is_standard_output(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    ended = mmcli("transcribe", speech, *FAKE, "-f", "srt", "-o", "-")
    assert ended.code == 0
    assert ended.out.startswith("1\n00:00:00,692 --> ")
    assert not (tmp_path / "-").exists()


def test_where_nothing_can_be_written_nothing_is_heard(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("here", encoding="utf-8")
    ended = mmcli("transcribe", speech, *FAKE, "-o", "taken")
    assert ended.code == 1
    assert "a part of its path is a file" in ended.err
    assert not list(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.jsonl")), "it was heard and kept"
    assert mmcli("transcribe", "missing.wav", *FAKE, "-o", "fresh").code == 1
    assert not (tmp_path / "fresh").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_standard_output_ends_the_run(tmp_path: Path, speech: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "mmcli", "transcribe", str(speech), str(speech), *FAKE, "-q"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["mmcli: error: standard output: cannot be written (No space left on device)"]


# ---------------------------------------------------------------- speakers of former transcripts

TOLD = {
    "segments": [
        {"start": 0, "end": 1, "text": "Yes.", "speaker": "SPEAKER_01"},
        {"start": 1, "end": 2, "text": "No.", "speaker": "SPEAKER_00"},
        {"start": 2, "end": 3, "text": "Why?", "speaker": "SPEAKER_01"},
    ]
}


def test_all_formats_have_rttm_where_speakers_are_told(mmcli: Run, speech: Path, tmp_path: Path) -> None:
    for flags, count in (([], 8), (["--diarize"], 9), (["--speakers", "1"], 9)):
        out = tmp_path / str(len(flags))
        assert mmcli("transcribe", speech, *FAKE, "-f", "all", "-o", out, *flags, "-q").code == 0
        assert len(list(out.iterdir())) == count
    assert "SPEAKER bursts 1 0.692" in (tmp_path / "2" / "bursts.rttm").read_text(encoding="utf-8")


def test_speakers_of_a_former_transcript_get_names(mmcli: Run, tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text(json.dumps(TOLD), encoding="utf-8")
    ended = mmcli("transcribe", "told.json", "--speaker-names", "Anna")
    assert (ended.code, ended.out) == (0, "[Anna]: Yes.\n[SPEAKER_00]: No.\n[Anna]: Why?\n")
    ended = mmcli("transcribe", "told.json", "-f", "rttm", "--speaker-names", "Anna,Ben")
    assert [line.split()[7] for line in ended.out.splitlines()] == ["Anna", "Ben", "Anna"]


@pytest.mark.parametrize("flags", [["--diarize"], ["-f", "rttm"], ["--speaker-names", "Anna"]])
def test_a_former_transcript_without_speakers_is_not_passed_over(mmcli: Run, tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "former.json").write_text(json.dumps({"segments": [{"start": 0, "end": 1, "text": "Yes."}]}))
    ended = mmcli("transcribe", "former.json", *flags)
    assert (ended.code, ended.out) == (1, "")
    assert ended.notes == [
        "mmcli: error: former.json: does not tell who speaks; transcribe the recording again with --diarize"
    ]


# ---------------------------------------------------------------- models


@pytest.mark.parametrize("name", ["tiny.pt", "./tiny.pt"])
def test_a_file_is_no_model(mmcli: Run, speech: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "tiny.pt").write_bytes(b"x")
    ended = mmcli("transcribe", speech, "-m", name)
    assert ended.code == 2
    assert f'"{name}" is a file, and a model is a folder' in ended.err


def test_an_address_is_no_file(mmcli: Run) -> None:
    ended = mmcli("transcribe", "https://example.org/a.mp3", "-p", "fake")
    assert ended.code == 1
    assert "https://example.org/a.mp3: is an address, not a file" in ended.err


def test_models_of_no_role_are_not_listed_as_none(mmcli: Run) -> None:
    ended = mmcli("models", "list", "--role", "sst")
    assert (ended.code, ended.out) == (2, "")
    assert ended.notes == ['mmcli: error: "sst" is no role; did you mean "stt"?']


def test_a_model_that_was_added_can_be_taken_out_again(mmcli: Run) -> None:
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("# mine\n[models.other]\nrole = 'stt'\nengine = 'fake-stt'\nsource = 'embedded:mmcli'\n")
    before = config.read_text(encoding="utf-8")
    assert mmcli("models", "add", "micro", MICRO, "-q").code == 0
    assert mmcli("models", "remove", "micro").code == 2, "nobody was there to be asked"
    ended = mmcli("models", "remove", "micro", "--yes")
    assert (ended.code, ended.notes) == (0, [f"mmcli: micro is taken out of {config}; nothing else is deleted"])
    assert config.read_text(encoding="utf-8").strip() == before.strip()
    assert (MICRO / "model.bin").is_file()
    assert "there is no model" in mmcli("models", "remove", "micro", "--yes").err


def test_names_of_models_can_be_read_in_a_narrow_terminal() -> None:
    command = ["-m", "mmcli", "models", "list", "--role", "stt"]
    child = pexpect.spawn(sys.executable, command, dimensions=(24, 40), encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    shown = child.before or ""
    child.close()
    assert child.exitstatus == 0
    assert "pocketsphinx " in shown
    assert "…" not in shown
