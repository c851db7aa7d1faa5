"""mmcli compare: what each pipeline did, in a process of its own, in a table, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jiwer
import pytest

from mmcli.catalogue import package_data
from mmcli.cli.compare import Run, word_error
from mmcli.cli.compare_page import page

HOSTILE = "<script>alert(1)</script>\x1b]0;owned\x07 \" onload='x' & \u202e"


class Page(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_embedded_and_the_fake_pipeline_are_compared(mmcli: Callable[..., Any], tmp_path: Path) -> None:
    samples = package_data("samples")
    question, receipt = samples / "question-receipt.flac", samples / "receipt.png"
    ended = mmcli(
        "compare", "embedded", "fake-e2e", "--audio", question, "-a", receipt, "--json", "--html", "page.html"
    )
    assert ended.code == 0, ended.err
    embedded, fake = json.loads(ended.out)
    assert embedded["answer"].startswith("21.23 GBP")
    assert embedded["heard"] == "how much is the total"
    assert embedded["heard_back"]
    assert {"load", "stt", "backbone", "tts", "first_text", "first_audio", "total"} <= embedded["timings"].keys()
    assert fake["answer"].startswith("I heard 2.2 seconds and a picture of")
    # What was said is the question itself, which the recogniser hears.
    assert fake["heard_back"] == "how much is the total"
    assert fake["word_error"] == word_error(fake["answer"], fake["heard_back"])
    assert embedded["memory_mb"] > fake["memory_mb"] > 20
    assert not list(tmp_path.glob("*.wav"))

    text = (tmp_path / "page.html").read_text()
    seen = Page(text)
    assert seen.tags.count("audio") == seen.tags.count("img") == seen.tags.count("svg") == 2
    sources = [value for name, value in seen.attributes if name == "src"]
    assert all(source.startswith(("data:audio/wav;base64,", "data:image/png;base64,")) for source in sources)
    assert "http:" not in text
    assert "https:" not in text
    assert str(samples) not in text
    assert "default-src 'none'" in text


def test_a_pipeline_that_fails_leaves_the_others_their_results(mmcli: Callable[..., Any], speech: Path) -> None:
    ended = mmcli("compare", "interpreter", "fake", "--audio", speech, "--to", "fr", env={"HF_HOME": "/nowhere"})
    assert ended.code == 3
    first, second = ended.out.splitlines()
    assert "mmcli models pull seamless-m4t-v2" in first
    assert "window 1 of" in second
    assert "Traceback" not in ended.err
    ended = mmcli("compare", "interpreter", "interpreter", "-t", "hi", env={"HF_HOME": "/nowhere"})
    assert ended.code == 4


def test_a_pipeline_without_a_voice_is_compared_by_its_text(
    mmcli: Callable[..., Any], tmp_path: Path, speech: Path
) -> None:
    (tmp_path / "quiet.toml").write_text('[pipelines.quiet]\nvad = "fake-vad"\nstt = "fake-stt"\n')
    ended = mmcli("compare", "quiet.toml", "fake", "--audio", speech, "--json")
    assert ended.code == 0, ended.err
    quiet, fake = json.loads(ended.out)
    assert quiet["word_error"] is None
    assert quiet["heard"] == fake["heard"]
    assert fake["reply_seconds"] > 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("fake", "-t", "hi"), "name two pipelines or more"),
        (("fake", "fake-e2e"), "there is nothing to run on"),
        (("fake", "fake-e2e", "--audio", "-"), "standard input can be read only once"),
        (("fake", "nope", "-t", "hi"), 'there is no pipeline "nope"'),
        (("fake", "fake-e2e", "-t", "hi", "--html", "page.txt"), "ends in .html"),
    ],
)
def test_what_cannot_be_compared_is_one_line(args: tuple[str, ...], words: str, mmcli: Callable[..., Any]) -> None:
    ended = mmcli("compare", *args)
    assert (ended.code, len(ended.notes), ended.out) == (2, 1, "")
    assert words in ended.err


def test_hostile_text_stays_text_on_the_page() -> None:
    run = Run(
        HOSTILE, {HOSTILE: HOSTILE}, heard=HOSTILE, answer=HOSTILE, error=HOSTILE, heard_back=HOSTILE, word_error=1
    )
    run.provenance = {"timings": {"load": 0.1, "total": 0.5}}
    text = page([run], HOSTILE, HOSTILE, [HOSTILE])
    seen = Page(text)
    assert "script" not in seen.tags
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert "<script>alert(1)</script>" in "".join(seen.texts)
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in text)


@pytest.mark.parametrize(
    ("reference", "heard"),
    [("how much is it", "how much is it"), ("how much is it", "much was it then"), ("one two", ""), ("a", "b c d")],
)
def test_word_errors_are_those_of_jiwer(reference: str, heard: str) -> None:
    assert word_error(reference, heard) == pytest.approx(jiwer.wer(reference, heard))


def test_case_and_punctuation_are_no_errors() -> None:
    assert word_error("How much? It's 5.", "how MUCH it's 5") == 0
    assert word_error("...", "words") is None
