"""The reader on whole conversations: reading aloud, several attachments, documents, bounds, what it keeps."""

from __future__ import annotations

import csv
import io
import logging
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from mmcli.catalogue import ModelCard, read_catalogue
from mmcli.engines import load
from mmcli.engines.backbone.reader import Reader, library
from mmcli.engines.backbone.reader.question import parse
from mmcli.errors import ConfigError, EngineError
from mmcli.media.document import open_document
from mmcli.media.image import open_image
from mmcli.media.ocr import Ocr
from mmcli.options import AnswerOptions
from mmcli.stages import Backbone, Conversation, Document, Image, Message, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WITH_TEXT = (
    "i04.png",
    "i05.png",
    "i06.tif",
    "i08.png",
    "i09.png",
    "i10.jpg",
    "i11.png",
    "i12.jpg",
    "i26.png",
    "i48.jpg",
)
PHOTOS = ("i01.png", "i20.jpg", "i55.webp")


def answers(data: Path) -> Iterator[tuple[str, str, str]]:
    with (data / "ANSWERS.tsv").open(encoding="utf-8") as file:
        for name, question, expected, *_ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield name, question, expected


def heard(question: str) -> str:
    return re.sub(r"[^\w\s'-]", "", question).lower()


def text_file(text: str, name: str = "notes.txt") -> Document:
    return open_document(text.encode(), name)


def counted(image: Image) -> tuple[Image, list[int]]:
    """The picture, and a list that grows with each decoding."""
    decoded: list[int] = []

    def pixels() -> PIL.Image.Image:
        decoded.append(1)
        return image.pixels()

    return Image(image.source, image.width, image.height, pixels, image.facts), decoded


def scanned(pages: int, words: str = "INVOICE {}") -> tuple[Document, list[int]]:
    """A document of pictures, and the numbers of the pages that were drawn."""
    drawn: list[int] = []

    def page(number: int) -> Page:
        def render(width: int) -> PIL.Image.Image:
            drawn.append(number)
            picture = PIL.Image.new("RGB", (width, width // 2), "white")
            font = PIL.ImageFont.load_default(80)
            PIL.ImageDraw.Draw(picture).text((200, 200), words.format(number), fill="black", font=font)
            return picture

        return Page(number, 600, 300, (), render)

    return Document("scan.pdf", pages, lambda: (page(number) for number in range(1, pages + 1))), drawn


# ---------------------------------------------------------------- real pictures


def test_questions_about_real_pictures_with_text_are_answered(data: Path, ask: Callable[..., str]) -> None:
    images = {name: open_image(data / name) for name in WITH_TEXT}
    right, wrong = 0, []
    for name, question, expected in answers(data):
        if name in WITH_TEXT:
            for text in (question, heard(question)):
                answer = ask(text, images[name])
                if re.search(expected, answer, re.IGNORECASE) and "not written" not in answer:
                    right += 1
                else:
                    wrong.append(f"{name}: {text} -> {answer}")
    assert right >= 0.9 * (right + len(wrong)), "\n".join(wrong)


def test_nothing_is_claimed_about_photos_without_text(data: Path, ask: Callable[..., str]) -> None:
    asked = [item for item in answers(data) if item[0] in PHOTOS]
    assert len(asked) >= 5
    for name in PHOTOS:
        image = open_image(data / name)
        for other, question, _ in asked:
            if other == name:
                assert ask(question, image).startswith(f"That is not written in {name}.")


# ---------------------------------------------------------------- reading aloud


def test_columns_are_read_one_after_the_other_with_their_paragraphs_joined(
    pictures: dict[str, Image], ask: Callable[..., str]
) -> None:
    assert ask("", pictures["columns"]).splitlines() == [
        "News from the Old Inn",
        "The garden opened in spring and has been full of guests ever since. Children like the pond with the yellow boats "
        "best of all.",
        "The kitchen buys its fish at the harbour each morning. Bread comes from the village bakery, which was founded by "
        "two sisters long ago.",
    ]


def test_a_table_is_read_row_by_row(pictures: dict[str, Image], ask: Callable[..., str]) -> None:
    lines = ask("", pictures["menu"]).splitlines()
    assert lines[:3] == ["Today's Menu", "Drink, Small, Medium, Large", "Coffee, 2.50, 3.00, 3.50"]


@pytest.mark.parametrize("question", ["", "Read the text.", "What is written here?", "what does it say"])
def test_asked_to_read_it_reads_all(question: str, pictures: dict[str, Image], ask: Callable[..., str]) -> None:
    assert ask(question, pictures["sign"]).splitlines() == ["Oakville, Riverton", "12 km, 48 km", "Mill Road"]


def test_a_picture_without_text_is_described_by_its_facts(pictures: dict[str, Image], ask: Callable[..., str]) -> None:
    answer = ask("", pictures["shapes"])
    assert answer.startswith(
        "Nothing is written in shapes.png, a picture of 640 by 480 pixels, mostly blue, red and yellow."
    )


def test_a_code_is_read_with_the_text(pictures: dict[str, Image], ask: Callable[..., str]) -> None:
    assert ask("", pictures["parcel"]).endswith("A QR code: https://parcel.example.org/track/77120")


def test_facts_of_the_picture_are_told(pictures: dict[str, Image], ask: Callable[..., str], data: Path) -> None:
    assert ask("How big is the picture?", pictures["shapes"]).startswith("640 by 480 pixels.")
    assert ask("Which colours are in the picture?", pictures["shapes"]).startswith("Blue, red and yellow.")
    taken = PIL.Image.new("RGB", (64, 64))
    exif = PIL.Image.Exif()
    exif[36867] = exif[306] = "2021:07:04 10:20:30"
    buffer = io.BytesIO()
    taken.save(buffer, "jpeg", exif=exif)
    assert "2021" in ask("When was the photo taken?", open_image(buffer.getvalue(), "taken.jpg"))
    assert "does not say when" in ask("When was the photo taken?", pictures["shapes"])


# ---------------------------------------------------------------- several attachments, conversations


def test_with_several_attachments_the_answer_says_in_which_it_stands(
    pictures: dict[str, Image], ask: Callable[..., str]
) -> None:
    both = (pictures["receipt"], pictures["menu"])
    assert ask("How much is a large latte?", *both) == '4.40. In menu.png it is written below "Large", beside "Latte".'
    assert "any of receipt.png and menu.png" in ask("How much is the fish?", *both)
    total = ask("What is the total?", pictures["receipt"], text_file("Total: 7.00\n", "second.txt"))
    assert "25.26. In receipt.png" in total
    assert "7.00. In second.txt" in total


def test_a_later_question_is_about_earlier_attachments(reader: Backbone, pictures: dict[str, Image]) -> None:
    messages = (
        Message("user", (pictures["receipt"], "How much is the total?")),
        Message("assistant", ("25.26.",)),
        Message("user", (pictures["menu"], "How much is a large latte?")),
        Message("assistant", ("4.40.",)),
        Message("user", ("And how much is the VAT?",)),
    )
    assert "".join(reader.answer(Conversation(messages), AnswerOptions())).startswith("4.21. In receipt.png")


def test_without_attachments_it_says_what_it_needs(ask: Callable[..., str]) -> None:
    assert ask("Who are you?").startswith("Nothing is attached.")
    assert ask("").startswith("Nothing is attached.")


# ---------------------------------------------------------------- documents


def test_plain_texts_and_tables_of_text_are_answered_from(ask: Callable[..., str]) -> None:
    notes = text_file("# Team meeting\n\nDate: 5 May 2025\nRoom: B12\n\nWe decided to paint the hall green.\n")
    assert ask("What is the heading?", notes).startswith("Team meeting.")
    assert ask("When is the meeting?", notes).startswith("5 May 2025.")
    assert ask("Which room is it?", notes).startswith("B12.")
    assert "not written" in ask("Who is the chairman?", notes)
    table = text_file("city,country,population\nOslo,Norway,709000\nGraz,Austria,292000\n", "cities.csv")
    assert ask("What is the population of Graz?", table).startswith("292000.")
    assert ask("In which country is Oslo?", table).startswith("Norway.")
    spaced = text_file("Planet    Moons\nEarth     1\nMars      2\n")
    assert ask("How many moons does Mars have?", spaced).startswith("2.")
    markdown = text_file("| Tea | Price |\n|---|---|\n| Green | 3.10 |\n| Black | 2.80 |\n", "tea.md")
    assert ask("What is the price of black tea?", markdown).startswith("2.80.")


def test_the_text_layer_of_a_pdf_is_used_without_recognition(ask: Callable[..., str], tmp_path: Path) -> None:
    stream = b"BT /F1 14 Tf 60 700 Td (Rent for March) Tj 0 -40 Td (Deposit) Tj 200 0 Td (850.00 EUR) Tj ET"
    document = open_document(_pdf(stream), "rent.pdf")
    assert ask("How much is the deposit?", document) == '850.00 EUR. It is written beside "Deposit".'
    assert ask("", document).splitlines() == ["Rent for March", "Deposit, 850.00 EUR"]
    assert ask("How many pages does it have? How many pages?", document).startswith("1 page.")


def _pdf(stream: bytes) -> bytes:
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    body = b"%PDF-1.4\n"
    offsets = []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(body)
    return (
        body
        + b"xref\n0 5\n0000000000 65535 f \n"
        + table
        + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start
    )


def test_a_scanned_page_is_recognised_and_named(ask: Callable[..., str]) -> None:
    document, drawn = scanned(2, "Invoice number {0}{0}{0}7")
    assert ask("What is the invoice number on page 2?", document).startswith("2227. In page 2 of scan.pdf")
    assert drawn == [2]


def test_closing_stops_before_the_next_page(reader: Backbone) -> None:
    document, drawn = scanned(5)
    reading = iter(reader.answer(Conversation((Message("user", (document,)),)), AnswerOptions()))
    assert "INVOICE 1" in next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert drawn == [1]


# ---------------------------------------------------------------- bounds, keeping, failing


def test_the_words_of_an_answer_are_bounded(pictures: dict[str, Image], ask: Callable[..., str]) -> None:
    whole = ask("", pictures["letter"]).split()
    assert ask("", pictures["letter"], words=7).split() == whole[:7]
    assert ask("", pictures["letter"], words=len(whole)).split() == whole


def test_a_picture_is_recognised_once_for_all_questions(reader: Backbone, pictures: dict[str, Image]) -> None:
    image, decoded = counted(pictures["sign"])
    for question in ("How far is Riverton?", "How far is Oakville?", ""):
        assert "".join(reader.answer(Conversation((Message("user", (image, question)),)), AnswerOptions()))
    assert len(decoded) == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch, card: ModelCard) -> None:
    monkeypatch.setattr(library, "_KEPT", 2)
    small = Reader(card)
    document, drawn = scanned(4)
    for _ in range(2):
        assert "INVOICE 4" in "".join(small.answer(Conversation((Message("user", (document,)),)), AnswerOptions()))
    assert drawn == [1, 2, 3, 4] * 2
    assert len(small._library._kept) == 2


def test_two_answers_at_once_equal_two_after_each_other(pictures: dict[str, Image], card: ModelCard) -> None:
    both = Reader(card)
    told: dict[str, str] = {}

    def run(name: str, question: str) -> None:
        told[name] = "".join(both.answer(Conversation((Message("user", (pictures[name], question)),)), AnswerOptions()))

    threads = [
        threading.Thread(target=run, args=item)
        for item in (("sign", "How far is Oakville?"), ("bars", "How many on Monday?"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told["sign"].startswith("12 km.")
    assert told["bars"].startswith("120.")


def test_what_is_written_cannot_steer_a_terminal(ask: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = Image("bad\x1b[31m.png", 64, 64, lambda: PIL.Image.new("RGB", (64, 64), "white"))
    document = text_file("Total:\u202e 12.50 \u200bEUR\n", "evil.txt")
    for answer in (ask("", hostile), ask("How much is the total?", document), ask("", document)):
        assert answer
        assert all(c.isprintable() or c == "\n" for c in answer)


def test_a_failing_recogniser_is_an_engine_error(pictures: dict[str, Image], card: ModelCard) -> None:
    broken = Reader(card)
    broken._library._ocr._engine = object()
    with pytest.raises(EngineError, match="text recognition failed"):
        "".join(broken.answer(Conversation((Message("user", (pictures["sign"],)),)), AnswerOptions()))


def test_a_long_narrow_picture_is_read_in_bands_without_doubling_lines() -> None:
    picture = PIL.Image.new("RGB", (420, 2100), "white")
    draw = PIL.ImageDraw.Draw(picture)
    for number in range(30):
        draw.text(
            (30, 20 + 70 * number), f"Line number {number + 100}", fill="black", font=PIL.ImageFont.load_default(30)
        )
    assert [line.text for line in Ocr().lines(picture)] == [f"Line number {number + 100}" for number in range(30)]


def test_a_sloping_page_is_read_line_by_line() -> None:
    picture = PIL.Image.new("RGB", (900, 500), "white")
    draw = PIL.ImageDraw.Draw(picture)
    for number, words in enumerate(("alpha | one", "beta | two", "gamma | three", "delta | four")):
        for x, word in zip((60, 600), words.split(" | "), strict=True):
            draw.text((x, 80 + 80 * number), f"{word} words here", fill="black", font=PIL.ImageFont.load_default(36))
    sloping = picture.rotate(-5, expand=True, fillcolor="white")
    rows = library.make_rows(Ocr().lines(sloping))
    assert [[cell.text.split()[0] for cell in row] for row in rows] == [
        ["alpha", "one"],
        ["beta", "two"],
        ["gamma", "three"],
        ["delta", "four"],
    ]


def test_recognition_is_loaded_by_the_first_picture_only(card: ModelCard) -> None:
    code = (
        "import sys; from mmcli.catalogue import read_catalogue; from mmcli.engines import load;"
        "from mmcli.media.document import open_document; from mmcli.stages import *; from mmcli.options import *;"
        "reader = load(read_catalogue().model('reader'));"
        "note = open_document(b'Total: 3.50', 'a.txt');"
        "print(''.join(reader.answer(Conversation((Message('user', (note, 'total?')),)), AnswerOptions())));"
        "print([name for name in ('rapidocr', 'onnxruntime', 'cv2') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ['3.50. It is written in "Total: 3.50".', "[]"]


def test_recognition_logs_nothing(
    pictures: dict[str, Image], card: ModelCard, capfd: pytest.CaptureFixture[str]
) -> None:
    "".join(Reader(card).answer(Conversation((Message("user", (pictures["shapes"],)),)), AnswerOptions()))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("RapidOCR").level >= logging.CRITICAL


def test_an_unknown_setting_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match='unknown setting "speed"'):
        Reader(ModelCard("reader", "backbone", "reader", "embedded:rapidocr", settings={"speed": 1}))


def test_the_table_of_engines_loads_it(card: ModelCard) -> None:
    assert isinstance(load(card), Reader)
    assert isinstance(load(card), Backbone)


@pytest.fixture
def card() -> ModelCard:
    return read_catalogue().model("reader", "backbone")


def test_may_is_a_month_after_a_preposition_and_a_verb_elsewhere() -> None:
    assert "may" in parse("how many people came in May?").strong
    assert "may" in parse("what happens on 3 May").strong
    assert "may" not in parse("how many dogs may enter?").strong
