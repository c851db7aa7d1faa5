"""Pictures drawn for the reader, and the reader itself, loaded once."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest
import qrcode

from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions
from mmcli.stages import Conversation, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcli.stages import Backbone, Image, Part


class Drawing:
    """A white picture with text written on it."""

    def __init__(self, width: int, height: int, ground: str = "white") -> None:
        self.picture = PIL.Image.new("RGB", (width, height), ground)
        self.draw = PIL.ImageDraw.Draw(self.picture)

    def write(self, x: float, y: float, text: str, size: int = 24, anchor: str = "la", fill: str = "black") -> None:
        self.draw.text((x, y), text, fill=fill, font=PIL.ImageFont.load_default(size), anchor=anchor)

    def rows(self, top: int, step: int, columns: tuple[int, ...], rows: str, size: int = 24) -> None:
        """A table: a row a line, cells parted by |."""
        for number, row in enumerate(rows.strip().splitlines()):
            for x, cell in zip(columns, row.split("|"), strict=False):
                self.write(x, top + number * step, cell.strip(), size)

    def lines(self, x: int, top: int, text: str, size: int = 24, step: float = 1.4) -> None:
        for number, line in enumerate(text.strip().splitlines()):
            self.write(x, top + number * size * step, line.strip(), size)

    def image(self, name: str) -> Image:
        buffer = io.BytesIO()
        self.picture.save(buffer, "png")
        return open_image(buffer.getvalue(), name)


def receipt() -> Image:
    d = Drawing(520, 760)
    d.write(260, 30, "CORNER CAFE", 40, "ma")
    d.write(260, 90, "12 Harbour Street, Bristol", 22, "ma")
    d.write(260, 122, "Tel: 0117 496 0321", 22, "ma")
    d.rows(
        190,
        44,
        (40, 400),
        """2 x Cappuccino | 6.40
    1 x Blueberry muffin | 2.95
    1 x Green tea | 2.10
    3 x Bagel | 9.60
    Subtotal | 21.05
    VAT 20% | 4.21
    TOTAL | 25.26
    Cash | 30.00
    Change | 4.74""",
    )
    d.lines(40, 610, "Served by: Maria\nDate: 14/03/2024 Time: 09:42\nThank you for your visit!", 22)
    return d.image("receipt.png")


def menu() -> Image:
    d = Drawing(760, 560)
    d.write(380, 30, "Today's Menu", 46, "ma")
    d.rows(
        130,
        52,
        (60, 340, 480, 620),
        """Drink | Small | Medium | Large
    Coffee | 2.50 | 3.00 | 3.50
    Latte | 3.20 | 3.80 | 4.40
    Hot chocolate | 3.10 | 3.60 | 4.10
    Tea | 1.80 | 2.20 | 2.60""",
    )
    d.write(60, 440, "All prices in EUR. Oat milk costs 0.40 extra.", 24)
    return d.image("menu.png")


def timetable() -> Image:
    d = Drawing(820, 520)
    d.write(40, 30, "Departures", 44)
    d.rows(
        120,
        56,
        (40, 200, 480, 660),
        """Time | Destination | Train | Platform
    08:12 | Berlin | ICE 73 | 7
    09:05 | Hamburg | ICE 204 | 5
    10:15 | Munich | RE 4410 | 2
    11:20 | Hamburg | IC 2022 | 3
    12:47 | Cologne | RE 10312 | 9""",
    )
    return d.image("timetable.png")


def bars() -> Image:
    """One series, the names below the bars and the values above them."""
    d = Drawing(800, 560)
    d.write(400, 20, "Visitors per day", 36, "ma")
    values = {"Monday": 120, "Tuesday": 95, "Wednesday": 180, "Thursday": 143}
    d.draw.line((80, 480, 760, 480), fill="black", width=2)
    for number, (name, value) in enumerate(values.items()):
        left = 110 + number * 165
        d.draw.rectangle((left, 480 - 1.9 * value, left + 90, 480), fill="steelblue")
        d.write(left + 45, 475 - 1.9 * value, str(value), 24, "mb")
        d.write(left + 45, 490, name, 24, "ma")
    return d.image("bars.png")


def legend() -> Image:
    """Two series with a legend, the values above the bars."""
    d = Drawing(900, 620)
    d.draw.line((80, 500, 860, 500), fill="black", width=2)
    for number, (year, one, two) in enumerate([("2021", 3.1, 4.7), ("2022", 5.2, 2.6)]):
        left = 150 + number * 350
        for shift, value, colour in ((0, one, "tomato"), (110, two, "seagreen")):
            d.draw.rectangle((left + shift, 500 - 80 * value, left + shift + 100, 500), fill=colour)
            d.write(left + shift + 50, 494 - 80 * value, str(value), 26, "mb")
        d.write(left + 105, 512, year, 26, "ma")
    for x, name, colour in ((260, "Solar", "tomato"), (480, "Wind", "seagreen")):
        d.draw.rectangle((x, 570, x + 24, 594), fill=colour)
        d.write(x + 34, 568, name, 26)
    return d.image("legend.png")


def sign() -> Image:
    d = Drawing(900, 520, "navy")
    for x, name, far in ((220, "Oakville", "12 km"), (660, "Riverton", "48 km")):
        d.write(x, 120, name, 56, "ma", "white")
        d.write(x, 240, far, 56, "ma", "white")
    d.write(450, 400, "Mill Road", 50, "ma", "white")
    return d.image("sign.png")


def form() -> Image:
    d = Drawing(900, 620)
    d.write(50, 30, "Registration form", 42)
    d.rows(
        130,
        64,
        (50, 330),
        """Name: | Peter Novak
    Date of birth: | 7 June 1981
    Email: | peter.novak@example.org
    Phone: | +44 20 7946 0958
    City: | Leeds
    Membership number: | MX-20417
    Emergency contact: | Anna Novak""",
        26,
    )
    return d.image("form.png")


def hours() -> Image:
    d = Drawing(700, 560, "ivory")
    d.write(350, 40, "City Library", 50, "ma")
    d.rows(
        150,
        54,
        (90, 400),
        """Monday | 10:00 - 18:00
    Tuesday | 10:00 - 18:00
    Wednesday | closed
    Thursday | 12:00 - 20:00
    Saturday | 9:00 - 13:00""",
        28,
    )
    d.write(350, 460, "www.citylibrary.example.org", 26, "ma")
    return d.image("hours.png")


LETTER = """
Dear Ms Clarke,
thank you for your letter of 3 May 2023. The old bridge near the
station was built by Thomas Harding in 1874. It is 212 metres long
and carries about 9000 cars every day. The repair works begin on
12 August and will cost 1.4 million pounds. During this time the
number 14 bus stops behind the town hall. A grey heron lives under
the second arch. The mayor opened a small museum in the old mill.
Yours sincerely,
Edward Finch
"""


def letter() -> Image:
    d = Drawing(1000, 700)
    d.lines(70, 70, LETTER, 26, 1.6)
    return d.image("letter.png")


LEFT = """The garden opened in spring
and has been full of guests
ever since. Children like the
pond with the yellow boats
best of all."""
RIGHT = """The kitchen buys its fish at
the harbour each morning.
Bread comes from the village
bakery, which was founded by
two sisters long ago."""


def columns() -> Image:
    d = Drawing(1000, 560)
    d.write(500, 30, "News from the Old Inn", 44, "ma")
    d.lines(60, 140, LEFT, 26, 1.5)
    d.lines(540, 140, RIGHT, 26, 1.5)
    return d.image("columns.png")


def parcel() -> Image:
    d = Drawing(900, 500)
    code = qrcode.make("https://parcel.example.org/track/77120", box_size=7).get_image().convert("RGB")
    d.picture.paste(code, (560, 90))
    d.lines(50, 60, "PRIORITY\nTo: Lena Brandt\nElm Avenue 5\n1010 Vienna\nWeight: 3.2 kg\nOrder: QX-5581-B", 34)
    return d.image("parcel.png")


def invoice() -> Image:
    d = Drawing(900, 900)
    d.write(60, 40, "INVOICE", 52)
    d.lines(60, 130, "Brightwater Ltd\n8 Canal Road\nYork YO1 7HZ", 24)
    d.rows(130, 36, (560, 740), "Invoice no.|BW-1093\nDate|2024-02-19\nDue date|2024-03-20", 22)
    d.rows(
        330,
        48,
        (60, 440, 560, 720),
        """Description | Qty | Unit price | Amount
    Garden chairs | 4 | 35.00 | 140.00
    Wooden table | 1 | 220.00 | 220.00
    Delivery | 1 | 18.50 | 18.50""",
    )
    d.rows(580, 44, (560, 740), "Subtotal|378.50\nTax (10%)|37.85\nTotal due|416.35")
    return d.image("invoice.png")


def scores() -> Image:
    d = Drawing(800, 500)
    d.write(60, 30, "League table", 44)
    d.rows(
        120,
        56,
        (60, 320, 440, 560, 680),
        """Team | Played | Won | Lost | Points
    Falcons | 10 | 7 | 3 | 21
    Tigers | 10 | 6 | 4 | 18
    Bears | 9 | 4 | 5 | 12
    Sharks | 10 | 2 | 8 | 6""",
    )
    return d.image("scores.png")


def poster() -> Image:
    d = Drawing(700, 820, "lightyellow")
    d.write(350, 60, "SUMMER CONCERT", 54, "ma")
    d.write(350, 160, "with the Blue River Band", 32, "ma")
    d.lines(120, 280, "Saturday 15 June 2024\nDoors open 18:30\nConcert starts 19:30\nRiverside Park, Stage 2", 32)
    d.lines(120, 560, "Adults 12 EUR\nChildren 5 EUR\nUnder 6 free", 32)
    return d.image("poster.png")


def shapes() -> Image:
    d = Drawing(640, 480, "skyblue")
    d.draw.ellipse((80, 60, 260, 240), fill="gold")
    d.draw.rectangle((320, 200, 560, 420), fill="firebrick")
    return d.image("shapes.png")


DRAWINGS: dict[str, Callable[[], Image]] = {
    function.__name__: function
    for function in (
        receipt,
        menu,
        timetable,
        bars,
        legend,
        sign,
        form,
        hours,
        letter,
        columns,
        parcel,
        invoice,
        scores,
        poster,
        shapes,
    )
}


@pytest.fixture(scope="session")
def pictures() -> dict[str, Image]:
    """Every drawing by its name."""
    return {name: draw() for name, draw in DRAWINGS.items()}


@pytest.fixture(scope="session")
def reader() -> Backbone:
    """The reader of the catalogue; what it has read of a picture stays read for all tests."""
    return load(read_catalogue().model("reader", "backbone"))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def ask(reader: Backbone) -> Callable[..., str]:
    """ask(question, *attachments) -> the whole answer."""

    def asked(question: str, *parts: Part, words: int = 1024) -> str:
        message = Message("user", (*parts, question) if question else parts)
        return "".join(reader.answer(Conversation((message,)), AnswerOptions(words)))

    return asked
