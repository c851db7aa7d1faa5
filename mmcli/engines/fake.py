"""Deterministic stages without weights: the whole program is tried and its own cost measured with them.

Each takes `settings = { delay_s = 0.1 }` in its catalogue entry and then waits that long before each thing it gives. The
backbone takes `context`, too: so many words, of all messages together, are the most that it listens to; and `coordinates`:
then it names the places that its own answer does.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli.engines.answers import check_document, coordinates, places, read_schema
from mmcli.engines.options import check_settings, refuse_others
from mmcli.errors import ContextOverflow
from mmcli.stages import (
    Audio,
    AudioSource,
    Document,
    Image,
    Said,
    Segment,
    SpeakerTurn,
    Spoke,
    Usage,
    Video,
    Voice,
    Word,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcli.catalogue import ModelCard
    from mmcli.options import AnswerOptions, ConverseOptions, DiarizeOptions, SpeakOptions, TranscribeOptions
    from mmcli.places import Region
    from mmcli.stages import Conversation, Part, Window

_RATE = 16000
_WORD_S = 0.3


class _Fake:
    settings: tuple[str, ...] = ("delay_s",)

    def __init__(self, card: ModelCard) -> None:
        check_settings(card, self.settings)
        self.delay_s = float(card.settings.get("delay_s", 0.0))

    def wait(self) -> None:
        if self.delay_s:
            time.sleep(self.delay_s)


class FakeDetector(_Fake):
    """A frame is speech when its loudest sample is above 0.02."""

    rate = _RATE
    frame = 512

    def probabilities(self, blocks: Iterable[Audio]) -> Iterator[float]:
        rest = np.zeros(0, np.float32)
        for block in blocks:
            samples = np.concatenate([rest, block.samples])
            whole = len(samples) // self.frame
            self.wait()
            yield from (np.abs(samples[: whole * self.frame]).reshape(whole, self.frame).max(axis=1) > 0.02).astype(
                float
            )
            rest = samples[whole * self.frame :]


class FakeDiarizer(_Fake):
    """The speaker changes with each window, as often as there may be speakers (2 where that is open)."""

    rate = _RATE

    def speakers(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        self.wait()
        count = max(options.max_speakers or 2, options.min_speakers)
        return tuple(
            SpeakerTurn(window.start, window.start + window.audio.seconds, number % count)
            for number, window in enumerate(windows)
        )


class FakeTranscriber(_Fake):
    """Hears "window 1 of 2.5 seconds", "window 2 of ..." and so on."""

    rate = _RATE
    packs = False
    words = True

    def transcribe(
        self, windows: Iterable[Window], options: TranscribeOptions, carried: Mapping[str, Any] | None = None
    ) -> Iterator[Segment]:
        refuse_others(options, ("language", "word_timestamps", "fast"), "the fake transcriber")
        for number, window in enumerate(windows, 1 + (carried or {}).get("windows", 0)):
            self.wait()
            text = f"window {number} of {window.audio.seconds:.1f} seconds"
            end = window.start + window.audio.seconds
            words = tuple(_even_words(text, window.start, end)) if options.word_timestamps else ()
            yield Segment(window.start, end, text, words, options.language or "en")
            window.done(window.end, {"windows": number})


def _even_words(text: str, start: float, end: float) -> Iterator[Word]:
    words = text.split()
    step = (end - start) / len(words)
    for index, word in enumerate(words):
        yield Word(word, start + index * step, start + (index + 1) * step, 1.0)


class FakeBackbone(_Fake):
    """Says back what it was given, word by word; with a schema the text alone, which then has to be such a document."""

    settings = ("delay_s", "context", "coordinates")

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        self._coordinates = coordinates(card)
        self.context = int(card.settings.get("context", sys.maxsize))

    def prepare(self, parts: Iterable[Part]) -> None:
        """Nothing takes time here."""

    def answer(self, conversation: Conversation, options: AnswerOptions) -> Iterator[str | Region | Usage]:
        refuse_others(options, ("max_new_tokens", "schema"), "the fake backbone")
        prompt = sum(len(message.text.split()) for message in conversation.messages)
        if prompt > self.context:
            raise ContextOverflow("the question", f"has {prompt} words, and the fake backbone hears {self.context}")
        last = conversation.messages[-1]
        schema = None if options.schema is None else read_schema(options.schema)
        given = ", ".join(_describe(part) for part in last.parts)
        words = (f"You gave me {given}." if schema is None else last.text).split(" ")
        shown = words[: options.max_new_tokens]
        for index, word in enumerate(shown):
            self.wait()
            yield word if index == 0 else " " + word
        text = " ".join(shown)
        if schema is not None:
            check_document(text, schema, whole=len(shown) == len(words))
        yield from places(text, self._coordinates, conversation)
        yield Usage(prompt, len(shown), finish="stop" if len(shown) == len(words) else "length")


def _describe(part: Part) -> str:
    if isinstance(part, Image):
        red, green, blue = part.pixels().resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        return f"a picture of {part.width} by {part.height} pixels, red {red} green {green} blue {blue}"
    if isinstance(part, Document):
        return f"a document of {part.page_count} pages"
    if isinstance(part, Video):
        return f"a video of {sum(1 for _ in part.frames())} pictures"
    return f'the text "{part}"'


class FakeSynthesizer(_Fake):
    """One tone of 0.3 s for each word, its pitch from the word's letters."""

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        for sentence in sentences:
            for word in sentence.split():
                self.wait()
                yield _tone(200.0 + sum(word.encode()) % 400, _WORD_S / options.speed)

    def voices(self) -> tuple[Voice, ...]:
        return (Voice("tone", "en", "one tone a word"),)


def _tone(hertz: float, seconds: float) -> Audio:
    times = np.arange(int(_RATE * seconds)) / _RATE
    return Audio((0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32), _RATE)


class FakeSpeechModel(_Fake):
    """Answers a recording with itself, and says how long it was and what else it was given."""

    rate = _RATE
    alone = False
    longest_s = 30.0
    most_s = 3600.0

    def converse(self, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
        refuse_others(options, ("max_new_tokens",), "the fake speech model")
        seconds = 0.0
        others = []
        for part in conversation.messages[-1].parts:
            if not isinstance(part, AudioSource):
                others.append(_describe(part))
                continue
            for block in part.blocks(self.rate):
                self.wait()
                seconds += block.seconds
                yield Spoke(block)
        words = " ".join([f"I heard {seconds:.1f} seconds", *(f"and {other}" for other in others)]) + "."
        pieces = words.split(" ")
        for index, word in enumerate(pieces[: options.max_new_tokens]):
            yield Said(word if index == 0 else " " + word)
        yield Usage(len(pieces), min(len(pieces), options.max_new_tokens))
