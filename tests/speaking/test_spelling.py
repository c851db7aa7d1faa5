"""Numbers, dates, amounts, units, addresses and abbreviations in words."""

from __future__ import annotations

import re

import pytest

from mmcli.speaking.spelling import spelled


@pytest.mark.parametrize(
    "text, language, said",
    [
        ("Dr. Smith paid $3.50.", "en", "Doctor Smith paid three dollars, fifty cents."),
        ("$5 or 100 EUR", "en", "five dollars or one hundred euros"),
        ("On 2026-11-22 at 14:30", "en", "On November twenty-second, twenty twenty-six at fourteen thirty"),
        ("It is 9:05, not 9:00.", "en", "It is nine oh five, not nine o'clock."),
        ("1,234.5 km at -5 °C", "en", "one thousand, two hundred and thirty-four point five kilometers at minus five degrees Celsius"),
        ("1 km & 12%", "en", "one kilometer and twelve percent"),
        ("the 22nd of 1984", "en-us", "the twenty-second of nineteen eighty-four"),
        ("jo.b@example.com", "en", "jo dot b at example dot com"),
        ("https://example.org/a/b.", "en", "example dot org slash a slash b."),
        ("call 0171234", "en", "call zero one seven one two three four"),
        ("10x IPv6", "en", "ten x IPv6"),
        ("3,50 € um 14:30, z. B. 1.234,5 km", "de",
         "drei Euro und fünfzig Cent um vierzehn Uhr dreißig, zum Beispiel "
         "eintausendzweihundertvierunddreißig Komma fünf Kilometer"),
        ("21 ans et 80 %", "fr", "vingt et un ans et quatre-vingts pour cent"),
        ("5 km", "ru", "пять километров"),
        ("1234567890123456", "en", "one two three four five six seven eight nine zero one two three four five six"),
    ],
)  # fmt: skip
def test_it_is_said_as_a_reader_would(text: str, language: str, said: str) -> None:
    # Babel puts a space that does not break before some units.
    assert spelled(text, language).replace("\u00a0", " ") == said


@pytest.mark.parametrize("text", ["No numbers here. None at all!", "“Quotes” – dashes…", "", "日本語"])
def test_a_text_of_letters_stays_as_it_is(text: str) -> None:
    assert spelled(text, "en") == text


def test_a_language_without_data_keeps_its_text() -> None:
    assert spelled("中文 12", "zh") == "中文 12"
    assert spelled("12", "xx") == "12"


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "nl", "pt-br", "ru", "pl", "tr", "ja"])
def test_no_digit_is_left_and_odd_numbers_break_nothing(language: str) -> None:
    odd = "1.2.3 2026-99-99 25:61 3/4 -7 1,2,3 9999999999999999999999 12:30:45 $1.234.567,89 0.5% 1°C ١٢"
    assert not re.search(r"\d", spelled(odd, language).replace("2026-99-99", ""))
