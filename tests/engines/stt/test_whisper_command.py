"""mmcli transcribe with Whisper: the same files as whisper-ctranslate2 writes, and the flags on their way."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from faster_whisper import decode_audio

from mmcli.catalogue import make_options
from mmcli.errors import ConfigError

# The program, or the module of it that is installed beside us.
PEER = [found] if (found := shutil.which("whisper-ctranslate2")) else [sys.executable, "-m", "whisper_ctranslate2"]
if not found and find_spec("whisper_ctranslate2"):
    PEER = [sys.executable, "-c", "from whisper_ctranslate2.whisper_ctranslate2 import main; main()"]
needs_peer = pytest.mark.skipif(
    not found and find_spec("whisper_ctranslate2") is None, reason="whisper-ctranslate2 is not installed"
)

Run = Callable[..., Any]
COMPUTING = ["--device", "cpu", "--compute-type", "float32", "--threads", "2"]
STEADY = [*COMPUTING, "--temperature-increment-on-fallback", "none"]


# In a batch no times are asked for; random weights give some all the same, upon which the peer stops.
NO_TIMES = ",".join(map(str, range(50364, 51865)))


@pytest.fixture
def long(data: Path, tmp_path: Path) -> Path:
    """Half a minute of speech with pauses, in stereo at 44.1 kHz."""
    pause = np.zeros(24000, np.float32)
    clips = [decode_audio(str(data / name), 44100) for name in ("a01.wav", "a04.wav", "a07.wav", "a14.flac")]
    sound = np.concatenate([part for clip in clips * 2 for part in (clip, pause)])[: 44100 * 34]
    file = tmp_path / "long.flac"
    soundfile.write(file, np.stack([sound, 0.5 * sound], axis=1), 44100)
    return file


def _same(own: Any, other: Any) -> bool:
    """Equal, numbers to a thousandth; nothing is the same as no entry."""
    if isinstance(own, float) or isinstance(other, float):
        return abs(own - other) < 0.0011
    if isinstance(own, dict):
        keys = {key for entry in (own, other) for key, value in entry.items() if value not in (None, [])}
        return all(key in own and key in other and _same(own[key], other[key]) for key in keys)
    if isinstance(own, list):
        return len(own) == len(other) and all(map(_same, own, other))
    return bool(own == other)


@needs_peer
@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("--beam_size 1 --language fr", "--beam-size 1 --language fr"),
        ("--word_timestamps True --language en", "--word-timestamps --language en"),
        (f"--batched True --suppress_tokens {NO_TIMES}", f"--batched --suppress-tokens {NO_TIMES}"),
        (
            "--batched True --batch_size 2 --word_timestamps True --vad_min_silence_duration_ms 100",
            "--batched --batch-size 2 --word-timestamps --vad-min-silence-duration-ms 100",
        ),
        (
            "--vad_filter True --vad_threshold 0.4 --task translate --beam_size 2 --hotwords sea --initial_prompt Yes",
            "--vad-filter --vad-threshold 0.4 --task translate --beam-size 2 --hotwords sea --initial-prompt Yes",
        ),
        (
            "--condition_on_previous_text False --no_speech_threshold None --suppress_tokens 11,13 --language de",
            "--no-condition-on-previous-text --no-speech-threshold none --suppress-tokens 11,13 --language de",
        ),
        (
            "--word_timestamps True --language en --max_line_width 24 --max_line_count 2",
            "--language en --max-line-width 24 --max-line-count 2",
        ),
        (
            "--word_timestamps True --language en --max_words_per_line 3 --highlight_words True",
            "--language en --max-words-per-line 3 --highlight-words",
        ),
    ],
    ids=["greedy", "words", "batched", "batched words", "vad", "thresholds", "lines", "highlight"],
)
def test_sequential_windowing_writes_the_files_of_whisper_ctranslate2(
    mmcli: Run, config: Path, whisper_folder: Path, long: Path, tmp_path: Path, theirs: str, ours: str
) -> None:
    command = [*PEER, str(long), "--model_directory", str(whisper_folder), "-o", str(tmp_path / "theirs")]
    command += [flag.replace("-", "_") if flag.startswith("--c") else flag for flag in COMPUTING]
    command[command.index("__compute_type")] = "--compute_type"
    command += ["--temperature_increment_on_fallback", "None", *theirs.split()]
    peer = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    )
    assert (peer.returncode, "Error" in peer.stderr) == (0, False), peer.stderr
    flags = ["--config", config, "-m", "whisper", "--windowing", "sequential", *STEADY, *ours.split()]
    ended = mmcli("transcribe", long, *flags, "-f", "all", "-o", "ours", "-q")
    assert ended.code == 0, ended.err
    for kind in ("txt", "srt", "vtt", "tsv"):
        own = (tmp_path / "ours" / f"long.{kind}").read_bytes()
        assert own == (tmp_path / "theirs" / f"long.{kind}").read_bytes(), kind
        assert own.strip()
    own_json = json.loads((tmp_path / "ours" / "long.json").read_text(encoding="utf-8"))
    assert own_json.pop("provenance")["options"]["stt"]["windowing"] == "sequential"
    for segment in own_json["segments"]:
        segment.pop("flags", None)  # which the peer has not
    assert _same(own_json, json.loads((tmp_path / "theirs" / "long.json").read_text(encoding="utf-8")))


def test_the_stream_is_heard_with_times_of_the_file_and_told_in_full(mmcli: Run, config: Path, long: Path) -> None:
    ended = mmcli("transcribe", long, "--config", config, "-m", "whisper", *STEADY, "-f", "json", "--language", "de")
    document = json.loads(ended.out)
    starts = [segment["start"] for segment in document["segments"]]
    assert starts == sorted(starts)
    assert {"id", "seek", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"} <= set(
        document["segments"][0]
    )
    assert document["text"] == "".join(segment["text"] for segment in document["segments"])
    assert document["language"] == "de"
    provenance = document["provenance"]
    assert (provenance["device"], provenance["fallbacks"]) == ("cpu", [])
    assert (
        provenance["options"]["runtime"].items() >= {"device": "cpu", "compute_type": "float32", "threads": 2}.items()
    )


def test_only_the_clips_are_heard(mmcli: Run, config: Path, long: Path) -> None:
    flags = ["--config", config, "-m", "whisper", *STEADY, "-f", "tsv", "--clip", "0:10,12,20,22.5"]
    lines = mmcli("transcribe", long, *flags).out.splitlines()[1:]
    assert lines
    for line in lines:
        start, end, _ = line.split("\t")
        assert 10_000 <= int(start) < int(end) <= 12_000 or 20_000 <= int(start) < int(end) <= 22_500, line


def test_the_toml_says_the_same_as_the_flags(mmcli: Run, config: Path, data: Path) -> None:
    flags = mmcli("transcribe", data / "a01.wav", "--config", config, "-m", "whisper", *STEADY, "--task", "translate")
    config.write_text(
        config.read_text(encoding="utf-8")
        + '[pipelines.whisper.options.stt]\ntemperature = [0]\ntask = "translate"\nlogprob_threshold = -inf\n'
        + '[pipelines.whisper.options.runtime]\ndevice = "cpu"\ncompute_type = "float32"\n',
        encoding="utf-8",
    )
    ended = mmcli("transcribe", data / "a01.wav", "--config", config, "-p", "whisper", "-f", "json")
    document = json.loads(ended.out)
    assert flags.out.split() == document["text"].split()
    assert document["provenance"]["options"]["stt"]["logprob_threshold"] is None


@pytest.mark.parametrize(
    "options, words",
    [
        ({"temperature": 0.5}, "temperature must be a list of numbers"),
        ({"temperature": ["hot"]}, "temperature must be float"),
        ({"patience": float("nan")}, "patience must be a number"),
        ({"patience": float("inf")}, "patience must be a number"),
        ({"beam_size": True}, "beam_size must be int"),
        ({"beem_size": 5}, 'did you mean "beam_size"'),
        ({"vad_parameters": []}, '"vad_parameters" is unknown'),
    ],
)
def test_a_mistake_in_the_toml_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        make_options("stt", options, {})


@pytest.mark.parametrize(
    "flags, code, words",
    [
        ("--device cuda:42", 4, "CUDA"),
        ("--device cpu --device-index 1", 2, "do not go together"),
        ("--clip 5,3", 2, "start and end in seconds"),
        ("--temperature 2", 2, "--temperature is from 0 to 1"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(
    mmcli: Run, config: Path, data: Path, flags: str, code: int, words: str
) -> None:
    ended = mmcli("transcribe", data / "a12.wav", "--config", config, "-m", "whisper", *flags.split())
    assert (ended.code, len(ended.notes)) == (code, 1)
    assert words in ended.err


@pytest.mark.parametrize(
    "model, flag",
    [("pocketsphinx", "--hotwords=sea"), ("pocketsphinx", "--windowing=sequential"), ("fake-stt", "--task=translate")],
)
def test_an_engine_refuses_what_it_cannot_honour(mmcli: Run, data: Path, model: str, flag: str) -> None:
    ended = mmcli("transcribe", data / "a12.wav", "-p", "embedded", "-m", model, flag)
    assert ended.code == 2
    assert f"no use for {flag.partition('=')[0]}" in ended.err
