"""Kinds of values that a question can ask for, and how each looks when it is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_AMOUNT = r"\d{1,3}(?:[ .,']\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?"
_CURRENCY = r"(?:[$€£¥₹]|\b(?:EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|Euros?|dollars?|pounds?|cents?)\b)"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_UNIT = (
    r"(?:km|cm|mm|m|mi|miles?|metres?|meters?|kilomet(?:er|re)s?|ft|feet|yd|inch(?:es)?|kg|g|mg|lbs?|oz|grams?|tons?|"
    r"l|ml|litres?|liters?|h|hrs?|hours?|min|mins|minutes?|s|sec|seconds?|days?|weeks?|months?|years?|%|percent|"
    r"°\s?[CF]?|W|kW|kWh|V|A|Hz|MHz|GHz|KB|MB|GB|TB|kcal|px|pixels?|mph|km/h)"
)
_LENGTH = r"(?:km|cm|mm|m|mi|miles?|metres?|meters?|kilomet(?:er|re)s?|ft|feet|yd|yards?|inch(?:es)?)"

_PATTERNS = {
    "money": rf"{_CURRENCY}\s?(?:{_AMOUNT})\s(?:thousand|million|billion)\b|(?<![\d.,])(?:{_AMOUNT})\s(?:thousand|million|billion)\s{_CURRENCY}|"
    rf"{_CURRENCY}\s?(?:{_AMOUNT})(?![\d.,]*\d)|(?<![\d.,])(?:{_AMOUNT})\s?{_CURRENCY}|"
    r"(?<![\d.,:/-])-?\d{1,3}(?:[ ,.']?\d{3})*[.,]\d{2}(?![\d%.,:/-]*\d)(?!\s?(?:%|am|pm)\b)",
    "time": r"(?<![\d.,:])\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\b\.?)?(?:\s?(?:-|–|to)\s?\d{1,2}:\d{2}(?:\s?[ap]\.?m\b\.?)?)?"
    r"|(?<![\d.,:])\d{1,2}\s?[ap]\.?m\b\.?(?:\s?(?:-|–|to)\s?\d{1,2}\s?[ap]\.?m\b\.?)?|\b\d{1,2}\s?o'?clock\b|\bnoon\b|\bmidnight\b",
    "date": rf"(?:{_DAY},?\s)?\b\d{{4}}-\d{{1,2}}-\d{{1,2}}\b|\b\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}\b|"
    rf"(?:\b{_DAY},?\s)?\b\d{{1,2}}(?:st|nd|rd|th|\.)?\s(?:of\s)?{_MONTH}(?:,?\s\d{{4}})?\b|(?:\b{_DAY},?\s)?\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}})?|"
    rf"\b{_MONTH}\s\d{{4}}\b|\b\d{{1,2}}/\d{{4}}\b|\b{_DAY}s?\b",
    "year": r"(?<!\d)(?:1\d|20)\d{2}(?!\d)",
    "length": rf"(?<![\d.,])\d+(?:[.,]\d+)*\s?{_LENGTH}\b",
    "measure": rf"(?<![\d.,])-?\d+(?:[.,]\d+)*\s?{_UNIT}(?![a-z])",
    "mass": r"(?<![\d.,])\d+(?:[.,]\d+)*\s?(?:kg|g|mg|lbs?|oz|grams?|kilos?|kilograms?|pounds?|tons?|tonnes?)(?![a-z])",
    "age": r"(?<![\d.,])\d{1,3}\s?(?:years?|yrs?|months?|weeks?|days?)(?:\sold)?\b|\baged?:?\s\d{1,3}\b",
    "address": r"\b\d{1,5}[a-z]?\s(?:[^\W\d][\w'.]*\s){1,4}(?:street|st|road|rd|avenue|ave|lane|drive|square|way|place|boulevard|blvd|court|park)\b\.?"
    r"(?:,\s?[^,;]+){0,2}|\b(?:[^\W\d][\w'.]*\s){0,3}[^\W\d]\w*(?:street|road|avenue|lane|square|platz|straße|strasse|weg)\s\d{1,4}[a-z]?\b"
    r"|\b(?:[^\W\d][\w'.]*\s){1,3}(?:street|road|avenue|lane|square)\s\d{1,4}[a-z]?\b",
    "percent": r"(?<![\d.,])-?\d+(?:[.,]\d+)?\s?(?:%|percent\b)",
    "temperature": r"(?<![\d.,])-?\d+(?:[.,]\d+)?\s?(?:°\s?[CF]?|degrees?\b)",
    "integer": r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred)\b|"
    r"(?<![\w.,:/-])\d{1,3}(?:[,.' ]\d{3})+(?![\w.,:/]*\d)|(?<![\w.,:/])\d+(?![.,:/-]?\d)(?!\w*\d)(?!\s?[%€$£])",
    "number": r"(?<![A-Za-z\d])(?<![A-Za-z\d]-)[-−]?\d+(?:[.,]\d+)*",
    "phone": r"\+?\(?\d[\d ()/.-]{4,}\d",
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "url": r"(?:https?://|www\.)[^\s,;]+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|de|eu|uk|io|gov|edu|info|fr|es|it)\b(?:/\S*)?",
    "code": r"(?<![\w-])(?=[A-Z-]*\d|\d+[A-Za-z-]|[A-Za-z][\w-]*\d)(?=[\w.-]*[A-Za-z])[A-Za-z\d]+(?:[-_.][A-Za-z\d]+)*",
}
_UNITS = re.compile(rf"{_CURRENCY}|(?<=[\d\s]){_UNIT}(?![a-z])", re.IGNORECASE)
PATTERNS: dict[str, re.Pattern[str]] = {
    kind: re.compile(pattern, re.IGNORECASE if kind != "code" else 0) for kind, pattern in _PATTERNS.items()
}


def find(kind: str, text: str) -> Iterator[re.Match[str]]:
    """Each value of a kind in a text, from left to right."""
    for match in PATTERNS[kind].finditer(text):
        # numbers with dates or times of day are no amounts; a phone number has digits enough
        if kind == "phone" and not 6 <= sum(c.isdigit() for c in match.group()) <= 15:
            continue
        if kind in ("number", "integer", "measure", "money", "mass", "length") and _inside(text, match):
            continue
        yield match


def _inside(text: str, match: re.Match[str]) -> bool:
    return any(
        other.start() <= match.start() and match.end() <= other.end() and other.group() != match.group()
        for kind in ("date", "time")
        for other in PATTERNS[kind].finditer(text)
        if any(c.isdigit() for c in other.group())
    )


def is_value(text: str) -> bool:
    """Whether a piece of text is an amount, a time, a date or a number, not words that name one."""
    if not any(c.isdigit() for c in text):
        return False
    if any(
        len(match.group()) > 0.7 * len(text) for kind in ("date", "time") for match in PATTERNS[kind].finditer(text)
    ):
        return True
    return sum(c.isalpha() for c in _UNITS.sub("", text)) <= 1
