"""What a question asks for: its kind, the kind of value it wants, its key words, a place on the page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmcli.engines.backbone.reader.match import tokens
from mmcli.engines.backbone.reader.words import STOP, WEAK

_ORDINALS = {
    word: number
    for number, words in enumerate(
        (
            "first 1st",
            "second 2nd",
            "third 3rd",
            "fourth 4th",
            "fifth 5th",
            "sixth 6th",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
        )
    )
    for word in words.split()
} | {"last": -1, "final": -1}

_PLACES = {
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
    "middle": (0.5, 0.5),
    "centre": (0.5, 0.5),
    "center": (0.5, 0.5),
    "upper": (0.5, 0.0),
    "lower": (0.5, 1.0),
}

_RELATIONS = (
    ("below", r"\b(?:under|underneath|below|beneath)\b"),
    ("above", r"\b(?:above|over|on top of)\b"),
    ("beside", r"\b(?:beside|next to|right of|behind)\b"),
)

_PICTURE = r"(?:picture|image|photo|photograph|file|scan|screenshot|page)"

_PAPER = "menu|list|receipt|sign|letter|label|note|poster|card|table|form|bill|invoice|ticket|timetable"
_THING = r"(?:it|this|that|they|(?:the|this|that) \w+)"

# The first that fits decides.
_KINDS = (
    ("code", r"\b(?:q ?r|cue are|queue are|data ?matrix|aztec|bar)[ -]?codes?\b|\bbarcodes?\b|\bean\b|\bcode (?:hold|say|contain)"),
    ("pages", r"\bhow many pages\b"),
    ("size", rf"\b(?:how (?:big|large|wide|high|tall) is (?:the|this) {_PICTURE}|(?:size|resolution|dimensions|width|height) of (?:the|this) {_PICTURE}|how many pixels|how big is it$)"),
    ("taken", rf"\bwhen was (?:(?:the|this) {_PICTURE}|it) (?:taken|shot|made)\b|\bwhen (?:the|this) {_PICTURE} was taken\b"),
    ("place", rf"\bwhere was (?:(?:the|this) {_PICTURE}|it) (?:taken|shot|made)\b"),
    ("camera", rf"\b(?:which|what) camera\b.*\b(?:taken|made|shot|used|{_PICTURE})\b"),
    ("colours", rf"\b(?:what|which) colou?rs\b(?!.*\b(?:of|in) the (?!{_PICTURE}))|\b(?:main|dominant) colou?rs?\b|\bcolou?rs? (?:of|is|are in|has|does) (?:the|this) {_PICTURE}\b"),
    ("heading", r"\b(?:heading|headline|title|header)\b"),
    ("mention", r"^(?:does|do|did) .*\b(?:mention|contain|say|include|have)\b|^is .*\b(?:written|mentioned|listed|printed|named)\b"),
    ("read", r"^(?:please |can you |could you |now )*(?:read|transcribe)\b(?!.*\bnumber)"),
    ("read", rf"^what (?:does|do) {_THING} (?:say|read|tell)(?: here| there| us| me)?$"),
    ("read", rf"^what (?:is|text is|words are) (?:written|shown|there|said|printed)(?: here| there| (?:in|on) {_THING})?$"),
    ("read", rf"^what is (?:in|on) (?:the|this|that) (?:{_PAPER}|{_PICTURE})$"),
    ("read", r"^(?:what is|show me|give me|tell me|extract) (?:all )?the (?:whole |full )?text(?: (?:in|on|of) .*)?$"),
)  # fmt: skip

_ORDINAL = re.compile(
    rf"\b({'|'.join(_ORDINALS)})\s+(sentence|line|word|paragraph)s?\b|\b(sentence|line|word|paragraph)\s+(\d+)\b"
)
# "v a t", letter by letter
_SPELLED = re.compile(r"\b(?!a [a-z]\b(?! [a-z]\b))(?:[a-z] ){1,6}[a-z]\b")
# "may" is a month here, and a verb elsewhere
_MAY = re.compile(r"\b(?:in|for|of|on|since|until|by|during) may\b|\bmay \d|\d may\b")
_PAGE = re.compile(rf"\bpage (\d+)\b|\b({'|'.join(_ORDINALS)}) page\b")
_SIDE = r"top|bottom|left|right|middle|centre|center|upper|lower"
_PLACE = re.compile(
    rf"\b(?:at|in|on|to|from) the (?:very )?({_SIDE})(?:[ -]+(?:hand )?({_SIDE}))?(?: (?:edge|corner|side|half|end))?\b(?! of the \w+teenth)"
)
_ASKED = re.compile(
    r"\b(?:which|what|whose)\s+((?:[^\W\d_]+\s+){0,2}?[^\W\d_]+)\s+(?:is|are|was|were|do|does|did|has|have|had|will|can|stands?|costs?|leaves?|goes|[^\W\d_]+(?:ed|es|s)\b|$)"
)

# Patterns of the question -> kinds of value, the wanted one first.
_TYPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # what costs 4.40 asks for a thing
    (r"^(?:what|which)(?: [^\W\d]+){0,2} (?:costs?|has|had|is|leaves at|goes at|starts at) [\d$€£]", ()),
    (r"\bwhat time\b|\bwhich time\b|\bwhat hour\b|\bo'?clock\b", ("time",)),
    (r"\b(?:what|which) (?:date|day)\b|\bwhat is the date\b|\bdate of\b|\bdates?$|\bbirthday\b", ("date", "year")),
    (r"(?<!e-mail )(?<!email )(?<!web )(?<!mail )\baddress\b", ("address",)),
    (r"\b(?:what|which) year\b", ("year",)),
    (r"\bwhen (?:was|were|did)\b", ("date", "time", "year")),
    (r"\bwhen\b|\bhow soon\b", ("time", "date", "year")),
    (r"\b(?:opening|business|office) hours\b", ("time",)),
    (r"\bphone\b|\btelephone\b|\bcall\b", ("phone",)),
    (r"\be-?mail\b", ("email",)),
    (r"\bweb ?(?:site|page|address)\b|\burl\b", ("url",)),
    (r"\bhow (?:far|tall|wide|high|deep|long)\b|\bdistance\b", ("length", "measure", "number")),
    (r"\bhow old\b", ("age",)),
    (r"\bhow heavy\b|\bweigh|\bweight\b", ("mass",)),
    (r"\bhow (?:hot|cold|warm)\b", ("temperature",)),
    (r"\bhow (?:fast|strong|big|large)\b", ("measure", "number")),
    (r"\bpercent|\bpercentage\b|\bshare\b|\brate\b", ("percent", "number")),
    (r"\btemperature\b", ("temperature", "number")),
    (r"\bhow many\b", ("integer", "number")),
    (r"\bhow much (?!is|are|was|were|does|do|did|will|for|to|it|money)", ("money", "measure", "number")),
    (r"\bhow much\b|\bprices?\b|\bcosts?\b|\bpay\b|\bpaid\b|\btotal\b|\bamount\b|\bcharged?\b|\bfee\b|\bbalance\b", ("money", "number")),
    (r"\b(?:model|flight|serial|order|invoice|booking|reference|product|part|article|version|gate|seat|room)\b", ("code", "number")),
    (r"\bnumbers?\b", ("number", "code")),
    (r"\b(?:value|figure|score|result|count)\b", ("number",)),
    (r"\bwho\b|\bwhose\b|\bwhom\b|\bname\b", ("name",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    """Lower case, single spaces, no mark at the end."""
    kind: str
    types: tuple[str, ...] = ()
    """Kinds of value as in values.py, "name" for words with letters; empty where any will do."""
    strong: tuple[str, ...] = ()
    """Words that must be written there for an answer."""
    weak: tuple[str, ...] = ()
    """Words that may name a column or label, but that such questions have anyway."""
    asked: str = ""
    """The noun after which or what."""
    words: tuple[str, ...] = ()
    relation: str = ""
    """below, above or beside: where the value stands as seen from the key words."""
    place: tuple[float, float] | None = None
    """A point of the sheet, 0..1 from the left and from the top."""
    unit: str = ""
    """sentence, line, word or paragraph, where a numbered one is asked for."""
    number: int = 0
    """Which of these, from 0; -1 is the last."""
    page: int | None = None
    """The page that is meant, from 1; -1 is the last."""
    script: str = ""


def parse(text: str) -> Question:
    """The question that a text asks; the empty text asks to be read to."""
    plain = " ".join(text.casefold().replace("’", "'").replace("what's", "what is").replace("who's", "who is").split())
    plain = re.sub(r"[?!.…,]+(?=\s|$)", "", plain).strip()
    if not plain:
        return Question("", "read")
    plain = _SPELLED.sub(lambda match: match.group().replace(" ", ""), plain)
    page, plain_rest = _page(plain)
    unit, number = _ordinal(plain_rest)
    kind = next((name for name, pattern in _KINDS if re.search(pattern, plain_rest)), "value")
    if unit and kind in ("read", "value"):
        kind = "ordinal"
    place, rest = _place(plain_rest)
    words = tokens(rest)
    relation = next((name for name, pattern in _RELATIONS if re.search(pattern, rest)), "")
    skipped = (
        {"under", "underneath", "below", "beneath", "above", "over", "beside", "next", "behind"} if relation else set()
    )
    stop = STOP - {"may"} if _MAY.search(rest) else STOP
    content = [word for word in words if word not in stop and word not in skipped and not _one_letter(word)]
    strong = tuple(dict.fromkeys(word for word in content if word not in WEAK))
    if kind == "read" and strong:
        kind = "value"
    if place is not None and strong:
        # "in the middle of ..." tells of a thing, not of a place on the page
        place = None
    weak = tuple(dict.fromkeys(word for word in words if word in WEAK or word == "name"))
    asked = _ASKED.search(rest)
    return Question(
        text=plain,
        kind="position" if kind in ("value", "read") and place is not None else kind,
        types=next((types for pattern, types in _TYPES if re.search(pattern, rest)), ()),
        strong=strong,
        weak=weak,
        asked=_noun(asked.group(1)) if asked else "",
        words=words,
        relation=relation,
        place=place,
        unit=unit,
        number=number,
        page=page,
        script="latin" if re.search(r"\blatin\b|\benglish letters\b", rest) else "",
    )


def _one_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii() and word.isalpha()


def _noun(phrase: str) -> str:
    words = [word for word in tokens(phrase) if word not in STOP]
    return words[-1] if words else ""


def _page(text: str) -> tuple[int | None, str]:
    match = _PAGE.search(text)
    if match is None:
        return None, text
    number = (
        int(match.group(1)) if match.group(1) else _ORDINALS[match.group(2)] + (match.group(2) not in ("last", "final"))
    )
    return number, " ".join((text[: match.start()] + text[match.end() :]).split())


def _ordinal(text: str) -> tuple[str, int]:
    match = _ORDINAL.search(text)
    if match is None:
        return "", 0
    if match.group(1):
        return match.group(2), _ORDINALS[match.group(1)]
    return match.group(3), int(match.group(4)) - 1


def _place(text: str) -> tuple[tuple[float, float] | None, str]:
    match = _PLACE.search(text)
    if match is None:
        return None, text
    points = [_PLACES[word] for word in match.groups() if word]
    across = next((x for x, _ in points if x != 0.5), 0.5)
    down = next((y for _, y in points if y != 0.5), 0.5)
    return (across, down), " ".join((text[: match.start()] + text[match.end() :]).split())
