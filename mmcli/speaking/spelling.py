"""Numbers, dates, times, amounts, units, addresses and abbreviations in words, for voices that read letters only.

Numbers are spelled by num2words, the names of units, months and currencies come from Unicode's locale data (Babel). A
language that they do not have keeps its text as it is.
"""

from __future__ import annotations

import datetime
import functools
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mmcli.errors import MissingPackage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmcli.stages import Synthesizer

_WORTH_A_LOOK = re.compile(r"[\d@&%€$£¥]|\w\.|://")
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_UNITS = {
    "km/h": "speed-kilometer-per-hour", "mph": "speed-mile-per-hour", "m/s": "speed-meter-per-second",
    "km": "length-kilometer", "cm": "length-centimeter", "mm": "length-millimeter", "m": "length-meter",
    "kg": "mass-kilogram", "mg": "mass-milligram", "g": "mass-gram", "ml": "volume-milliliter", "l": "volume-liter",
    "°C": "temperature-celsius", "°F": "temperature-fahrenheit", "%": "concentr-percent",
    "kHz": "frequency-kilohertz", "MHz": "frequency-megahertz", "GHz": "frequency-gigahertz", "Hz": "frequency-hertz",
    "kB": "digital-kilobyte", "MB": "digital-megabyte", "GB": "digital-gigabyte", "TB": "digital-terabyte",
    "kW": "power-kilowatt", "W": "power-watt", "min": "duration-minute", "ms": "duration-millisecond",
}  # fmt: skip
# Locale data has no names for these: @ . / & in addresses and texts.
_NAMES = {
    "en": ("at", "dot", "slash", "and"),
    "de": ("ät", "Punkt", "Schrägstrich", "und"),
    "fr": ("arobase", "point", "barre oblique", "et"),
    "es": ("arroba", "punto", "barra", "y"),
    "it": ("chiocciola", "punto", "barra", "e"),
    "pt": ("arroba", "ponto", "barra", "e"),
    "nl": ("apenstaartje", "punt", "schuine streep", "en"),
}
_ABBREVIATIONS = {
    "en": {"Dr.": "Doctor", "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miss", "Prof.": "Professor", "e.g.": "for example",
           "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "approx.": "approximately", "No.": "number"},
    "de": {"Dr.": "Doktor", "Prof.": "Professor", "z. B.": "zum Beispiel", "z.B.": "zum Beispiel", "d. h.": "das heißt",
           "d.h.": "das heißt", "bzw.": "beziehungsweise", "usw.": "und so weiter", "ca.": "circa", "Nr.": "Nummer"},
    "fr": {"Dr": "docteur", "Mme": "madame", "Mlle": "mademoiselle", "etc.": "et cetera", "p. ex.": "par exemple"},
    "es": {"Dr.": "doctor", "Sr.": "señor", "Sra.": "señora", "etc.": "etcétera", "p. ej.": "por ejemplo"},
}  # fmt: skip

_NUMBER = r"\d+(?:[., '’\u00a0\u202f]\d{3})*(?:[.,]\d+)?(?!\d)"
_ADDRESS = re.compile(r"(?:https?://)?[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)[^\s<>\"]*[\w/]")
_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_TIME = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)\b(?!:)")
_AMOUNT = re.compile(rf"([$€£¥])\s?({_NUMBER})|({_NUMBER})\s?([$€£¥](?!\d)|(?:USD|EUR|GBP|JPY|CHF)\b)")
_MEASURE = re.compile(
    rf"(?<![\w.,])([-−]?{_NUMBER})\s?({'|'.join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))})(?![\w/])"
)
_ORDINAL = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th|er|ère|e|ème|º|ª)\b")
_PLAIN = re.compile(rf"(?<!\w)([-−](?=\d))?({_NUMBER})")
# A longer one is a number of a telephone, an account or the like.
_MAX_DIGITS = 12


def spelled(text: str, language: str) -> str:
    """The text as it is read aloud, letters only. `language` is an ISO 639-1 code, perhaps with a region.

    MissingPackage where num2words or Babel is not installed.
    """
    if not _WORTH_A_LOOK.search(text):
        return text
    speller = _speller(language.replace("_", "-").lower())
    return text if speller is None else speller.spell(text)


def reads_numbers(tts: Synthesizer) -> bool:
    """Whether a voice reads numbers by itself, as most do."""
    return bool(getattr(tts, "reads_numbers", True))


@functools.cache
def _speller(language: str) -> _Speller | None:
    try:
        import num2words
        from babel import Locale, UnknownLocaleError
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"numbers cannot be spelled without the package {error.name}", "pip install 'mmcli[tts]'"
        ) from error
    primary, _, region = language.partition("-")
    own = f"{primary}_{region.upper()}"
    code = own if own in num2words.CONVERTER_CLASSES else primary
    if code not in num2words.CONVERTER_CLASSES:
        return None
    try:
        locale = Locale.parse(primary)
    except (UnknownLocaleError, ValueError):
        return None
    return _Speller(primary, code, locale)


@dataclass(frozen=True, slots=True)
class _Speller:
    language: str
    code: str
    """Of num2words."""
    locale: Any

    def spell(self, text: str) -> str:
        for short, long in _ABBREVIATIONS.get(self.language, {}).items():
            if short in text:
                text = re.sub(rf"(?<!\w){re.escape(short)}(?!\w)", long, text)
        rules: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
            (_ADDRESS, self._address),
            (_DATE, self._date),
            (_TIME, self._time),
            (_AMOUNT, self._amount),
            (_MEASURE, self._measure),
            (_ORDINAL, lambda match: self._words(int(match[1]), "ordinal")),
            (_PLAIN, self._plain),
        )
        for pattern, said in rules:
            text = pattern.sub(said, text)
        return re.sub(r"\s&\s", f" {self._names[3]} ", text)

    @property
    def _names(self) -> tuple[str, str, str, str]:
        return _NAMES.get(self.language, ("", "", "", ""))

    def _words(self, number: int | Decimal, kind: str = "cardinal", **more: str) -> str:
        from num2words import num2words

        for way in (kind, "cardinal"):
            try:
                return str(num2words(number, lang=self.code, to=way, **(more if way == kind else {})))
            except (NotImplementedError, ValueError, TypeError, KeyError, IndexError, OverflowError):
                continue
        return f"minus {self._words(-number)}" if number < 0 else str(number)

    def _value(self, written: str) -> Decimal | None:
        """The number as the language writes it; None where it is none, such as 1.2.3."""
        from babel.numbers import NumberFormatError, parse_decimal

        plain = re.sub(r"(?<=\d)[ '’\u00a0\u202f](?=\d{3})", "", written)
        try:
            return parse_decimal(plain, locale=self.locale, strict=True)
        except NumberFormatError:
            return Decimal(plain.replace(",", ".")) if re.fullmatch(r"\d+[.,]\d+|\d+", plain) else None

    def _address(self, match: re.Match[str]) -> str:
        at, dot, slash, _ = self._names
        plain = re.sub(r"^https?://", "", match[0]).rstrip("/")
        for sign, name in (("@", at), (".", dot), ("/", slash), ("_", ""), ("-", "")):
            plain = plain.replace(sign, f" {name} ")
        return " ".join(plain.split())

    def _date(self, match: re.Match[str]) -> str:
        from babel.dates import format_date

        try:
            day = datetime.date(*map(int, match.groups()))
        except ValueError:
            return match[0]
        said = format_date(day, "long", locale=self.locale)
        if self.language in ("en", "de"):
            ending = "" if self.language == "en" else "n"  # as after "am"
            said = re.sub(r"\b\d{1,2}\b\.?", self._words(day.day, "ordinal") + ending, said, count=1)
        return said

    def _time(self, match: re.Match[str]) -> str:
        hour, minute = self._words(int(match[1])), int(match[2])
        said = self._words(minute)
        if self.language == "de":
            return f"{hour.removesuffix('s') if hour == 'eins' else hour} Uhr" + (f" {said}" if minute else "")
        if self.language == "en":
            said = said if minute > 9 else "o'clock" if minute == 0 else f"oh {said}"
        return f"{hour} {said}" if minute or self.language == "en" else hour

    def _amount(self, match: re.Match[str]) -> str:
        from babel.numbers import get_currency_name

        sign, written = (match[1], match[2]) if match[1] else (match[4], match[3])
        value = self._value(written)
        if value is None:
            return match[0]
        currency = _SIGNS.get(sign, sign)
        if value != int(value) and currency != "JPY":
            return self._words(round(value, 2), "currency", currency=currency)
        return f"{self._number(value)} {get_currency_name(currency, value, self.locale).removeprefix('US ')}"

    def _measure(self, match: re.Match[str]) -> str:
        from babel.units import format_unit

        value = self._value(match[1].lstrip("-−"))
        if value is None:
            return match[0]
        name = format_unit(value, _UNITS[match[2]], "long", locale=self.locale)
        minus = "-" if match[1][0] in "-−" else ""
        return _PLAIN.sub(lambda _: self._number(-value if minus else value), name, count=1)

    def _number(self, value: Decimal) -> str:
        return self._words(int(value)) if value == int(value) else self._words(value)

    def _plain(self, match: re.Match[str]) -> str:
        return self._alone(match) + (" " if match.string[match.end() : match.end() + 1].isalpha() else "")

    def _alone(self, match: re.Match[str]) -> str:
        minus, written = match[1], match[2]
        digits = re.sub(r"\D", "", written)
        value = self._value(written)
        if value is None or len(digits) > _MAX_DIGITS or (len(digits) > 1 and written.isdigit() and written[0] == "0"):
            return " ".join(self._words(int(digit)) for digit in digits)
        if written.isdigit() and 1100 <= value < 2100 and not minus:
            return self._words(int(value), "year")
        return self._number(-value if minus else value)
