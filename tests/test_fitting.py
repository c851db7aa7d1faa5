"""What is given beside a question, as backbones with other inputs get it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from mmcli.catalogue import package_data
from mmcli.errors import ConfigError, InputError, UsageError
from mmcli.fitting import PAGE_WIDTH, Fitter, Pages, Taker, clock, place
from mmcli.media.attachments import open_attachment
from mmcli.media.audio import open_audio
from mmcli.media.document import open_document
from mmcli.media.image import open_image
from mmcli.options import AttachOptions
from mmcli.stages import AudioSource, Document, Image, Page, Segment, TextLine, Turn, Video

TEXT = Taker("texter", ("text",), others=lambda modality: ["eyes", "glasses"])
LOOKER = Taker("looker", ("text", "image"))
WATCHER = Taker("watcher", ("text", "image", "video"))
READER = Taker("reader", ("text", "image", "document"), instructed=False)
HEARER = Taker("hearer", ("text", "audio"))
REPORT = package_data("samples") / "report.pdf"
RECEIPT = package_data("samples") / "receipt.png"
SAID = [Segment(0.5, 2.0, " Hello there."), Segment(4.0, 6.0, " Good\x1b[31m bye.", speaker="Ann")]


def _fitter(taker: Taker, hears: bool = True, **options: Any) -> Fitter:
    return Fitter(taker, AttachOptions(**options), (lambda audio: list(SAID)) if hears else None)


@pytest.fixture
def sound(speech: Path) -> AudioSource:
    return open_audio(speech)


@pytest.fixture
def scan() -> Document:
    """Two pages: a picture of a receipt with a page number over it, and one with text."""

    def render(width: int) -> PIL.Image.Image:
        return PIL.Image.open(RECEIPT).convert("RGB").resize((width, width))

    pages = [
        Page(1, 100, 100, (TextLine("page 1", (0, 0, 10, 10)),), render),
        Page(2, 100, 100, (TextLine("All that is written here is on the second page.", (0, 0, 90, 10)),), render),
    ]
    return Document("folder/scan.pdf", 2, lambda: iter(pages))


def _film(sound: AudioSource | None = None) -> Video:
    def frames() -> Iterator[tuple[float, PIL.Image.Image]]:
        for second in (0.0, 3.0, 5.0):
            yield second, PIL.Image.new("RGB", (20, 10), (int(second) * 40, 0, 0))

    return Video("films/trip.mp4", 7.0, 20, 10, frames, sound)


def _texts(parts: tuple[Any, ...]) -> list[str]:
    return [part if isinstance(part, str) else type(part).__name__ for part in parts]


# ---------------------------------------------------------------- documents


def test_a_document_is_its_text_for_who_takes_none() -> None:
    (one, two) = _fitter(TEXT).parts(open_document(REPORT))
    assert isinstance(one, str)
    assert one.startswith("report.pdf, page 1:\nRiverside Library")
    assert "\nMonth  Visitors  Books lent  Events\nJanuary  4,120  9,870  6\n" in one
    assert str(two).startswith("report.pdf, page 2:\n")


def test_a_document_stays_one_for_who_takes_it() -> None:
    document = open_document(REPORT)
    assert _fitter(READER).parts(document) == (document,)


def test_pages_are_chosen_and_shown_as_pictures() -> None:
    label, picture = _fitter(LOOKER, pages="2,image").parts(open_document(REPORT))
    assert label == "report.pdf, page 2:"
    assert isinstance(picture, Image)
    assert (picture.width, picture.height) == picture.pixels().size == (PAGE_WIDTH, 1754)
    (kept,) = _fitter(READER, pages="2").parts(open_document(REPORT))
    assert isinstance(kept, Document)
    assert [page.number for page in kept.pages()] == [2]
    assert kept.page_count == 1
    assert [type(part) for part in _fitter(READER, pages="image").parts(open_document(REPORT))] == [Image, Image]


def test_a_page_without_text_is_shown(scan: Document) -> None:
    parts = _fitter(LOOKER).parts(scan)
    assert _texts(parts) == [
        "scan.pdf, page 1:",
        "Image",
        "scan.pdf, page 2:\nAll that is written here is on the second page.",
    ]


def test_a_scan_for_who_takes_no_pictures_is_refused_or_recognised(scan: Document) -> None:
    with pytest.raises(
        InputError, match=r'page 1, which has no text: model "texter" takes no pictures.*--ground reads it'
    ):
        _fitter(TEXT).parts(scan)
    label, found, second = _fitter(TEXT, ground=True).parts(scan)
    assert label == "scan.pdf, page 1:"
    assert "HARBOUR CAFE" in str(found)
    assert "second page" in str(second)


def test_a_plain_text_is_what_it_was(tmp_path: Path) -> None:
    text = "def f():\n    return 1\n\n\n# end"
    (tmp_path / "f.py").write_text(text)
    assert _fitter(LOOKER, pages="1,image").parts(open_document(tmp_path / "f.py")) == (f"f.py:\n{text}",)
    assert _fitter(LOOKER, pages="3-4").parts(open_document(tmp_path / "f.py")) == (f"f.py:\n{text}",)


def test_a_page_that_is_not_there_is_told() -> None:
    for pages in ("3", "1-3", "9-"):
        with pytest.raises(InputError, match="has 2 pages, so there is no page"):
            _fitter(LOOKER, pages=pages).parts(open_document(REPORT))


@pytest.mark.parametrize("text", ["", "0", "a", "3-1", "1,,2", "1-2-3", "-3", "images", "１"])
def test_pages_are_numbers_and_ranges(text: str) -> None:
    if text == "１":  # a digit of another script is a digit
        assert Pages.parse(text).ranges == ((1, 1),)
        return
    with pytest.raises(UsageError, match="pages are given as in 1-3,7 or image"):
        Pages.parse(text)


# ---------------------------------------------------------------- pictures


def test_a_picture_is_refused_by_who_sees_nothing_with_names_of_others(red: Path) -> None:
    with pytest.raises(
        InputError, match=r'model "texter" takes no pictures; take one that does \(--model eyes, glasses\)'
    ):
        _fitter(TEXT).parts(open_image(red))


def test_what_is_written_in_a_picture_is_told_with_its_place(red: Path) -> None:
    picture = open_image(RECEIPT)
    image, told = _fitter(LOOKER, ground=True).parts(picture)
    assert image is picture
    rows = str(told).splitlines()
    assert rows[0].startswith("Text found in receipt.png, with left,top,right,bottom in thousandths")
    places = {text: list(map(int, box.split(","))) for box, _, text in (row.partition(": ") for row in rows[1:])}
    left, top, right, bottom = places["21.23 GBP"]
    # On the receipt it is at the right of the seventh tenth of its height.
    assert 550 < left < right < 950
    assert 680 < top < bottom < 780
    assert all(0 <= number <= 1000 for box in places.values() for number in box)
    assert _fitter(TEXT, ground=True).parts(open_image(red)) == ("No text is found in red.png.",)


# ---------------------------------------------------------------- videos and recordings


def test_a_video_is_its_pictures_with_what_is_said_between_them(sound: AudioSource) -> None:
    parts = _fitter(LOOKER).parts(_film(sound))
    assert _texts(parts) == [
        "trip.mp4, a video, 7 seconds long:",
        "0:00 it shows:",
        "Image",
        "0:00 someone says: Hello there.",
        "0:03 it shows:",
        "Image",
        "0:04 Ann says: Good[31m bye.",
        "0:05 it shows:",
        "Image",
    ]
    images = [part for part in parts if isinstance(part, Image)]
    assert [image.pixels().getpixel((0, 0)) for image in images] == [(0, 0, 0), (120, 0, 0), (200, 0, 0)]


def test_a_video_stays_one_for_who_takes_it_and_its_words_come_after(sound: AudioSource) -> None:
    film = _film(sound)
    video, words = _fitter(WATCHER).parts(film)
    assert video is film
    assert words == "What is said in trip.mp4:\n0:00 someone says: Hello there.\n0:04 Ann says: Good[31m bye."
    silent = _film()
    assert _fitter(WATCHER).parts(silent) == (silent,)


def test_nothing_is_heard_where_the_pipeline_has_no_ears(sound: AudioSource) -> None:
    assert "someone says" not in "".join(_texts(_fitter(LOOKER, hears=False).parts(_film(sound))))
    with pytest.raises(ConfigError, match="cannot be heard, as the pipeline has no stt"):
        _fitter(LOOKER, hears=False).parts(sound)


def test_who_is_no_language_model_gets_no_words_beside_the_question(sound: AudioSource) -> None:
    parts = _fitter(READER).parts(_film(sound))
    assert [type(part) for part in parts] == [Image, Image, Image, Document]
    assert [part.source for part in parts if isinstance(part, Image)][1] == "films/trip.mp4 at 0:03"
    assert next(parts[-1].pages()).lines[0].text == "Hello there."  # type: ignore[union-attr]
    assert not any(isinstance(part, str) for part in _fitter(READER, pages="image").parts(open_document(REPORT)))


def test_a_recording_is_its_transcript_or_itself(sound: AudioSource) -> None:
    (told,) = _fitter(TEXT).parts(sound)
    assert str(told).startswith("What is said in bursts.wav:\n0:00 someone says: Hello there.")
    (document,) = _fitter(READER).parts(sound)
    assert isinstance(document, Document)
    assert _fitter(HEARER).parts(sound) == (sound,)


def test_times_are_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 3.9, 59.9, 60, 3599, 3600, 36061)] == [
        *("0:00", "0:03", "0:59", "1:00", "59:59", "1:00:00", "10:01:01")
    ]


# ---------------------------------------------------------------- places


@pytest.mark.parametrize(
    "text, expected",
    [
        ("which?", ["A", "B", "C", "which?"]),
        ("compare {2} with {1}, please", ["C", "compare", "B", "with", "A", ", please"]),
        ("{3}{1}", ["B", "C", "A"]),
        ("{1} and {1} again", ["B", "C", "A", "and", "A", "again"]),
        ("a literal {{1}} and {2}", ["A", "C", "a literal {1} and", "B"]),
        ('{"json": {"a": [1]}, "b": {}}', ["A", "B", "C", '{"json": {"a": [1]}, "b": {}}']),
        ("", ["A", "B", "C"]),
    ],
)
def test_attachments_stand_where_the_question_names_them(text: str, expected: list[str]) -> None:
    assert list(place(text, [("A",), ("B",), ("C",)])) == expected


@pytest.mark.parametrize("text", ["{4}", "{0}", "{1} and {99}"])
def test_a_number_without_attachment_is_told_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match=r"there are 3 attachments; \{\{\d+\}\} is taken literally"):
        place(text, [("A",), ("B",), ("C",)])


# ---------------------------------------------------------------- messages


def test_examples_come_before_as_turns_with_the_same_question(red: Path) -> None:
    one, other, asked = (open_image(red) for _ in range(3))
    turn = Turn("Which {1} is it?", None, (asked,), system="Be short.", examples=((one, "red"), (other, "blue")))
    fitter = _fitter(LOOKER)
    fitter.check(turn)
    messages = fitter.messages(turn, [fitter.parts(asked)], "")
    assert [(message.role, message.parts) for message in messages] == [
        ("system", ("Be short.",)),
        ("user", ("Which", one, "is it?")),
        ("assistant", ("red",)),
        ("user", ("Which", other, "is it?")),
        ("assistant", ("blue",)),
        ("user", ("Which", asked, "is it?")),
    ]


def test_a_spoken_question_goes_on_after_the_typed_one(red: Path) -> None:
    image = open_image(red)
    fitter = _fitter(LOOKER)
    (message,) = fitter.messages(Turn("Look:", None, (image,)), [(image,)], "what is {1}?")
    assert message.parts == (image, "Look: what is {1}?")
    (message,) = fitter.messages(Turn("", None, (image,)), [(image,)], "what is it?")
    assert message.parts == (image, "what is it?")


@pytest.mark.parametrize("given", [{"system": "Be short."}, {"examples": 1}, {"ground": True}])
def test_who_is_no_language_model_refuses_what_only_one_can_use(red: Path, given: dict[str, Any]) -> None:
    image = open_image(red)
    turn = Turn("?", None, (image,), given.get("system", ""), ((image, "red"),) if "examples" in given else ())
    with pytest.raises(
        UsageError, match=f'model "reader" is no language model and has no use for --{next(iter(given))[:6]}'
    ):
        _fitter(READER, ground="ground" in given).check(turn)


def test_examples_need_the_one_attachment_that_is_asked_about(red: Path) -> None:
    image = open_image(red)
    for attachments in ((), (image, image)):
        with pytest.raises(UsageError, match="exactly one attachment"):
            _fitter(LOOKER).check(Turn("?", None, attachments, examples=((image, "red"),)))


def test_an_attachment_that_is_opened_is_what_fits(data: Path) -> None:
    video = open_attachment(data / "v02.mov")
    assert _texts(_fitter(LOOKER).parts(video)) == ["v02.mov, a video, 0.1 seconds long:", "0:00 it shows:", "Image"]
    with pytest.raises(InputError, match="takes no pictures"):
        _fitter(TEXT).parts(video)
