"""Questions about drawn receipts, menus, timetables, charts, signs, forms, letters, as typed and as they are heard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcli.stages import Image

NOT_WRITTEN = None

# The drawing, the question, and what the answer begins with.
CASES = [
    ("receipt", "How much is the total?", r"25\.26"),
    ("receipt", "How much is the green tea?", r"2\.10"),
    ("receipt", "What does the blueberry muffin cost?", r"2\.95"),
    ("receipt", "How many bagels were bought?", r"3\b"),
    ("receipt", "How much change was given?", r"4\.74"),
    ("receipt", "What is the subtotal?", r"21\.05"),
    ("receipt", "Who served?", r"Maria"),
    ("receipt", "What is the phone number?", r"0117 496 0321"),
    ("receipt", "What is the date on the receipt?", r"14/03/2024"),
    ("receipt", "At what time was it printed?", r"0?9:42"),
    ("receipt", "What is the heading?", r"CORNER CAFE"),
    ("receipt", "How much tax is there?", r"4\.21"),
    ("receipt", "How much is the orange juice?", NOT_WRITTEN),
    ("receipt", "Which credit card was used?", NOT_WRITTEN),
    ("menu", "What is the price of a small coffee?", r"2\.50"),
    ("menu", "How much is a large latte?", r"4\.40"),
    ("menu", "What does a medium hot chocolate cost?", r"3\.60"),
    ("menu", "How much does oat milk cost?", r"0\.40"),
    ("menu", "How much is a small lemonade?", NOT_WRITTEN),
    ("menu", "Who is the cook?", NOT_WRITTEN),
    ("timetable", "When does the train to Berlin leave?", r"0?8:12"),
    ("timetable", "When does the train to Hamburg leave from platform 3?", r"11:20"),
    ("timetable", "Which platform does the Cologne train leave from?", r"9\b"),
    ("timetable", "Where does the 10:15 train go?", r"Munich"),
    ("timetable", "When does the train to Paris leave?", NOT_WRITTEN),
    ("timetable", "Which train goes to Munich?", r"RE 4410"),
    ("bars", "How many visitors came on Wednesday?", r"180"),
    ("bars", "What is the value for Tuesday?", r"95\b"),
    ("bars", "How many visitors came on Sunday?", NOT_WRITTEN),
    ("bars", "What is the title of the chart?", r"Visitors per day"),
    ("legend", "What is the value of solar in 2022?", r"5\.2"),
    ("legend", "What is the value of wind in 2021?", r"4\.7"),
    ("legend", "What is the value of coal in 2021?", NOT_WRITTEN),
    ("sign", "How far is Riverton?", r"48 km"),
    ("sign", "How far is it to Oakville?", r"12 km"),
    ("sign", "What is the name of the road?", r"Mill Road"),
    ("sign", "What is written at the bottom?", r"Mill Road"),
    ("sign", "How far is Springfield?", NOT_WRITTEN),
    ("form", "What is the name?", r"Peter Novak"),
    ("form", "What is the date of birth?", r"7 June 1981"),
    ("form", "What is the email address?", r"peter\.novak@example\.org"),
    ("form", "What is the membership number?", r"MX-20417"),
    ("form", "Who is the emergency contact?", r"Anna Novak"),
    ("form", "Which city is it?", r"Leeds"),
    ("form", "What is the passport number?", NOT_WRITTEN),
    ("form", "When was Peter Novak born?", r"7 June 1981"),
    ("hours", "When does the library open on Thursday?", r"12:00"),
    ("hours", "What are the opening hours on Saturday?", r"9:00"),
    ("hours", "What is the website?", r"www\.citylibrary"),
    ("hours", "When is it open on Sunday?", NOT_WRITTEN),
    ("letter", "Who built the bridge?", r"Thomas Harding"),
    ("letter", "How long is the bridge?", r"212 metres"),
    ("letter", "Which animal lives under the second arch?", r"(?i)(a )?grey heron"),
    ("letter", "When do the repair works begin?", r"12 August"),
    ("letter", "How many cars does it carry every day?", r"9000"),
    ("letter", "Where does the bus stop?", r"behind the town hall"),
    ("letter", "Who opened a small museum?", r"(?i)(the )?mayor"),
    ("letter", "When was the bridge built?", r"(in )?1874"),
    ("letter", "How much does the tunnel cost?", NOT_WRITTEN),
    ("letter", "Who wrote the song?", NOT_WRITTEN),
    ("columns", "What is the heading?", r"News from the Old Inn"),
    ("columns", "Where does the kitchen buy its fish?", r"at the harbour"),
    (
        "columns",
        "Read the first sentence.",
        r"News from|The garden opened in spring and has been full of guests ever since",
    ),
    ("parcel", "What does the QR code say?", r"https://parcel\.example\.org/track/77120"),
    ("parcel", "What is the weight?", r"3\.2 kg"),
    ("parcel", "Which order is it?", r"QX-5581-B"),
    ("parcel", "What is written at the top left?", r"PRIORITY"),
    ("shapes", "What animal is shown?", NOT_WRITTEN),
    ("shapes", "How many circles are there?", NOT_WRITTEN),
    ("shapes", "What does the QR code say?", NOT_WRITTEN),
    ("receipt", "How much is the turtle?", r'25\.26\..*"turtle" was taken for "total"'),
    ("receipt", "What is the address?", r"12 Harbour Street, Bristol"),
    ("receipt", "How much v a t is on it?", r"4\.21"),
    ("receipt", "What is the last line?", r"Thank you for your visit"),
    ("receipt", "How much is one bagel?", NOT_WRITTEN),
    ("receipt", "How much is the discount?", NOT_WRITTEN),
    ("menu", "How much is coffee?", r'2\.50\..* below "Small"\. 3\.00\..* below "Medium"\. 3\.50'),
    ("menu", "What costs 4.40?", r"Latte"),
    ("timetable", "Where does the train from platform 9 go?", r"Cologne"),
    ("timetable", "When does the train to Cologne arrive?", NOT_WRITTEN),
    ("timetable", "When is the train to Hamburg?", r"09:05\..* 11:20\."),
    ("bars", "What was Monday?", NOT_WRITTEN),
    ("sign", "How far is oak ville?", r"12 km"),
    ("sign", "How far is river town?", r"48 km"),
    ("form", "How old is he?", NOT_WRITTEN),
    ("hours", "Is it open on Wednesday?", r"closed"),
    ("letter", "Which colour is the bridge?", NOT_WRITTEN),
    ("letter", "How much will the repair cost?", r"1\.4 million pounds"),
    ("letter", "How old is the station?", r"The old bridge near the station was built by"),
    ("columns", "What colour are the boats?", r"yellow"),
    ("columns", "How many sisters founded the bakery?", r"two"),
    ("columns", "Who cooks?", NOT_WRITTEN),
    ("parcel", "What is the price?", NOT_WRITTEN),
    ("invoice", "How much is the total?", r"416\.35"),
    ("invoice", "What is the invoice number?", r"BW-1093"),
    ("invoice", "When is it due?", r"2024-03-20"),
    ("invoice", "What is the unit price of the garden chairs?", r"35\.00"),
    ("invoice", "How many chairs?", r"4\."),
    ("invoice", "What does one garden chair cost?", r'35\.00\..* below "Unit price"\.'),
    ("invoice", "How much is the lamp?", NOT_WRITTEN),
    ("invoice", "Who signed it?", NOT_WRITTEN),
    ("scores", "How many points do the Tigers have?", r"18\."),
    ("scores", "How many games have the Bears won?", r"4\."),
    ("scores", "How many games did the Sharks lose?", r"8\."),
    ("scores", "Who has 21 points?", r"Falcons"),
    ("scores", "Which team has 12 points?", r"Bears"),
    ("scores", "How many points do the Lions have?", NOT_WRITTEN),
    ("scores", "Who is the coach of the Bears?", NOT_WRITTEN),
    ("poster", "When does the concert start?", r"19:30"),
    ("poster", "When do the doors open?", r"18:30"),
    ("poster", "How much do children pay?", r"5 EUR"),
    ("poster", "What is the date of the concert?", r"Saturday 15 June 2024"),
    ("poster", "Which stage is it?", r"Riverside Park, Stage 2"),
    ("poster", "How much is parking?", NOT_WRITTEN),
    ("poster", "When does the concert end?", NOT_WRITTEN),
]


def heard(question: str) -> str:
    """A question as speech recognition gives it."""
    return re.sub(r"[^\w\s'-]", "", question).lower()


# a decimal point is not heard
HEARD = [(name, heard(question), expected) for name, question, expected in CASES if not re.search(r"\d\.\d", question)]


@pytest.mark.parametrize("name, question, expected", CASES + HEARD)
def test_the_answer_is_what_is_written_or_that_it_is_not(
    name: str, question: str, expected: str | None, pictures: dict[str, Image], ask: Callable[..., str]
) -> None:
    answer = ask(question, pictures[name])
    refusals = (f"That is not written in {name}.png.", f"There is no printed code that can be read in {name}.png.")
    if expected is None:
        assert answer.startswith(refusals)
    else:
        assert re.match(expected, answer)
