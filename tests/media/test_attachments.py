from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pillow_heif
import pytest

from mmcli.errors import InputError
from mmcli.media.attachments import open_attachment
from mmcli.stages import AudioSource, Document, Image, Video

KINDS = {"a": AudioSource, "i": Image, "v": Video}


def test_every_real_file_is_what_its_content_says(data: Path) -> None:
    files = [path for path in data.iterdir() if path.name[0] in KINDS]
    assert len(files) > 45
    for path in files:
        assert isinstance(open_attachment(path), KINDS[path.name[0]]), path.name


@pytest.mark.parametrize(
    "name, kind",
    [
        ("x02_trunc.wav", AudioSource),
        ("x03_mp3_named.wav", AudioSource),
        ("x10_text.mp3", Document),
        ("x21_webp_named.png", Image),
        ("MANIFEST.tsv", Document),
    ],
)
def test_a_wrong_suffix_misleads_nobody(data: Path, name: str, kind: type) -> None:
    assert isinstance(open_attachment(data / name), kind)


@pytest.mark.parametrize(
    "form", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "HEIF", "ICO", "PPM", "QOI", "JPEG2000"]
)
def test_every_picture_format_is_a_picture(tmp_path: Path, form: str) -> None:
    pillow_heif.register_heif_opener()
    PIL.Image.new("RGB", (32, 32), "red").save(tmp_path / "file", form)
    assert isinstance(open_attachment(tmp_path / "file"), Image)


def test_a_pdf_is_a_document(tmp_path: Path, make_pdf) -> None:
    (tmp_path / "scan.jpg").write_bytes(make_pdf([[(72, 700, 12, "Hello")]]))
    found = open_attachment(tmp_path / "scan.jpg")
    assert isinstance(found, Document)
    assert [line.text for line in next(found.pages()).lines] == ["Hello"]


def test_what_is_none_of_them_is_one_line_that_names_what_can_be(data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4" + np.random.default_rng(0).bytes(5000))
    with pytest.raises(InputError, match="cannot be attached; pictures, PDFs, texts, recordings") as caught:
        open_attachment(tmp_path / "a.zip")
    assert caught.value.source == str(tmp_path / "a.zip")
    with pytest.raises(InputError, match="is empty"):
        open_attachment(data / "x01_zero.wav")


@pytest.mark.parametrize("name", ["a01.wav", "a16.m4a", "i01.png", "i62.avif", "MANIFEST.tsv"])
def test_a_pipe_gives_what_the_file_gives(data: Path, piped, name: str) -> None:
    expected = open_attachment(data / name)
    with piped((data / name).read_bytes()) as pipe:
        found = open_attachment(pipe)
        assert type(found) is type(expected)
        match found, expected:
            case AudioSource(), AudioSource():
                sounds = (sum(block.seconds for block in source.blocks(16000)) for source in (found, expected))
                assert next(sounds) == pytest.approx(next(sounds))
            case Image(), Image():
                assert np.array_equal(found.pixels(), expected.pixels())
            case Document(), Document():
                assert next(found.pages()).lines == next(expected.pages()).lines


def test_standard_input_is_told_apart_and_called_by_that_name(data: Path) -> None:
    code = (
        "from mmcli.media.attachments import open_attachment\n"
        "a = open_attachment('-'); print(type(a).__name__, a.source)"
    )
    for name, kind in (("a05.flac", "AudioSource"), ("i07.jpg", "Image"), ("MANIFEST.tsv", "Document")):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            input=(data / name).read_bytes(),
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode() == f"{kind} standard input\n"
