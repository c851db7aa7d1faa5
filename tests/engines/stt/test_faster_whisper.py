"""Whisper: what faster-whisper gives when it is called directly, in the source's time, whatever lacks."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import platform
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np
import pytest

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.engines.stt import whisper_loading as loading
from mmcli.engines.stt.whisper_loading import Place, step_down
from mmcli.errors import EngineError, MissingModel, MissingPackage, MmcliError, UsageError
from mmcli.options import Runtime, TranscribeOptions
from mmcli.stages import Audio, Segment, Window

EXACT = Runtime(device="cpu", compute_type="float32", threads=2)
# No sampling: every result is the same each time.
PLAIN = TranscribeOptions(language="en", temperature=(0.0,))
LIBRARY = {"language": "en", "temperature": 0.0}
CLIPS = ("a01.wav", "a03.wav", "a08.wav", "a12.wav")


def _card(folder: Path) -> ModelCard:
    return ModelCard("whisper", "stt", "faster-whisper", f"path:{folder}")


@pytest.fixture(scope="module")
def whisper(whisper_folder: Path) -> Any:
    return engines.load(_card(whisper_folder), EXACT)


@pytest.fixture(scope="module")
def library(whisper_folder: Path) -> faster_whisper.WhisperModel:
    return faster_whisper.WhisperModel(str(whisper_folder), device="cpu", compute_type="float32", cpu_threads=2)


@pytest.fixture(scope="module")
def clips(data: Path) -> list[np.ndarray]:
    return [faster_whisper.decode_audio(str(data / name)) for name in CLIPS]


def _windows(clips: list[np.ndarray], apart: float = 100.0) -> list[Window]:
    return [Window(Audio(clip, 16000), apart * number) for number, clip in enumerate(clips)]


def _hear(whisper: Any, windows: list[Window], **options: Any) -> list[Segment]:
    return list(whisper.transcribe(iter(windows), dataclasses.replace(PLAIN, **options)))


def _expected(found: Any, window: Window) -> tuple[Any, ...]:
    last = window.start + window.audio.seconds
    start = min(found.start + window.start, last - 0.02)
    end = min(max(found.end + window.start, min(start + 0.02, last)), last)
    return found.text, tuple(found.tokens), pytest.approx(start), pytest.approx(end), pytest.approx(found.avg_logprob)


def _told(segment: Segment) -> tuple[Any, ...]:
    assert segment.decoding is not None
    return segment.text, segment.decoding.tokens, segment.start, segment.end, segment.decoding.avg_logprob


# ---------------------------------------------------------------- against the library


def test_each_window_is_heard_as_the_library_hears_it_and_put_where_it_was(
    whisper: Any, library: Any, clips: list[np.ndarray]
) -> None:
    windows = _windows(clips)
    expected = [
        _expected(found, window)
        for window in windows
        for found in library.transcribe(window.audio.samples, condition_on_previous_text=False, **LIBRARY)[0]
    ]
    segments = _hear(whisper, windows, condition_on_previous_text=False)
    assert [_told(segment) for segment in segments] == expected
    assert len(segments) >= len(windows)
    assert len({segment.text for segment in segments}) > 1, "the text does not depend on the sound"
    assert [round(segment.decoding.seek / 10000) for segment in segments if segment.decoding] == [
        round(segment.start / 100) for segment in segments
    ]


def test_the_text_before_is_told_to_the_next_window(whisper: Any, library: Any, clips: list[np.ndarray]) -> None:
    windows = _windows(clips[:2])
    prompt = library.hf_tokenizer.encode(" About a harbour.", add_special_tokens=False).ids
    first = list(library.transcribe(clips[0], initial_prompt="About a harbour.", **LIBRARY)[0])
    tokens = [*prompt, *(token for found in first for token in found.tokens)]
    second = list(library.transcribe(clips[1], initial_prompt=tokens, **LIBRARY)[0])
    segments = _hear(whisper, windows, initial_prompt="About a harbour.")
    assert [_told(segment) for segment in segments] == [
        *(_expected(found, windows[0]) for found in first),
        *(_expected(found, windows[1]) for found in second),
    ]
    assert segments != _hear(whisper, windows, initial_prompt="About a harbour.", condition_on_previous_text=False)


def test_words_have_the_times_of_the_library_and_those_of_the_source(
    whisper: Any, library: Any, clips: list[np.ndarray]
) -> None:
    window = Window(Audio(clips[0], 16000), 50.0)
    found = [w for s in library.transcribe(clips[0], word_timestamps=True, **LIBRARY)[0] for w in s.words]
    words = [word for segment in _hear(whisper, [window], word_timestamps=True) for word in segment.words]
    assert words
    assert [(w.text, w.start, w.end, w.probability) for w in words] == [
        (w.word, pytest.approx(w.start + 50), pytest.approx(w.end + 50), pytest.approx(w.probability)) for w in found
    ]


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_batch_hears_each_window_as_the_library_hears_it_alone(
    whisper: Any, library: Any, clips: list[np.ndarray], size: int, words: bool
) -> None:
    windows = _windows(clips)
    batches = faster_whisper.BatchedInferencePipeline(library)
    expected = []
    for window in windows:
        ends = [{"start": 0, "end": window.audio.seconds + 1e-6}]
        found, _ = batches.transcribe(window.audio.samples, clip_timestamps=ends, word_timestamps=words, **LIBRARY)
        expected += [(segment.text, tuple(segment.tokens), window.start) for segment in found if segment.text.strip()]
    segments = _hear(whisper, windows, batched=True, batch_size=size, word_timestamps=words)
    assert [
        (s.text, s.decoding.tokens, 100.0 * round(s.start / 100)) for s in segments if s.decoding is not None
    ] == expected
    assert all(bool(segment.words) == words for segment in segments)


def test_the_whole_recording_goes_through_the_librarys_own_loop(
    whisper: Any, library: Any, clips: list[np.ndarray]
) -> None:
    sound = np.concatenate([clips[0], np.zeros(400_000, np.float32), *clips])
    found = list(library.transcribe(sound, temperature=0.0)[0])
    segments = _hear(whisper, [Window(Audio(sound, 16000), 0.0)], windowing="sequential", language=None)
    assert [(s.start, s.end, s.text) for s in segments] == [(f.start, f.end, f.text) for f in found]
    vad = _hear(whisper, [Window(Audio(sound, 16000), 0.0)], windowing="sequential", vad_filter=True)
    filtered = list(library.transcribe(sound, vad_filter=True, **LIBRARY)[0])
    assert [(s.start, s.text) for s in vad] == [(f.start, f.text) for f in filtered]


@pytest.mark.parametrize(
    "options",
    [
        {"task": "translate"},
        {"hotwords": "harbour lights"},
        {"beam_size": 1},
        {"prefix": "Well"},
        {"max_new_tokens": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_reaches_the_library(
    whisper: Any, library: Any, clips: list[np.ndarray], options: dict[str, Any]
) -> None:
    found = [segment.text for segment in library.transcribe(clips[1], **LIBRARY, **options)[0]]
    assert [segment.text for segment in _hear(whisper, _windows(clips[1:2]), **options)] == found


def test_what_is_translated_is_in_english(whisper: Any, clips: list[np.ndarray]) -> None:
    done: list[str] = []
    for options in ({}, {"batched": True}):
        window = Window(Audio(clips[0], 16000), 0.0, lambda _, carried: done.append(carried["language"]))
        segments = _hear(whisper, [window], task="translate", language="de", **options)
        assert {segment.language for segment in segments} == {"en"}
    assert done == ["de", "de"]
    # As the files of whisper-ctranslate2 have it.
    (first, *_) = _hear(whisper, _windows(clips[:1]), task="translate", language="de", windowing="sequential")
    assert first.language == "de"


def test_the_language_is_that_of_the_first_speech(whisper: Any, library: Any, clips: list[np.ndarray]) -> None:
    language, probability, _ = library.detect_language(clips[0])
    segments = _hear(whisper, _windows(clips), language=None)
    assert {segment.language for segment in segments} == {language}
    assert segments == _hear(whisper, _windows(clips), language=language)
    assert 0 < probability <= 1
    each = [library.detect_language(clip)[0] for clip in clips]
    own = _hear(whisper, _windows(clips), language=None, multilingual=True)
    assert [segment.language for segment in own] == [each[round(segment.start / 100)] for segment in own]
    batched = _hear(whisper, _windows(clips), language=None, multilingual=True, batched=True, batch_size=3)
    assert [segment.language for segment in batched] == [each[round(segment.start / 100)] for segment in batched]


# ---------------------------------------------------------------- the stream


def test_times_stay_within_the_window(whisper: Any, clips: list[np.ndarray]) -> None:
    short = [Window(Audio(clip[:9600], 16000), 7.25 * number) for number, clip in enumerate(clips)]
    for options in ({}, {"batched": True, "without_timestamps": False}, {"word_timestamps": True}):
        for segment in _hear(whisper, short, **options):
            window = next(w for w in reversed(short) if w.start <= segment.start)
            assert segment.start < segment.end <= window.start + window.audio.seconds
            assert all(segment.start - 0.6 <= word.start <= word.end <= segment.end + 0.6 for word in segment.words)


def test_what_is_encoded_ahead_is_heard_the_same_and_encoded_once(
    whisper_folder: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = faster_whisper.WhisperModel.encode
    encoded: list[int] = []

    def counted(model: Any, features: np.ndarray) -> Any:
        encoded.append(len(features))
        return encode(model, features)

    monkeypatch.setattr(faster_whisper.WhisperModel, "encode", counted)
    windows = _windows([clip[: 6 * 16000] for clip in clips] * 2)
    ahead = dataclasses.replace(EXACT, compute_type="int8", ahead=True)
    told, counts = [], []
    # One thread for each of what then goes side by side: the number of threads shows in the last bits.
    for runtime in (dataclasses.replace(ahead, ahead=False, threads=1), ahead):
        loaded = engines.load(_card(whisper_folder), runtime)
        told.append([_told(segment)[:4] for segment in _hear(loaded, windows, language=None)])
        counts.append(sum(encoded))
        encoded.clear()
    assert told[0] == told[1]
    assert counts[0] == counts[1] >= len(windows)
    _hear(loaded, windows, language=None, batched=True)
    assert sum(encoded) == len(windows)


def test_weights_that_still_load_may_turn_out_to_be_damaged(whisper_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(whisper_folder, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])
    early = engines.load(_card(tmp_path / "damaged"), dataclasses.replace(EXACT, ahead=True))
    with pytest.raises(EngineError, match="no Whisper model that can be used"):
        _hear(early, _windows([np.zeros(16000, np.float32)]))


# One window, or batch, is decoded while the next waits, one more is fetched, and the reader looks at what came before.
@pytest.mark.parametrize("options, most", [({}, 6), ({"batched": True, "batch_size": 3}, 18)])
def test_sound_that_was_heard_is_not_kept(
    whisper: Any, clips: list[np.ndarray], options: dict[str, Any], most: int
) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    closed: list[bool] = []

    def endless() -> Iterator[Window]:
        try:
            while True:
                samples = clips[3].copy()
                alive.append(weakref.ref(samples))
                yield Window(Audio(samples, 16000), float(len(alive)))
                del samples
        finally:
            closed.append(True)

    # Told no text before it, each of the equal windows has the same segments: none is without any.
    plain = dataclasses.replace(PLAIN, condition_on_previous_text=False, max_new_tokens=12, **options)
    segments = whisper.transcribe(endless(), plain)
    for _ in range(30):
        next(segments)
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= most
    segments.close()
    assert closed == [True]


def test_one_model_serves_two_uses_at_once(whisper: Any, clips: list[np.ndarray]) -> None:
    alone = [_hear(whisper, _windows(clips[:2])), _hear(whisper, _windows(clips[2:]))]
    together: dict[int, list[Segment]] = {}
    users = [
        threading.Thread(target=lambda n=n: together.update({n: _hear(whisper, _windows(clips[2 * n : 2 * n + 2]))}))
        for n in (0, 1)
    ]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [together[0], together[1]] == alone


@pytest.mark.parametrize(
    "options, stops",
    [
        ({"language": None}, 4),
        ({"language": None, "language_detection_segments": 3}, 4),
        ({"initial_prompt": "By the harbour", "prefix": "Well"}, 4),
        ({"initial_prompt": "By the harbour", "condition_on_previous_text": False}, 4),
        ({"language": None, "multilingual": True}, 4),
        ({"language": None, "batched": True, "batch_size": 3}, 2),
        ({"word_timestamps": True}, 4),
    ],
    ids=str,
)
def test_another_use_goes_on_as_the_first_one_would_have(
    whisper: Any, clips: list[np.ndarray], options: dict[str, Any], stops: int
) -> None:
    options = dataclasses.replace(PLAIN, **options)
    done: list[tuple[float, str]] = []

    def note(seconds: float, carried: Any) -> None:
        done.append((seconds, json.dumps(carried)))

    windows = [dataclasses.replace(window, done=note) for window in _windows(clips)]
    heard = list(whisper.transcribe(iter(windows), options))
    assert len(done) == stops
    for seconds, carried in done:
        rest = [window for window in windows if window.start >= seconds]
        after = [segment for segment in heard if segment.start >= seconds]
        assert list(whisper.transcribe(iter(rest), options, json.loads(carried))) == after


def test_the_librarys_own_loop_goes_on_within_the_clips(whisper: Any, clips: list[np.ndarray]) -> None:
    done: list[tuple[float, Any]] = []
    sound = np.concatenate([*clips, *clips])
    options = dataclasses.replace(PLAIN, windowing="sequential", clip_timestamps=(1.0, 10.0, 12.0, 20.0, 22.0, 30.0))
    options = dataclasses.replace(options, without_timestamps=True, max_new_tokens=5)
    window = Window(Audio(sound, 16000), 0.0, lambda *mark: done.append(mark))
    heard = list(whisper.transcribe(iter([window]), options))
    assert [seconds for seconds, _ in done[:-1]] == [segment.end for segment in heard]
    seconds, carried = done[0]
    rest = Window(Audio(sound[round(seconds * 16000) :], 16000), seconds)
    after = list(whisper.transcribe(iter([rest]), options, carried))
    assert [segment.start for segment in after] == [segment.start for segment in heard[1:]] == [12.0, 22.0]
    assert list(whisper.transcribe(iter([Window(rest.audio, 40.0)]), options, carried)) == []


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    "options, words",
    [
        ({"language": "xx"}, 'no language "xx"'),
        ({"task": "sing"}, "transcribe or translate"),
        ({"beam_size": 0}, "--beam-size is at least 1"),
        ({"beam_size": 10_000}, "--beam-size is at most 100"),
        ({"patience": 0.01}, "--patience"),
        ({"temperature": (3.0,)}, "--temperature"),
        ({"batch_size": 4}, "--batch-size needs --batched"),
        ({"batched": True, "prefix": "Well"}, "batched decoding has no use for --prefix"),
        ({"hallucination_silence_threshold": 2.0}, "needs --word-timestamps"),
        ({"suppress_tokens": (10**6,)}, "no token 1000000"),
        ({"max_new_tokens": 448}, "448 tokens"),
        ({"multilingual": True}, "leave out --language"),
        ({"windowing": "sequential", "clip_timestamps": (1.0,), "vad_filter": True}, "--clip and --vad-filter"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    whisper: Any, clips: list[np.ndarray], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        _hear(whisper, _windows(clips[:1]), **options)


def _write(file: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    "damage, error, words",
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), MissingModel, "has no tokenizer.json"),
        (lambda folder: (folder / "model.bin").unlink(), MissingModel, "has no model.bin"),
        (lambda folder: (folder / "vocabulary.json").unlink(), EngineError, "vocabulary"),
        (lambda folder: (folder / "model.bin").write_bytes(b"\x06\0\0\0"), EngineError, "incomplete"),
        (_write("config.json", "{"), EngineError, "config.json"),
        (_write("config.json", "{}"), EngineError, "lang_ids"),
        (_write("tokenizer.json", "[]"), EngineError, "no Whisper model"),
        (_write("preprocessor_config.json", '{"feature_size": 128}'), EngineError, "80 mels"),
        (_write("preprocessor_config.json", '{"chunk_length": 5}'), EngineError, "chunk_length is 5"),
    ],
)
def test_a_damaged_folder_is_one_clear_line(
    whisper_folder: Path, tmp_path: Path, damage: Callable[[Path], object], error: type[MmcliError], words: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whisper_folder, folder)
    damage(folder)
    with pytest.raises(error, match=words) as raised:
        engines.load(_card(folder), EXACT)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "runtime, error, words",
    [
        (Runtime(device="tpu"), UsageError, "auto, cpu, cuda"),
        (Runtime(device="cuda:99"), MissingPackage, "CUDA device|only cuda:0"),
        (Runtime(device="cpu", compute_type="int5"), UsageError, "float32"),
        (Runtime(device="cpu", threads=-1), UsageError, "--threads is from 0"),
    ],
)
def test_a_place_that_is_not_here_is_told(
    whisper_folder: Path, runtime: Runtime, error: type[MmcliError], words: str
) -> None:
    with pytest.raises(error, match=words):
        engines.load(_card(whisper_folder), runtime)


# ---------------------------------------------------------------- stepping down

MEMORY, LIBRARY_LOST = (
    RuntimeError("CUDA failed with error out of memory"),
    RuntimeError("Library libcublas.so.12 is not found"),
)


@pytest.mark.parametrize(
    "place, error, asked, batch, expected",
    [
        (Place("cuda:0", "float16"), MEMORY, Runtime(), 8, Place("cuda:0", "float16", 4)),
        (Place("cuda:0", "float16", 1), MEMORY, Runtime(), 1, Place("cuda:0", "int8", 1)),
        (Place("cuda:0", "int8_float16"), MEMORY, Runtime(), 1, Place("cpu", "auto")),
        (Place("cuda:0", "int8_float16"), MEMORY, Runtime(device="cuda"), 1, None),
        (Place("cuda:0", "float16"), MEMORY, Runtime(compute_type="float16"), 1, Place("cpu", "float16")),
        (Place("cuda:1", "float16"), LIBRARY_LOST, Runtime(), 8, Place("cpu", "auto")),
        (Place("cuda:1", "float16"), LIBRARY_LOST, Runtime(device="cuda:1"), 8, None),
        (Place("cpu", "float32"), MemoryError(), Runtime(), 3, Place("cpu", "float32", 1)),
        (Place("cpu", "float32"), MemoryError(), Runtime(compute_type="float32"), 1, None),
    ],
)
def test_the_steps_down(place: Place, error: Exception, asked: Runtime, batch: int, expected: Place | None) -> None:
    assert step_down(place, error, asked, batch) == expected


@pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 0, reason="CUDA works here")
def test_where_cuda_fails_auto_goes_on_with_the_cpu_and_says_so(
    whisper_folder: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The driver counts a device, and the first use of it fails: here because there is none.
    monkeypatch.setattr(loading.ctranslate2, "get_cuda_device_count", lambda: 1)
    stt = engines.load(_card(whisper_folder), Runtime(threads=2))
    assert stt.device == "cpu"
    assert len(stt.fallbacks) == 1
    assert stt.fallbacks[0].startswith("whisper: cuda:0 -> cpu (")
    assert [record.getMessage() for record in caplog.records] == stt.fallbacks
    assert _hear(stt, _windows(clips[:1]))
    with pytest.raises(MissingPackage, match="--device auto or cpu"):
        engines.load(_card(whisper_folder), Runtime(device="cuda"))


_BEGUN = """
import resource, sys
import numpy as np
from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.options import Runtime, TranscribeOptions
from mmcli.stages import Audio, Window

card = ModelCard("whisper", "stt", "faster-whisper", "path:" + sys.argv[1])
stt = engines.load(card, Runtime(device="cpu", compute_type="float32", threads=1))
sound = np.random.default_rng(0).normal(0, 0.05, 16000 * 10).astype(np.float32)
"""

_SCARCE = (
    _BEGUN
    + """
windows = [Window(Audio(sound, 16000), 10.0 * number) for number in range(48)]
options = dict(language="en", temperature=(0.0,), batched=True, max_new_tokens=3)
few = list(stt.transcribe(iter(windows[:2]), TranscribeOptions(**options, batch_size=2)))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000, -1))
heard = list(stt.transcribe(iter(windows), TranscribeOptions(**options, batch_size=48)))
assert [(s.text, s.start) for s in heard[: len(few)]] == [(s.text, s.start) for s in few]
assert sorted({round(s.start // 10) for s in heard}) == list(range(48)), heard
print("\\n".join(stt.fallbacks))
"""
)


def test_where_memory_lacks_batches_are_halved_and_nothing_is_lost(whisper_folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SCARCE, str(whisper_folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    steps = ended.stdout.splitlines()
    assert steps
    assert steps[0].startswith("whisper: cpu batch size 48 -> 24 (")


def test_what_did_not_fit_is_let_go_before_the_next_is_loaded(
    whisper_folder: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    stt = engines.load(_card(whisper_folder), Runtime(device="cpu", compute_type="default", threads=1, workers=2))
    first = stt._loaded.model

    def lacking(*args: Any, **given: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(first, "encode", lacking)
    heard = _hear(stt, _windows(clips), condition_on_previous_text=False)
    assert {round(segment.start / 100) for segment in heard} == set(range(len(clips)))
    assert [fallback.partition(" (")[0] for fallback in stt.fallbacks] == ["whisper: cpu float32 -> int8"]
    assert not first.model.model_is_loaded
    last = weakref.ref(first)
    monkeypatch.undo()
    del first
    gc.collect()
    assert last() is None


def _lacking_once(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, meanwhile: Any = lambda: None) -> None:
    """The first call of something finds no memory."""
    real, calls = getattr(place, name), itertools.count()

    def call(*args: Any, **given: Any) -> Any:
        if next(calls) == 0:
            meanwhile()
            raise MemoryError
        return real(*args, **given)

    monkeypatch.setattr(place, name, call)


def test_a_model_at_work_is_let_go_when_it_has_ended(
    whisper_folder: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    stt = engines.load(_card(whisper_folder), Runtime(device="cpu", compute_type="default", threads=2, workers=1))
    first = stt._loaded.model
    long = ctranslate2.StorageView.from_array(np.zeros((300, first.model.n_mels, 3000), np.float32))
    busy = threading.Thread(target=lambda: first.model.encode(long))
    there: list[bool] = []
    load = loading.load

    def loaded(*args: Any) -> Any:
        there.append(first.model.model_is_loaded)
        return load(*args)

    def begin() -> None:
        busy.start()
        while not first.model.num_active_batches:
            time.sleep(0.001)

    _lacking_once(monkeypatch, first, "encode", begin)
    monkeypatch.setattr(loading, "load", loaded)
    heard = _hear(stt, _windows(clips), condition_on_previous_text=False)
    assert {round(segment.start / 100) for segment in heard} == set(range(len(clips)))
    busy.join()
    assert there == [False]


def test_a_smaller_model_that_does_not_fit_either_costs_one_recording(
    whisper_folder: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    stt = engines.load(_card(whisper_folder), Runtime(device="cpu", compute_type="default", threads=1))
    expected = _hear(stt, _windows(clips[:1]))
    _lacking_once(monkeypatch, stt._loaded.model, "encode")
    _lacking_once(monkeypatch, loading, "load")
    with pytest.raises(EngineError, match="does not fit into memory"):
        _hear(stt, _windows(clips[:1]))
    assert _hear(stt, _windows(clips[:1])) == expected


_AGAIN = (
    _BEGUN
    + """
options = TranscribeOptions(language="en", temperature=(0.0,), batched=True, max_new_tokens=3, batch_size=8)
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    list(stt.transcribe([Window(Audio(sound, 16000), 10.0 * number) for number in range(8)], options))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the memory of glibc alone is settled")
def test_memory_that_was_freed_is_used_again(whisper_folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _AGAIN, str(whisper_folder)], capture_output=True, text=True, check=True
    )
    faults = [int(line) for line in ended.stdout.split()]
    # The scores alone of a use are 35 thousand pages, which come from the system once.
    assert max(faults[-2:]) < 5_000 < faults[0], faults


# ---------------------------------------------------------------- a folder of transformers


@pytest.fixture
def transformers_folder(whisper_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "transformers"
    folder.mkdir()
    shutil.copyfile(whisper_folder / "tokenizer.json", folder / "tokenizer.json")
    (folder / "config.json").write_text('{"model_type": "whisper"}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_a_folder_of_transformers_needs_the_extra(transformers_folder: Path) -> None:
    with pytest.raises(MissingPackage, match=r"mmcli\[vlm\]"):
        engines.load(_card(transformers_folder), EXACT)


def test_a_folder_of_another_model_is_refused(transformers_folder: Path) -> None:
    (transformers_folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(EngineError, match="'llama', not whisper"):
        engines.load(_card(transformers_folder), EXACT)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_folder_of_transformers_is_converted_once(
    transformers_folder: Path, clips: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    size = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1}
    size |= {"decoder_attention_heads": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    WhisperForConditionalGeneration(WhisperConfig(**size)).save_pretrained(transformers_folder)
    first = engines.load(_card(transformers_folder), EXACT)
    assert _hear(first, _windows(clips[:1]), language=None, max_new_tokens=5, logprob_threshold=None)
    again = engines.load(_card(transformers_folder), EXACT)
    assert [record.getMessage().count("converted") for record in caplog.records] == [1]
    assert _hear(again, _windows(clips[:1]), max_new_tokens=5) == _hear(first, _windows(clips[:1]), max_new_tokens=5)


def test_the_window_that_tells_the_language_is_encoded_once(
    whisper: Any, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = faster_whisper.WhisperModel.encode

    def counted(self: Any, features: np.ndarray) -> Any:
        encoded.append(features.shape[-1])
        return encode(self, features)

    monkeypatch.setattr(faster_whisper.WhisperModel, "encode", counted)
    found = _hear(whisper, _windows(clips[:2]), language=None, temperature=(0.0,))
    detecting = len(encoded)
    told = _hear(whisper, _windows(clips[:2]), language=found[0].language, temperature=(0.0,))
    assert told == found
    assert detecting == len(encoded) - detecting >= 2
