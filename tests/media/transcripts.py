"""Transcripts drawn at random, and the segments as whisper-ctranslate2's writers take them."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any

from mmcli.stages import Segment, Word

LATIN = (
    "a",
    "I",
    "the",
    "harbour",
    "said,",
    "twenty-five",
    "Dr.",
    "don't",
    "extraordinarily",
    "boat.",
    "Why?",
    "(sea)",
    "--",
    "café",
)
CHINESE = ("你好", "今天", "天气", "很", "好。", "再见", "吗？", "我", "iPhone", "12", "，")


def drawn(seed: int, language: str = "en", segments: int = 6, longest: int = 14) -> list[Segment]:
    """Segments with words as Whisper gives them: a space before each where the language has spaces, times in order."""
    draw = random.Random(seed)
    space = " " if language == "en" else ""
    made = []
    at = draw.uniform(0, 2)
    for _ in range(segments):
        words = []
        for _ in range(draw.randint(1, longest)):
            end = at + draw.uniform(0.0, 0.6)
            text = space + draw.choice(LATIN if language == "en" else CHINESE)
            words.append(Word(text, round(at, 2), round(end, 2), round(draw.uniform(0.0, 1.0), 3)))
            at = end + draw.choice((0.0, 0.0, 0.1, 0.5, 4.0))
        text = "".join(word.text for word in words)
        made.append(Segment(words[0].start, words[-1].end, text, tuple(words), language))
    return made


def as_the_peer_has_them(segments: list[Segment]) -> dict[str, Any]:
    """What whisper-ctranslate2 hands to its writers."""
    entries = []
    for segment in segments:
        words = [{**asdict(word), "word": word.text} for word in segment.words]
        entry: dict[str, Any] = {"start": segment.start, "end": segment.end, "text": segment.text, "words": words}
        entries.append(entry | ({"speaker": segment.speaker} if segment.speaker else {}))
    return {"segments": entries}
