"""What running pipelines have in common: the times of stages, and a voice beside the text."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from mmcli.places import Region
from mmcli.speaking.spelling import reads_numbers, spelled
from mmcli.stages import Done, Said, Spoke, Usage
from mmcli.text import sentences
from mmcli.threads import Channel, closable, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from mmcli.options import SpeakOptions
    from mmcli.stages import Audio, Event, Synthesizer

T = TypeVar("T")

# Pieces of text that the backbone may be ahead of its own voice.
_AHEAD = 4096


class Clock:
    """Seconds by stage: how long each took, and when its first item came, counted from the start of the turn."""

    def __init__(self, timings: Mapping[str, float]) -> None:
        self.timings = dict(timings)
        self.usage: Usage | None = None
        self.regions: list[Region] = []
        self._started = time.perf_counter()

    def texts(self, pieces: Iterator[str | Region | Usage]) -> Generator[str, None, None]:
        """The backbone's text alone; its regions and what it says of its usage are kept."""
        with closing(closable(pieces)) as source:
            for piece in source:
                if isinstance(piece, Usage):
                    self.usage = piece
                elif isinstance(piece, Region):
                    self.regions.append(piece)
                else:
                    yield piece

    def timed(self, stage: str, items: Iterator[T], first: str | None = None) -> Generator[T, None, None]:
        """The items, with the time spent in making them added to the stage's."""
        try:
            while True:
                started = time.perf_counter()
                try:
                    item = next(items)
                except StopIteration:
                    return
                finally:
                    now = time.perf_counter()
                    self.timings[stage] = self.timings.get(stage, 0.0) + now - started
                if first is not None:
                    self.mark(first)
                yield item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def mark(self, first: str) -> None:
        """The first of its kind comes now, if none came before."""
        self.timings.setdefault(first, time.perf_counter() - self._started)

    def add(self, usage: Usage) -> None:
        """Count the tokens of one more answer of the turn."""
        if self.usage is not None:
            prompt, answer = self.usage.prompt + usage.prompt, self.usage.answer + usage.answer
            usage = Usage(prompt, answer, self.usage.cached + usage.cached, usage.finish)
        self.usage = usage

    def done(self, origin: Mapping[str, Any]) -> Done:
        total = time.perf_counter() - self._started + self.timings.get("load", 0.0)
        timings = {stage: round(seconds, 4) for stage, seconds in {**self.timings, "total": total}.items()}
        made = {**origin, "timings": timings}
        if self.usage is not None:
            made["usage"] = dataclasses.asdict(self.usage)
        return Done(timings, made, self.usage, tuple(self.regions))


def voiced(tts: Synthesizer, pieces: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
    """A text as sound, sentence by sentence while its pieces still come; numbers as words where the voice needs it."""
    language = options.language or "en"
    text = sentences(pieces, language)
    if not reads_numbers(tts):
        text = (spelled(sentence, language) for sentence in text)
    return tts.speak(text, options)


def spoken(
    pieces: Generator[str, None, None], speak: Callable[[Iterable[str]], Iterator[Audio]], clock: Clock, *, shown: bool
) -> Generator[Event, None, None]:
    """Text and sound side by side: a sentence is spoken while the next one is still being written."""
    written: Channel[str] = Channel(_AHEAD)

    def say() -> Iterator[Event]:
        try:
            with closing(pieces):
                for piece in pieces:
                    if shown:
                        yield Said(piece)
                    if not written.send(piece):
                        return
        finally:
            written.stop()

    def voice() -> Iterator[Event]:
        try:
            text = clock.timed("wait", iter(written))
            with closing(clock.timed("tts", speak(text), "first_audio")) as sound:
                yield from map(Spoke, sound)
        finally:
            written.stop()

    with closing(merge(say(), voice())) as events:
        yield from events
    # The voice waits for text inside its own time.
    clock.timings["tts"] -= clock.timings.pop("wait", 0.0)
