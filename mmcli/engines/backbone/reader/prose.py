"""Answers out of running text: the sentence that holds the key words, and in it what the question leaves open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmcli.engines.backbone.reader import values
from mmcli.engines.backbone.reader.find import Finding
from mmcli.engines.backbone.reader.layout import reading
from mmcli.engines.backbone.reader.match import SAME, best, tokens
from mmcli.engines.backbone.reader.words import EDGE
from mmcli.text import sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.engines.backbone.reader.find import Hits
    from mmcli.engines.backbone.reader.question import Question
    from mmcli.engines.backbone.reader.sheet import Sheet

_SHORTEST = 4
_PRONOUNS = ("it", "he", "she", "they", "this", "these")
_WORD = re.compile(r"[^\s,;:.!?()\"“”]+(?:[.,][^\s,;:.!?()\"“”]+)*")
_BREAK = re.compile(r"[,;:.!?()]")

_LEADING = "the|a|an|in|on|at|of|to|for|with"
_PLACES = ("in", "at", "on", "near", "behind", "under", "inside", "outside", "between", "opposite", "above", "from")
_NAMES = re.compile(r"(?:(?:Mr|Mrs|Ms|Dr|Prof)\.?\s)?[A-Z][\w'’-]+(?:\s(?:of\s|de\s|van\s|von\s)?[A-Z][\w'’-]*\.?)*")
_COLOURS = "red orange yellow green blue purple pink brown black white grey gray silver golden"
_COLOUR = re.compile(rf"\b(?:{'|'.join(_COLOURS.split())})\b", re.IGNORECASE)
_TYPED = ("time", "date", "year", "money", "length", "measure", "percent", "temperature", "integer", "number", "phone", "email", "url", "code")  # fmt: skip


def all_sentences(sheet: Sheet, tables: bool = True) -> list[str]:
    """The sentences of a sheet in reading order; a row of a table is one, too."""
    return list(sentences(f"{paragraph}\n" for paragraph in reading(sheet, tables)))


def find_in_prose(question: Question, sheet: Sheet, hits: Hits) -> list[Finding]:
    """The best answer of the running text of a sheet; empty where no sentence holds all key words."""
    heard = dict(hits.heard)
    content = [heard.get(word, word) for word in question.strong or question.weak]
    if not question.strong and len(content) < 2:
        return []
    if not all(hits.has(word) for word in question.strong if word != question.asked):
        return []
    result: Finding | None = None
    former = ""
    for sentence in all_sentences(sheet, tables=False):
        words = tokens(sentence)
        # "It is 212 metres long" goes on about the subject of the sentence before
        around = (*tokens(former), *words) if words[:1] and words[0] in _PRONOUNS else words
        former = sentence
        if len(words) < _SHORTEST:
            continue
        scores = {word: best(word, around) for word in content}
        asked = question.asked if scores.get(question.asked, 1.0) < SAME else ""
        need = [word for word in content if word not in (asked, "1")]
        if not need or min(scores[word] for word in need) < SAME:
            continue
        value = _value(question, sentence, need, asked)
        if value is None:
            continue
        if not any(best(word, words) >= SAME for word in need) and value == sentence:
            continue
        weak = sum(
            best(word, words) >= SAME for word in dict.fromkeys((*question.weak, *question.strong)) if word not in need
        )
        score = 0.9 * sum(scores[word] for word in need) / len(need) + 0.05 * weak - 0.0005 * len(words)
        if result is None or score > result.score:
            where = "" if value == sentence else f'in "{sentence}"'
            result = Finding(value, where, score, hits.heard)
    return [result] if result else []


def _value(question: Question, sentence: str, need: list[str], asked: str) -> str | None:
    """What the question leaves open in a sentence; the sentence itself where that cannot be told; None for no answer."""
    if question.types and question.types[0] in _TYPED:
        return _typed(question, sentence, need)
    if question.text.startswith(("who", "whose", "by whom")) or question.types == ("name",):
        return _name(question, sentence) or (None if asked else sentence)
    if question.text.startswith(("where", "in which", "at which")):
        places = list(_places(sentence))
        fitting = [place for place in places if not all(best(w, need) >= SAME for w in tokens(place)[1:])]
        return _nearest(sentence, fitting, need) or (sentence if len(need) > 1 else None)
    if asked in ("colour", "color"):
        return _nearest(sentence, _next_to(_COLOUR, sentence, need), need)
    if question.text.startswith(("which", "what", "whose")):
        gap = _gap(question, sentence, need, asked)
        if gap is not None:
            return gap
        # one word in common and a noun that is not there: about something else
        return None if asked and len(need) < 2 else sentence
    if question.text.startswith(("how", "why", "when")) or len(need) >= 2:
        return None if question.text.startswith(("is ", "are ", "does ", "do ", "was ")) else sentence
    return None


def _typed(question: Question, sentence: str, need: list[str]) -> str | None:
    # "how long" wants a measure: any number of the sentence would be a guess
    for kind in [
        kind for kind in question.types if kind != "number" or len(question.types) == 1 or "integer" in question.types
    ]:
        found = [match.group().strip() for match in values.find(kind, sentence)]
        fitting = [text for text in found if not set(tokens(text)) <= set(question.words)]
        if fitting:
            return _nearest(sentence, fitting, need)
    return None


def _name(question: Question, sentence: str) -> str | None:
    parts = _parts(sentence)
    by = next((index for index, part in enumerate(parts) if part[0] == "by"), None)
    if by is not None and re.search(r"\b(?:is|are|was|were|been)\b", sentence[: parts[by][1]]):
        doer = _phrase(parts, by + 1, 1, sentence)
        return doer if doer and not set(tokens(doer)) <= set(question.words) else None
    found = [match for match in _NAMES.finditer(sentence) if any(c.islower() for c in match.group())]
    # the first word of a sentence has its capital anyway: it is a name where another capital follows or a verb does
    names = [
        match.group()
        for match in found
        if not any(best(word, question.words) >= SAME for word in tokens(match.group()))
        and tokens(match.group())[0] not in EDGE
    ]
    return names[0] if names else None


def _nearest(sentence: str, found: Iterable[str], need: list[str]) -> str | None:
    """The one nearest to the key words, in the same clause if possible."""
    spots = [m.start() for m in _WORD.finditer(sentence) if any(best(w, need) >= SAME for w in tokens(m.group()))]

    def distance(text: str) -> float:
        at = sentence.find(text)
        clauses = min((len(_BREAK.findall(sentence[min(at, s) : max(at, s)])) for s in spots), default=0)
        return 60 * clauses + min((abs(at - s) for s in spots), default=0)

    return min(found, key=distance, default=None)


def _gap(question: Question, sentence: str, need: list[str], asked: str) -> str | None:
    """The noun phrase that a subject or attribute question leaves open, or None."""
    parts = _parts(sentence)
    known = [any(best(w, question.words) >= SAME for w in tokens(part[0])) for part in parts]
    keys = [any(best(w, need) >= SAME for w in tokens(part[0])) for part in parts]
    if not any(keys):
        return None
    first, last = keys.index(True), len(keys) - 1 - keys[::-1].index(True)
    if len(need) == 1 and re.search(rf"\b(?:is|are|was|were|looks?|seems?) {re.escape(need[0])}$", question.text):
        # "which animal is lazy": the lazy one, or the one that is lazy
        after = _phrase(parts, first + 1, 1, sentence)
        if after and first + 1 < len(known) and not known[first + 1]:
            return after
        return _phrase(parts, _before_verb(parts, first), -1, sentence)
    if asked and len(need) == 1 and re.search(rf"\b(?:{_LEADING}) {re.escape(need[0])}\b", question.text):
        # the sentence tells something else of the thing
        return None
    if re.search(r"\b(?:do|does|did)\b", question.text):
        # "what does the kitchen buy": what comes after the verb
        verb = best(tokens(parts[last][0])[0], need[-1:]) >= SAME
        return _phrase(parts, last + 1, 1, sentence) if verb and question.text.endswith(need[-1]) else None
    # of several places in a long sentence, the first run that holds as many key words as any
    span = _span(keys, len(need))
    return _phrase(parts, _before_verb(parts, span), -1, sentence) if span > 0 else None


def _parts(sentence: str) -> list[tuple[str, int, int]]:
    return [(match.group(), match.start(), match.end()) for match in _WORD.finditer(sentence)]


def _places(sentence: str) -> Iterator[str]:
    """Phrases such as "behind the town hall"."""
    parts = _parts(sentence)
    for index, part in enumerate(parts):
        if part[0].casefold() in _PLACES:
            at = index + 1
            while at < len(parts) and parts[at][0].casefold() in ("the", "a", "an", "our", "their", "his", "her"):
                at += 1
            phrase = _phrase(parts, at, 1, sentence)
            if phrase and at < len(parts):
                yield sentence[part[1] : sentence.index(phrase, parts[at][1]) + len(phrase)]


def _next_to(pattern: re.Pattern[str], sentence: str, need: list[str]) -> list[str]:
    """What stands right before a key word."""
    return [
        match.group()
        for match in pattern.finditer(sentence)
        if any(best(word, need) >= SAME for word in tokens(sentence[match.end() :])[:1])
    ]


def _span(keys: list[bool], count: int) -> int:
    """Where the shortest run with as many key words begins."""
    at = [index for index, key in enumerate(keys) if key]
    if len(at) <= count:
        return at[0]
    return min(zip(at, at[count - 1 :], strict=False), key=lambda pair: pair[1] - pair[0])[0]


def _before_verb(parts: list[tuple[str, int, int]], at: int) -> int:
    index = at - 1
    while index >= 0 and parts[index][0].casefold() in ("is", "are", "was", "were", "has", "have", "had", "can", "will", "that", "which", "who"):  # fmt: skip
        index -= 1
    return index


def _phrase(parts: list[tuple[str, int, int]], at: int, step: int, sentence: str) -> str | None:
    """The words from one on, forwards or backwards, up to the end of the noun phrase."""
    taken: list[tuple[str, int, int]] = []
    while 0 <= at < len(parts) and len(taken) < 8:
        part = parts[at]
        if taken:
            between = sentence[min(part[2], taken[-1][2]) : max(part[1], taken[-1][1])]
            if _BREAK.search(between):
                break
        if part[0].casefold() in EDGE:
            if taken or step < 0:
                break
            at += step
            continue
        taken.append(part)
        at += step
    taken.sort(key=lambda part: part[1])
    return sentence[taken[0][1] : taken[-1][2]] if taken else None
