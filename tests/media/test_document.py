from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmcli.errors import InputError
from mmcli.media import document, pdf
from mmcli.media.document import open_document

TABLE = [
    (72.0, 770.0, 24.0, "Invoice 2024-17"),
    (72.0, 700.0, 12.0, "The quick brown fox jumps over the lazy dog."),
    *((72.0, 650.0, 11.0, "Coffee beans"), (300.0, 650.0, 11.0, "2"), (400.0, 650.0, 11.0, "19.80 EUR")),
    *((72.0, 630.0, 11.0, "Tea"), (300.0, 630.0, 11.0, "1"), (400.0, 630.0, 11.0, "4.50 EUR")),
    *((72.0, 600.0, 11.0, "Total"), (102.0, 600.0, 11.0, "sum: "), (72.0, 580.0, 11.0, "Grüße – schön")),
]
WRITTEN = [
    *("Invoice 2024-17", "The quick brown fox jumps over the lazy dog.", "Coffee beans", "2", "19.80 EUR"),
    *("Tea", "1", "4.50 EUR", "Total sum:", "Grüße – schön"),
]


def refused(content: str | Path | bytes) -> str:
    with pytest.raises(InputError) as caught:
        list(open_document(content, "it").pages())
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- PDF


def test_lines_stand_in_reading_order_and_cells_apart(make_pdf) -> None:
    found = open_document(make_pdf([TABLE, [(72, 400, 30, "Page two")]]))
    assert found.page_count == 2
    first, second = found.pages()
    assert (first.number, first.width, first.height) == (1, 595, 842)
    assert [line.text for line in first.lines] == WRITTEN
    assert [line.text for line in second.lines] == ["Page two"]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_boxes_lie_on_the_ink_of_the_page_as_shown(make_pdf, turn: int) -> None:
    for placed, text in zip(TABLE[:2], WRITTEN[:2], strict=True):
        (page,) = open_document(make_pdf([[placed]], turn=turn)).pages()
        assert (page.width, page.height) == ((842, 595) if turn % 180 else (595, 842))
        assert page.render is not None
        picture = page.render(1200)
        assert picture.width == 1200
        scale = page.width / 1200
        rows, columns = np.nonzero(np.asarray(picture.convert("L")) < 128)
        ink = (columns.min() * scale, rows.min() * scale, columns.max() * scale, rows.max() * scale)
        (line,) = page.lines
        left, top, right, bottom = line.box
        assert line.text == text
        assert left - 1 < ink[0] < ink[2] < right + 1
        assert top - 1 < ink[1] < ink[3] < bottom + 1
        # along the line, no longer than the ink but for the white of the first and last letter: a fifth of an em
        along = (right - left) - (ink[2] - ink[0]) if turn % 180 == 0 else (bottom - top) - (ink[3] - ink[1])
        assert along < placed[2] / 5


def test_two_columns_do_not_run_into_each_other(make_pdf) -> None:
    left = [(50.0, 700.0 - 14 * i, 11.0, f"left column, its line {i}") for i in range(5)]
    right = [(300.0, 700.0 - 14 * i, 11.0, f"right column, its line {i}") for i in range(5)]
    (page,) = open_document(make_pdf([left + right])).pages()
    assert sorted(line.text for line in page.lines) == sorted(text for *_, text in left + right)


def test_a_picture_of_a_page_is_rgb_on_white_and_as_wide_as_wanted(make_pdf) -> None:
    (page,) = open_document(make_pdf([TABLE], size=(595.276, 841.89))).pages()
    assert page.render is not None
    for width in (1, 333, 1000, 1653):
        picture = page.render(width)
        assert (picture.mode, picture.width) == ("RGB", width)
        assert picture.height == pytest.approx(width * 841.89 / 595.276, abs=1)
    assert picture.getpixel((5, 5)) == (255, 255, 255)
    for width in (0, 20000):
        with pytest.raises(InputError, match="page 1 cannot be drawn"):
            page.render(width)


def test_pages_can_be_drawn_after_the_document_was_read_and_again(make_pdf, tmp_path: Path) -> None:
    (tmp_path / "t.pdf").write_bytes(make_pdf([TABLE, TABLE]))
    before = os.listdir("/proc/self/fd")
    found = open_document(tmp_path / "t.pdf")
    first, second = list(found.pages())
    assert first.render is not None
    assert second.render is not None
    assert np.array_equal(first.render(200), second.render(200))
    reading = found.pages()
    assert next(reading).number == 1
    reading.close()
    assert next(found.pages()).lines == first.lines
    assert os.listdir("/proc/self/fd") == before


def test_bad_pdfs_are_one_line(make_pdf, pdf_with_password: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(pdf_with_password).startswith("it: is protected with a password")
    assert refused(b"%PDF-1.7 and nothing more") == "it: the PDF is damaged or cut off"
    assert refused(make_pdf([TABLE])[:500]) == "it: the PDF is damaged or cut off"
    monkeypatch.setattr(pdf, "MAX_PAGES", 3)
    assert open_document(make_pdf([[]] * 3)).page_count == 3
    assert "has 4 pages, more than 3" in refused(make_pdf([[]] * 4))
    monkeypatch.setattr(pdf, "MAX_PDF_BYTES", 300)
    assert "is larger than" in refused(make_pdf([TABLE]))


# ---------------------------------------------------------------- text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_texts_of_any_encoding_are_read(encoding: str) -> None:
    found = open_document("Grüße – “quoted”\r\n\r\n  indented\tword\r\n".encode(encoding))
    (page,) = found.pages()
    assert (found.page_count, page.number, page.width, page.height, page.render) == (1, 1, 18, 3, None)
    assert [(line.text, line.box) for line in page.lines] == [
        ("Grüße – “quoted”", (0, 0, 16, 1)),
        ("indented    word", (2, 2, 18, 3)),
    ]


def test_a_real_table_has_a_line_for_each_line(data: Path) -> None:
    text = (data / "MANIFEST.tsv").read_text(encoding="utf-8")
    (page,) = open_document(data / "MANIFEST.tsv").pages()
    assert len(page.lines) == len(text.splitlines())


def test_one_damaged_byte_in_a_long_utf_8_text_costs_only_itself() -> None:
    words = ("Grüße aus Köln. " * 200).encode()
    (page,) = open_document(words[:1000] + b"\xff" + words[1000:]).pages()
    assert page.lines[0].text.count("\ufffd") == 1
    assert page.lines[0].text.startswith("Grüße aus Köln.")


def test_the_colours_of_a_log_are_taken_out() -> None:
    (page,) = open_document(b"\x1b[1;31mERROR\x1b[0m disk \x1b]8;;http://x\x07full\n").pages()
    assert [line.text for line in page.lines] == ["ERROR disk full"]


def test_what_is_no_text_is_refused(data: Path, tmp_path: Path) -> None:
    for name in ("a01.wav", "a05.flac", "a06.mp3", "a16.m4a", "i01.png", "i07.jpg", "i62.avif"):
        assert refused(data / name).startswith("it: is neither a PDF nor a text")
    rng = np.random.default_rng(0)
    for size in (10, 100, 5000):
        assert "neither a PDF nor a text" in refused(b"\0" + rng.bytes(size))
    late = b"plain text\n" * 1000 + bytes(range(32)) * 100
    (tmp_path / "late.txt").write_bytes(late)
    assert "neither a PDF nor a text" in refused(tmp_path / "late.txt")
    assert refused(b"") == "it: is empty"


def test_a_text_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    big = b"line of text\n" * (document.MAX_TEXT_BYTES // 13 + 1)
    (tmp_path / "big.log").write_bytes(big)
    assert "is larger than 20 MB" in refused(tmp_path / "big.log")
    assert "is larger than 20 MB" in refused(big)


def test_text_and_pdf_through_a_pipe(make_pdf, piped) -> None:
    with piped(b"one\ntwo\n") as name:
        (page,) = open_document(name).pages()
    assert [line.text for line in page.lines] == ["one", "two"]
    with piped(make_pdf([TABLE])) as name:
        found = open_document(name)
    assert [line.text for line in next(found.pages()).lines] == WRITTEN
