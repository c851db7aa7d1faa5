"""The samples: made again they are the same, they hold what their list says, and the embedded models cope with them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer
import numpy as np
import pypdfium2
import pytest
import soundfile
import zxingcpp
from PIL import Image, ImageChops

from mmcli.catalogue import package_data, read_catalogue
from mmcli.engines import load
from mmcli.media.attachments import open_attachment
from mmcli.media.audio import open_audio
from mmcli.options import AnswerOptions, TranscribeOptions, VadOptions
from mmcli.pipeline import build
from mmcli.speech import utterances
from mmcli.stages import Audio, Conversation, Heard, Message, Said, Spoke, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLES = package_data("samples")
LIST: dict[str, Any] = tomllib.loads((SAMPLES / "samples.toml").read_text(encoding="utf-8"))
QUESTIONS: list[dict[str, Any]] = LIST["questions"]
each_question = pytest.mark.parametrize("question", QUESTIONS, ids=[question["attachment"] for question in QUESTIONS])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    subprocess.run([sys.executable, str(SAMPLES / "make.py"), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    catalogue = read_catalogue()
    return {name: load(catalogue.model(name)) for name in ("silero", "pocketsphinx", "reader")}


def hear(stages: dict[str, Any], blocks: Iterable[Audio], fast: bool = False) -> str:
    windows = utterances(blocks, stages["silero"], VadOptions())
    segments = stages["pocketsphinx"].transcribe(windows, TranscribeOptions(fast=fast))
    return " ".join(segment.text for segment in segments)


def test_the_list_and_the_folder_name_the_same_files() -> None:
    listed = {LIST["dialogue"]["audio"]}
    for question in QUESTIONS:
        listed |= {question["audio"], question["attachment"]}
    present = {file.name for file in SAMPLES.iterdir() if file.suffix in (".png", ".pdf", ".flac")}
    assert listed == present
    assert sum(file.stat().st_size for file in SAMPLES.rglob("*") if file.is_file()) < 2_000_000


def test_the_readme_has_every_file_question_and_answer() -> None:
    rows = (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    for question in QUESTIONS:
        (row,) = [row for row in rows if f"({question['attachment']})" in row]
        cells = [cell.strip() for cell in row.split("|")]
        assert f"({question['audio']})" in row
        assert question["text"] in cells
        assert re.search(question["answer"], cells[-2])
    for file in (*SAMPLES.glob("*.py"), *SAMPLES.glob("pipelines/*.toml")):
        assert file.name in "\n".join(rows)


def test_pictures_and_document_are_made_the_same_again(made: Path) -> None:
    for file in SAMPLES.glob("*.png"):
        before, after = (Image.open(folder / file.name).convert("RGB") for folder in (SAMPLES, made))
        assert before.size == after.size
        # Another FreeType may shade the edge of a letter a little differently.
        assert np.asarray(ImageChops.difference(before, after)).mean() < 1, file.name
    assert _pdf_text(SAMPLES / "report.pdf") == _pdf_text(made / "report.pdf")


def test_sounds_are_made_the_same_again(made: Path) -> None:
    for file in SAMPLES.glob("*.flac"):
        (before, rate), (after, rate_after) = soundfile.read(file), soundfile.read(made / file.name)
        assert rate == rate_after == 16000
        assert before.shape == after.shape
        assert np.abs(before - after).max() < 0.01, file.name


def test_the_code_holds_its_sentence() -> None:
    (code,) = zxingcpp.read_barcodes(Image.open(SAMPLES / "qr.png").convert("RGB"))
    assert code.format == zxingcpp.BarcodeFormat.QRCode
    assert code.text == "Free concert in the park on Sunday at 5 pm"


def _pdf_text(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    pages = [document[index] for index in range(len(document))]
    texts = [page.get_textpage() for page in pages]
    found = [text.get_text_bounded().replace("\r\n", "\n") for text in texts]
    for part in (*texts, *pages, document):
        part.close()
    return found


def test_the_report_has_a_text_layer_with_its_tables() -> None:
    first, second = _pdf_text(SAMPLES / "report.pdf")
    for cell in ("Riverside Library", "Month", "Books lent", "12,480", "Helen Carter", "Page 1"):
        assert cell in first
    for cell in ("Money", "Budget", "Spent", "Music", "6,120", "14,380", "Page 2"):
        assert cell in second


@each_question
def test_a_typed_question_is_answered_out_of_its_picture(stages: dict[str, Any], question: dict[str, Any]) -> None:
    parts = (open_attachment(SAMPLES / question["attachment"]), question["text"])
    answer = "".join(stages["reader"].answer(Conversation((Message("user", parts),)), AnswerOptions()))
    assert re.search(question["answer"], answer)


@each_question
def test_the_words_that_matter_are_heard_in_a_spoken_question(stages: dict[str, Any], question: dict[str, Any]) -> None:
    heard = hear(stages, open_audio(SAMPLES / question["audio"]).blocks(16000))
    assert set(question["heard"]) <= set(heard.split())


def test_the_first_spoken_question_is_heard_answered_and_spoken() -> None:
    question = QUESTIONS[0]
    catalogue = read_catalogue()
    pipeline: Any = build(catalogue.pipeline("embedded"), catalogue)
    turn = Turn(
        audio=open_audio(SAMPLES / question["audio"]), attachments=(open_attachment(SAMPLES / question["attachment"]),)
    )
    events = list(pipeline.run(turn))
    heard = " ".join(event.segment.text for event in events if isinstance(event, Heard))
    assert heard == re.sub(r"[^a-z ]", "", question["text"].lower())
    assert re.search(question["answer"], "".join(event.text for event in events if isinstance(event, Said)))
    assert sum(event.audio.seconds for event in events if isinstance(event, Spoke)) > 1


def test_each_channel_of_the_dialogue_holds_one_speaker(stages: dict[str, Any]) -> None:
    dialogue = LIST["dialogue"]
    samples, rate = soundfile.read(SAMPLES / dialogue["audio"], dtype="float32")
    assert samples.shape[1] == 2
    assert 20 < len(samples) / rate < 30
    speaks = [np.abs(samples[: len(samples) // 800 * 800, side]).reshape(-1, 800).max(axis=1) > 0.01 for side in (0, 1)]
    assert not (speaks[0] & speaks[1]).any()
    for side in (0, 1):
        said = " ".join(dialogue["turns"][side::2])
        heard = hear(stages, [Audio(np.ascontiguousarray(samples[:, side]), rate)], fast=True)
        assert jiwer.wer(re.sub(r"[^a-z ]", "", said.lower()), heard) < 0.4


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("pipelines/*.toml")), ids=lambda file: file.stem)
def test_a_pipeline_file_is_right_and_says_when_to_use_it(file: Path) -> None:
    catalogue = read_catalogue(file)
    spec = catalogue.pipeline(file.stem)
    for role, name in spec.models.items():
        assert catalogue.model(name, role).role == role
    assert any(spec.options.values())
    comment = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any("For " in line for line in comment)
    assert any(f"--config samples/pipelines/{file.name}" in line for line in comment)
