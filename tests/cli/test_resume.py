"""A transcription that was stopped goes on inside its file, and ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmcli import checkpoint
from mmcli.catalogue import package_data, read_catalogue
from mmcli.checkpoint import Checkpoint, open_checkpoint
from mmcli.engines.fake import FakeDetector, FakeTranscriber
from mmcli.errors import EngineError
from mmcli.media.audio import open_audio
from mmcli.media.subtitles import FORMATS
from mmcli.options import Runtime, TranscribeOptions, VadOptions
from mmcli.pipeline import Cascade
from mmcli.stages import Audio, Done, Heard, Segment, Turn, Window
from tests.micro.measure import MODEL

Run = Callable[..., Any]
STEADY = ["--device", "cpu", "--threads", "1", "--temperature-increment-on-fallback", "none"]


def _cache() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"]) / "mmcli" / "transcripts"


def _kept() -> list[Path]:
    return sorted(_cache().glob("*")) if _cache().is_dir() else []


def _stopped(folder: Path, steps: int, how: signal.Signals, *args: object) -> str:
    """What a command had written when it was stopped, after it had kept so many finished stretches."""
    command = [sys.executable, "-m", "mmcli", *map(str, args)]
    with (folder / "stopped.out").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.PIPE)
        while process.poll() is None:
            if any(path.read_bytes().count(b"\n") > steps for path in _kept()):
                process.send_signal(how)
                break
            time.sleep(0.02)
        _, notes = process.communicate(timeout=60)
    assert process.returncode in (-how, 130), notes
    assert (b"the same command goes on inside it" in notes) == (how == signal.SIGINT and "-q" not in args)
    return (folder / "stopped.out").read_text(encoding="utf-8")


@pytest.fixture
def bursts(tmp_path: Path) -> Path:
    """Thirty bursts of tone of half a second."""
    times = np.arange(30 * 24000) / 16000
    path = tmp_path / "bursts.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 300 * times) * (times % 1.5 > 1), 16000)
    return path


@pytest.fixture
def slow(tmp_path: Path) -> list[str]:
    """The flags of a pipeline that takes its time for each burst."""
    (tmp_path / "slow.toml").write_text("[models.fake-stt.settings]\ndelay_s = 0.05\n", encoding="utf-8")
    return ["-p", "fake", "--config", "slow.toml"]


# ---------------------------------------------------------------- a real recogniser


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of the samples' questions with pauses."""
    clips = [soundfile.read(path, dtype="float32") for path in sorted(package_data("samples").glob("question-*.flac"))]
    assert len({rate for _, rate in clips}) == 1
    rate = clips[0][1]
    pieces, count = [], 0
    while count < 180 * rate:
        for number, (samples, _) in enumerate(clips):
            pieces += [samples, np.zeros(rate * (1 + number % 3), np.float32)]
        count = sum(map(len, pieces))
    path = tmp_path_factory.mktemp("spoken") / "spoken.flac"
    soundfile.write(path, np.concatenate(pieces), rate)
    return path


@pytest.mark.parametrize(
    "flags, steps",
    [([], 2), (["--batched", "--batch-size", "2"], 1), (["--no-condition-on-previous-text", "--word-timestamps"], 3)],
    ids=["conditioned", "batched", "words"],
)
def test_a_killed_whisper_goes_on_as_if_nothing_had_happened(
    mmcli: Run, spoken: Path, tmp_path: Path, flags: list[str], steps: int
) -> None:
    command = ["transcribe", spoken, "-m", MODEL, *STEADY, *flags, "-f", "srt"]
    whole = mmcli(*command, "--no-resume")
    assert _kept() == []
    before = _stopped(tmp_path, steps, signal.SIGKILL, *command)
    assert whole.out.startswith(before)
    assert len(before) < len(whole.out)
    ended = mmcli(*command)
    assert (ended.code, ended.out) == (0, whole.out)
    assert "spoken.flac: going on at 00:0" in ended.err
    assert _kept() == []


def test_the_librarys_own_loop_goes_on_behind_the_last_segment(mmcli: Run, spoken: Path, tmp_path: Path) -> None:
    command = ["transcribe", spoken, "-m", MODEL, *STEADY, "--windowing", "sequential", "-f", "tsv"]
    before = _stopped(tmp_path, 3, signal.SIGKILL, *command)
    ended = mmcli(*command)
    assert ended.code == 0
    assert ended.out.startswith(before)
    starts = [int(line.split("\t")[0]) for line in ended.out.splitlines()[1:]]
    assert starts == sorted(starts)
    assert starts[-1] > 160_000


# ---------------------------------------------------------------- how it may be stopped


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_was_heard_is_given_out_again_and_the_rest_is_heard(
    mmcli: Run, bursts: Path, slow: list[str], tmp_path: Path, how: signal.Signals
) -> None:
    whole = mmcli("transcribe", bursts, *slow)
    assert (whole.code, whole.err, len(whole.out.splitlines())) == (0, "", 30)
    before = _stopped(tmp_path, 5, how, "transcribe", bursts, *slow)
    assert 5 <= len(before.splitlines()) < 30
    (kept,) = _kept()
    assert kept.stat().st_mode & 0o777 == 0o600
    ended = mmcli("transcribe", bursts, *slow)
    assert (ended.code, ended.out) == (0, whole.out)
    assert len(ended.notes) == 1
    assert "bursts.wav: going on at 00:00:" in ended.err
    assert _kept() == []


def test_provenance_tells_where_it_went_on(mmcli: Run, bursts: Path, slow: list[str], tmp_path: Path) -> None:
    _stopped(tmp_path, 5, signal.SIGKILL, "transcribe", bursts, *slow, "-f", "json", "-o", "out", "-q")
    ended = mmcli("transcribe", bursts, *slow, "-f", "json", "-o", "out", "-q")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads((tmp_path / "out" / "bursts.json").read_text(encoding="utf-8"))
    assert len(document["segments"]) == 30
    assert document["segments"][4]["end"] <= document["provenance"]["resumed_s"] < 45


def test_another_option_channel_or_content_starts_anew(
    mmcli: Run, bursts: Path, slow: list[str], tmp_path: Path
) -> None:
    _stopped(tmp_path, 5, signal.SIGKILL, "transcribe", bursts, *slow)
    for more in (["--no-resume"], ["--word-timestamps"], ["--channel", "1"], ["--vad-threshold", "0.4"]):
        ended = mmcli("transcribe", bursts, *slow, *more)
        assert (ended.code, ended.err, len(ended.out.splitlines())) == (0, "", 30), more
        assert len(_kept()) == 1
    facts = bursts.stat()
    os.utime(bursts, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    ended = mmcli("transcribe", bursts, *slow)
    assert (ended.err, len(ended.out.splitlines())) == ("", 30)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda content: content[:-9], "going on at"),
        (lambda content: content + b'{"seconds": 40, "segm', "going on at"),
        (lambda content: content + bytes(4096), "going on at"),
        (lambda content: content.replace(b'"start"', b'"begin"', 1), "damaged, so it starts anew"),
        (lambda content: b"{}\n" + content, "damaged, so it starts anew"),
        (lambda content: content.replace(b"window 2", b"\xff\xfe", 1), "damaged, so it starts anew"),
    ],
    ids=["half a line", "a line begun", "zeros of a power cut", "wrong field", "wrong head", "no text"],
)
def test_a_damaged_checkpoint_does_no_harm(
    mmcli: Run, bursts: Path, slow: list[str], tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    _stopped(tmp_path, 4, signal.SIGKILL, "transcribe", bursts, *slow, "-f", "srt")
    (kept,) = _kept()
    kept.write_bytes(damage(kept.read_bytes()))
    ended = mmcli("transcribe", bursts, *slow, "-f", "srt")
    assert ended.code == 0
    assert (words in ended.err, len(ended.notes)) == (True, 1)
    assert ended.out == mmcli("transcribe", bursts, "-p", "fake", "-f", "srt").out
    assert _kept() == []


def test_an_output_that_cannot_be_written_loses_nothing(mmcli: Run, bursts: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bursts.vtt").symlink_to("/dev/full")
    command = ["transcribe", bursts, "-p", "fake", "-f", "all", "-o", "out"]
    ended = mmcli(*command)
    assert (ended.code, len(_kept())) == (1, 1)
    (tmp_path / "out" / "bursts.vtt").unlink()
    # Nothing is left to be heard: the recogniser may be as slow as it likes.
    ended = mmcli(*command)
    assert ended.code == 0
    assert "going on at 00:00:45" in ended.err
    assert {path.suffix[1:] for path in (tmp_path / "out").iterdir()} == set(FORMATS) - {"rttm"}
    assert _kept() == []


def test_a_full_disk_loses_nothing(bursts: Path) -> None:
    command = [sys.executable, "-m", "mmcli", "transcribe", str(bursts), "-p", "fake"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert "No space left" in ended.stderr
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stdout.splitlines()), _kept()) == (0, 30, [])


def test_what_can_be_read_only_once_is_not_kept(
    mmcli: Run, bursts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(mmcli("transcribe", "-", "-p", "fake", stdin=bursts.read_bytes()).out.splitlines()) == 30
    assert not _cache().exists()
    os.mkfifo(tmp_path / "pipe")
    assert open_checkpoint(str(tmp_path / "pipe"), _origin(), "") is None
    assert open_checkpoint(str(tmp_path / "none.wav"), _origin(), "") is None
    # Standard input, whatever files lie here.
    monkeypatch.chdir(tmp_path)
    bursts.rename("-")
    assert open_checkpoint("-", _origin(), "") is None
    kept = open_checkpoint("./-", _origin(), "")
    assert kept is not None
    with kept:
        assert kept.is_empty


def test_without_a_cache_it_is_heard_all_the_same(mmcli: Run, bursts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = mmcli("transcribe", bursts, "-p", "fake", env={"XDG_CACHE_HOME": str(tmp_path / "file")})
    assert (ended.code, len(ended.out.splitlines()), len(ended.notes)) == (0, 30, 1)
    assert "cannot be kept for a restart" in ended.err


# ---------------------------------------------------------------- inside one process


def _origin() -> dict[str, Any]:
    return {"mmcli": "1", "models": {"stt": {"source": "embedded:fake"}}, "options_hash": "0"}


def _cascade(stt: Any) -> Cascade:
    cards = read_catalogue().models
    options = {"vad": VadOptions(), "stt": TranscribeOptions(), "runtime": Runtime()}
    stages = {"vad": FakeDetector(cards["fake-vad"]), "stt": stt}
    return Cascade(stages, options, {"pipeline": "fake", **_origin()}, {})


def _opened(path: Path) -> Checkpoint:
    kept = open_checkpoint(str(path), _origin(), "")
    assert kept is not None
    return kept


class _Failing(FakeTranscriber):
    """Steps down, hears five windows and fails."""

    fallbacks = ("whisper: cuda:0 -> cpu (out of memory)",)

    def transcribe(self, windows: Any, options: Any, carried: Any = None) -> Iterator[Segment]:
        for number, segment in enumerate(super().transcribe(windows, options, carried), 1):
            yield segment
            if number == 5:
                raise EngineError("the model failed")


def test_an_error_of_the_engine_loses_nothing_and_its_steps_down_stay_told(bursts: Path) -> None:
    card = read_catalogue().models["fake-stt"]
    audio = open_audio(bursts)
    alone = [e.segment for e in _cascade(FakeTranscriber(card)).run(Turn(audio=audio)) if isinstance(e, Heard)]
    seen: list[Segment] = []
    for _ in range(2):
        seen = []
        with _opened(bursts) as kept, pytest.raises(EngineError):
            seen.extend(
                e.segment for e in _cascade(_Failing(card)).run(Turn(audio=audio), kept) if isinstance(e, Heard)
            )
    assert seen == alone[:9]
    with _opened(bursts) as kept:
        # The fifth was not finished when the engine failed, and is heard again.
        assert kept.segments == tuple(alone[:8])
        events = list(_cascade(FakeTranscriber(card)).run(Turn(audio=audio), kept))
        kept.remove()
    assert [e.segment for e in events if isinstance(e, Heard)] == alone
    done = events[-1]
    assert isinstance(done, Done)
    assert done.provenance["fallbacks"] == list(_Failing.fallbacks)
    assert done.provenance["resumed_s"] == pytest.approx(alone[7].end, abs=0.001)
    assert _kept() == []


def test_two_processes_do_not_disturb_each_other(mmcli: Run, bursts: Path) -> None:
    with _opened(bursts) as kept:
        assert open_checkpoint(str(bursts), _origin(), "") is None
        heard = kept.hear(FakeTranscriber(read_catalogue().models["fake-stt"]), _windows(3), TranscribeOptions())
        assert len(list(heard)) == 3
    with _opened(bursts) as kept:
        assert len(kept.segments) == 3
        kept.remove()
        # Whoever comes now gets a file of its own, not the one that is going away.
        with _opened(bursts) as other:
            assert other.segments == ()


def _windows(count: int) -> Iterator[Window]:
    for number in range(count):
        yield Window(Audio(np.zeros(16000, np.float32), 16000), 2.0 * number)


def test_a_full_disk_under_the_cache_ends_the_keeping_and_not_the_hearing(
    bursts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stt = FakeTranscriber(read_catalogue().models["fake-stt"])
    with open("/dev/full", "r+b", buffering=0) as full, Checkpoint(full, Path("/nowhere/x"), "talk.wav") as kept:
        assert len(list(kept.hear(stt, _windows(5), TranscribeOptions()))) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "talk.wav: what is heard from here on cannot be kept for a restart (No space left on device)"
    ]


def test_what_nobody_wanted_for_a_month_is_removed(bursts: Path) -> None:
    _cache().mkdir(parents=True)
    for name, days in (("old.jsonl", 31), ("young.jsonl", 29)):
        (_cache() / name).touch()
        os.utime(_cache() / name, (time.time() - days * 86400,) * 2)
    with _opened(bursts):
        assert "young.jsonl" in {path.name for path in _kept()}
        assert "old.jsonl" not in {path.name for path in _kept()}
    # One that holds nothing does not stay.
    assert [path.name for path in _kept()] == ["young.jsonl"]


def test_a_cache_without_room_for_a_line_holds_no_empty_files(
    bursts: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: Any, line: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "_append", full)
    assert open_checkpoint(str(bursts), _origin(), "") is None
    assert "No space left" in caplog.text
    assert _kept() == []
