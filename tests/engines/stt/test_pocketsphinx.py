"""PocketSphinx: the words, their times, their order, and processes that come and go with the work."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest

from mmcli.catalogue import read_catalogue
from mmcli.engines.stt.pocketsphinx import PocketSphinx
from mmcli.errors import ConfigError, EngineError, InputError, UsageError
from mmcli.media.audio import open_audio
from mmcli.options import TranscribeOptions
from mmcli.stages import Audio, Window

CARD = read_catalogue().model("pocketsphinx")
FAST = TranscribeOptions(fast=True)
# Long enough that no decode of it ends while a test looks away.
LONG = Window(Audio(np.random.default_rng(0).normal(0, 0.1, 30 * 16000).astype(np.float32), 16000), 0.0)


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketSphinx]:
    yield PocketSphinx(CARD)
    gc.collect()


@pytest.fixture
def own_engine() -> PocketSphinx:
    """One whose processes a test may end."""
    return PocketSphinx(CARD)


def _workers(pid: int | None = None) -> set[int]:
    """The recognizer's processes below a process (this one by default)."""
    children: set[int] = set()
    for task in Path(f"/proc/{pid or os.getpid()}/task").glob("*/children"):
        children |= set(map(int, task.read_text().split()))
    return {child for child in children if b"sphinx_worker" in _command(child)}


def _command(pid: int) -> bytes:
    # For an instant after its start a process has no command line yet.
    for _ in range(20):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if command:
            break
        time.sleep(0.01)
    return command


def _wait_until_gone(pids: set[int]) -> None:
    for _ in range(600):
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        # A process whose parent was killed may stay as a zombie where nobody collects orphans.
        if all(not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z" for stat in states):
            return
        time.sleep(0.1)
    raise AssertionError(f"still running: {pids}")


def _window(path: Path, start: float = 0.0) -> Window:
    return Window(Audio(np.concatenate([block.samples for block in open_audio(path).blocks(16000)]), 16000), start)


def _text(engine: PocketSphinx, window: Window, options: TranscribeOptions = FAST) -> str:
    return " ".join(segment.text for segment in engine.transcribe(iter([window]), options))


@pytest.mark.parametrize("options", [FAST, TranscribeOptions()])
def test_it_understands_clear_english(engine: PocketSphinx, data: Path, options: TranscribeOptions) -> None:
    clips = {
        "a05.flac": "especially as no more time is occupied or cost incurred in casting setting or printing beautiful "
        "letters",
        "a09.wav": "the child almost hurt the small dog",
        "a34.wav": "sunday is the best part of the week",
        "a11.wav": "how old is the brooklyn bridge",
        "a37.wav": "two people",
    }
    heard = [_text(engine, _window(data / name), options) for name in clips]
    assert jiwer.wer(list(clips.values()), heard) <= 0.1


def test_the_words_are_those_of_the_library_called_directly(engine: PocketSphinx, data: Path) -> None:
    import pocketsphinx

    window = _window(data / "a08.wav")
    pcm = (np.clip(window.audio.samples, -1, 1) * 32767).astype("<i2").tobytes()
    decoder = pocketsphinx.Decoder(loglevel="FATAL", maxhmmpf=3000)
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    assert _text(engine, window) == decoder.hyp().hypstr


def test_words_have_times_in_the_source_and_probabilities(engine: PocketSphinx, data: Path) -> None:
    window = _window(data / "a05.flac", start=3600.0)
    (segment,) = engine.transcribe(iter([window]), replace(FAST, word_timestamps=True))
    assert segment.text == " ".join(word.text for word in segment.words)
    assert re.fullmatch(r"[a-z']+( [a-z']+)*", segment.text)
    assert segment.language == "en"
    assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
    times = [time for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 3600
    assert times[-1] <= 3600 + window.audio.seconds
    probabilities = [word.probability for word in segment.words]
    assert all(probability is not None and 0 <= probability <= 1 for probability in probabilities)
    assert len(set(probabilities)) > 3
    # The words fill most of the clip: the times are seconds, not frames or samples.
    assert times[-1] - times[0] > 0.7 * window.audio.seconds


def test_without_being_asked_it_gives_no_words(engine: PocketSphinx, data: Path) -> None:
    (segment,) = engine.transcribe(iter([_window(data / "a37.wav", 5.0)]), FAST)
    assert segment.words == ()
    assert 5 <= segment.start < segment.end <= 6


@pytest.mark.parametrize("samples", [0, 1, 100, 3000, 16000])
def test_silence_of_any_length_gives_no_segment(engine: PocketSphinx, samples: int) -> None:
    window = Window(Audio(np.zeros(samples, np.float32), 16000), 0.0)
    assert list(engine.transcribe(iter([window]), FAST)) == []
    assert list(engine.transcribe(iter([]), FAST)) == []


def test_sound_beyond_the_range_is_no_matter(engine: PocketSphinx, data: Path) -> None:
    quiet = _window(data / "a37.wav")
    samples = quiet.audio.samples * 1.2 / np.abs(quiet.audio.samples).max()
    samples[:3] = [np.nan, np.inf, -np.inf]
    assert "people" in _text(engine, Window(Audio(samples, 16000), 0.0))


@pytest.mark.parametrize("language", [None, "en", "en-US", "EN"])
def test_english_by_any_name_is_understood(engine: PocketSphinx, data: Path, language: str | None) -> None:
    assert _text(engine, _window(data / "a37.wav"), replace(FAST, language=language)) == "two people"


def test_another_language_is_refused_in_one_line(engine: PocketSphinx) -> None:
    with pytest.raises(UsageError, match=r'^pocketsphinx understands English only, not "de"; [^\n]*--model[^\n]*$'):
        next(engine.transcribe(iter([LONG]), TranscribeOptions(language="de")))


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match='unknown setting "beam"'):
        PocketSphinx(replace(CARD, settings={"beam": 1}))


def test_segments_come_in_the_order_of_the_windows(engine: PocketSphinx, data: Path) -> None:
    # A long one, then short ones that other processes finish sooner.
    names = ["a05.flac", "a37.wav", "a34.wav", "a37.wav", "x04_silence.wav", "a11.wav", "a37.wav"]
    windows = [_window(data / name, 100.0 * number) for number, name in enumerate(names)]
    segments = list(engine.transcribe(iter(windows), FAST))
    assert [int(segment.start // 100) for segment in segments] == [0, 1, 2, 3, 5, 6]
    # And each is what it is on its own: no decoder remembers the window before.
    assert [segment.text for segment in segments] == [
        _text(engine, window) for window, name in zip(windows, names, strict=True) if name != "x04_silence.wav"
    ]


def test_two_uses_at_the_same_time_do_not_mix(engine: PocketSphinx, data: Path) -> None:
    one = engine.transcribe(iter([_window(data / "a37.wav")] * 3), FAST)
    other = engine.transcribe(iter([_window(data / "a11.wav")] * 3), FAST)
    pairs = [(left.text, right.text) for left, right in zip(one, other, strict=True)]
    assert pairs == [("two people", "how old is the brooklyn bridge")] * 3


def test_a_segment_is_given_before_the_next_window_is_there(engine: PocketSphinx, data: Path) -> None:
    given = threading.Event()

    def live() -> Iterator[Window]:
        yield _window(data / "a37.wav")
        assert given.wait(60), "the segment waited for the next window"
        yield _window(data / "a34.wav")

    segments = engine.transcribe(live(), FAST)
    assert next(segments).text == "two people"
    given.set()
    assert next(segments).text == "sunday is the best part of the week"
    assert next(segments, None) is None


def test_an_error_of_the_source_comes_after_the_windows_before_it(engine: PocketSphinx, data: Path) -> None:
    def broken() -> Iterator[Window]:
        yield _window(data / "a37.wav")
        raise InputError("a.wav", "is cut off")

    segments = engine.transcribe(broken(), FAST)
    assert next(segments).text == "two people"
    with pytest.raises(InputError, match="is cut off"):
        next(segments)


def test_windows_are_not_read_far_ahead(engine: PocketSphinx, data: Path) -> None:
    asked = 0
    window = _window(data / "a37.wav")

    def endless() -> Iterator[Window]:
        nonlocal asked
        while True:
            asked += 1
            yield window

    segments = engine.transcribe(endless(), FAST)
    next(segments)
    time.sleep(2)
    assert asked <= 10
    segments.close()


def test_a_process_is_started_at_once_and_others_only_when_windows_wait(data: Path) -> None:
    before = _workers()
    engine = PocketSphinx(CARD)
    assert len(_workers() - before) == 1
    for _ in range(3):
        assert _text(engine, _window(data / "a37.wav")) == "two people"
    assert len(_workers() - before) == 1
    started = _workers() - before
    del engine
    gc.collect()
    assert not _workers() & started


def test_a_process_that_is_killed_gives_one_clear_line_and_the_next_use_works(
    own_engine: PocketSphinx, data: Path
) -> None:
    assert _text(own_engine, _window(data / "a37.wav")) == "two people"
    before = _workers()
    threading.Timer(1.0, lambda: [os.kill(pid, signal.SIGKILL) for pid in before]).start()
    with pytest.raises(EngineError, match=r"^pocketsphinx: [^\n]*signal 9[^\n]*$"):
        list(own_engine.transcribe(iter([LONG]), TranscribeOptions()))
    assert _text(own_engine, _window(data / "a37.wav")) == "two people"


def test_a_process_that_is_killed_while_it_waits_is_replaced(own_engine: PocketSphinx, data: Path) -> None:
    assert _text(own_engine, _window(data / "a37.wav")) == "two people"
    for pid in _workers():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert _text(own_engine, _window(data / "a37.wav")) == "two people"


def test_ctrl_c_does_not_reach_the_processes(data: Path) -> None:
    before = _workers()
    engine = PocketSphinx(CARD)
    (pid,) = _workers() - before
    os.kill(pid, signal.SIGINT)
    assert _text(engine, _window(data / "a37.wav")) == "two people"
    os.kill(pid, signal.SIGINT)
    assert _text(engine, _window(data / "a37.wav")) == "two people"
    assert pid in _workers()


def test_closing_it_in_the_middle_ends_the_work_and_closes_the_source(own_engine: PocketSphinx, data: Path) -> None:
    closed = threading.Event()

    def source() -> Iterator[Window]:
        try:
            yield _window(data / "a37.wav")
            while True:
                yield LONG
        finally:
            closed.set()

    before = _workers()
    segments = own_engine.transcribe(source(), TranscribeOptions())
    assert next(segments).text == "two people"
    busy = _workers()
    segments.close()
    assert closed.wait(10)
    assert _workers() < busy | before
    assert _text(own_engine, _window(data / "a37.wav")) == "two people"


def test_the_processes_end_when_the_program_is_killed_in_the_middle_of_a_decode() -> None:
    program = (
        "import numpy as np\n"
        "from mmcli.catalogue import read_catalogue\n"
        "from mmcli.engines.stt.pocketsphinx import PocketSphinx\n"
        "from mmcli.options import TranscribeOptions\n"
        "from mmcli.stages import Audio, Window\n"
        "sound = np.random.default_rng(0).normal(0, 0.1, 600 * 16000).astype(np.float32)\n"
        "engine = PocketSphinx(read_catalogue().model('pocketsphinx'))\n"
        "print('ready', flush=True)\n"
        "list(engine.transcribe(iter([Window(Audio(sound, 16000), 0.0)]), TranscribeOptions()))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        time.sleep(3)
        pids = _workers(parent.pid)
        assert pids
        parent.kill()
    _wait_until_gone(pids)


def test_a_script_without_a_main_guard_can_use_it(tmp_path: Path, data: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the working folder was imported')")
    program = (
        "import sys; sys.path.pop(0)\n"
        "from mmcli.catalogue import read_catalogue\n"
        "from mmcli.engines import load\n"
        "from mmcli.media.audio import open_audio\n"
        "from mmcli.options import TranscribeOptions\n"
        "from mmcli.stages import Window\n"
        "stt = load(read_catalogue().model('pocketsphinx'))\n"
        "windows = (Window(block, 0.0) for block in open_audio(sys.argv[1]).blocks(16000))\n"
        "print(*[segment.text for segment in stt.transcribe(windows, TranscribeOptions(fast=True))])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(data / "a37.wav")], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "two people\n"
    assert ended.stderr == ""
