"""The whole command on a Whisper that understands: twelve sentences in two languages, spoken by several voices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.micro.clips import RATE
from tests.micro.measure import MODEL, drawn, single


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Files with one sentence each -> its text and language."""
    folder = tmp_path_factory.mktemp("spoken")
    files = {}
    for number, made in enumerate(drawn(single, seed=123, takes=2)):
        (_, clip), *_ = made.spoken
        soundfile.write(folder / f"{number:02}.wav", made.samples, RATE)
        files[str(folder / f"{number:02}.wav")] = clip.text, clip.language
    return files


@pytest.mark.parametrize("more", [[], ["--windowing", "sequential"], ["--beam-size", "1", "--word-timestamps"]])
def test_sentences_are_written_down_word_for_word_in_their_language(
    mmcli: Callable[..., Any], spoken: dict[str, tuple[str, str]], tmp_path: Path, more: list[str]
) -> None:
    ended = mmcli("transcribe", *spoken, "-m", MODEL, "-f", "json", "-o", "out", "-q", *more)
    assert ended.code == 0, ended.err
    documents = [json.loads((tmp_path / "out" / f"{Path(file).stem}.json").read_text()) for file in spoken]
    exact = [document["text"].strip() == text for document, (text, _) in zip(documents, spoken.values(), strict=True)]
    assert sum(exact) >= 0.95 * len(exact), [d["text"] for d, e in zip(documents, exact, strict=True) if not e]
    assert [document["language"] for document in documents] == [language for _, language in spoken.values()]


def test_a_bad_file_among_twenty_leaves_nineteen_transcripts(
    mmcli: Callable[..., Any], spoken: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    files = list(spoken)[:20]
    Path(tmp_path / "bad.wav").write_bytes(b"RIFF no sound at all")
    ended = mmcli("transcribe", *files[:7], "bad.wav", *files[8:], "-m", MODEL, "-o", "out", "-q")
    assert ended.code == 3
    assert len(list((tmp_path / "out").glob("*.txt"))) == 19
    assert len([line for line in ended.notes if "error:" in line]) == 1


def test_a_whisper_takes_its_place_in_a_pipeline(
    mmcli: Callable[..., Any], spoken: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    table = f'[models.micro]\nrole = "stt"\nengine = "faster-whisper"\nsource = "path:{MODEL}"\ninputs = ["audio"]\n'
    pipeline = '[pipelines.mine]\nstt = "micro"\nbackbone = "fake-backbone"\ntts = "espeak"\n'
    (tmp_path / "my.toml").write_text(table + 'outputs = ["text"]\n' + pipeline)
    file, (text, _) = next(iter(spoken.items()))
    ended = mmcli("run", "my.toml", "--audio", file, "-o", "reply.wav", "-q")
    assert ended.code == 0, ended.err
    assert text in ended.out
    assert soundfile.info(tmp_path / "reply.wav").duration > 1
