"""Utterances -> sound, with the silences between them, and when each of them and its words were spoken."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mmcli.errors import UsageError
from mmcli.media.audio import silence
from mmcli.speaking.spelling import reads_numbers, spelled
from mmcli.stages import Audio, Segment, Word
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from mmcli.options import SpeakOptions
    from mmcli.speaking.script import Utterance
    from mmcli.stages import Synthesizer

# Samples above this are heard.
_AUDIBLE = 0.004
_KNEE = 0.8


def _nobody_asks(segment: Segment) -> None:
    """For what is spoken without being written down."""


@dataclass(frozen=True, slots=True)
class Narration:
    """How utterances are spoken. `told` is called with each one when it has been: text, times in seconds, words."""

    options: SpeakOptions
    voices: Mapping[str, str] = field(default_factory=dict)
    """The voice of each speaker; another one has that of the options."""
    sentence_silence: float = 0.0
    """Seconds between utterances."""
    told: Callable[[Segment], None] = _nobody_asks

    def options_of(self, speaker: str | None) -> SpeakOptions:
        voice = self.voices.get(speaker or "")
        return self.options if voice is None else dataclasses.replace(self.options, voice=voice)

    def check(self, tts: Synthesizer) -> None:
        """Have all voices refused now that would be refused in the middle of a text. UsageError."""
        for speaker in (None, *self.voices):
            with closing(closable(tts.speak((), self.options_of(speaker)))) as nothing:
                for _ in nothing:
                    pass


def narrate(tts: Synthesizer, utterances: Iterable[Utterance], how: Narration) -> Generator[Audio, None, None]:
    """Sound for the utterances in order, block by block; the first comes before the last utterance is known."""
    reading = _Reading(utterances, "" if reads_numbers(tts) else how.options.language or "en")
    said = _Said(how.told, how.options.language)
    with closing(reading):
        while reading.begin():
            sentences = reading.run()
            with closing(closable(tts.speak(sentences, how.options_of(reading.speaker)))) as blocks:
                for block in blocks:
                    if reading.current is not said.utterance:
                        said.finish()
                        between = how.sentence_silence if said.utterance is not None else 0.0
                        yield from said.counted(silence(reading.taken_pause() + between, block.rate))
                        said.utterance = reading.current
                    said.hear(block)
                    yield block
        said.finish()
        if said.rate:
            yield from silence(reading.taken_pause(), said.rate)


class _Reading:
    """The utterances, taken one after the other; a run of one speaker's goes to the synthesizer at once."""

    def __init__(self, utterances: Iterable[Utterance], spell_as: str) -> None:
        self._rest = closable(utterances)
        self._spell_as = spell_as
        self._next: Utterance | None = None
        self._pause = 0.0
        self.current: Utterance | None = None
        self.speaker: str | None = None

    def begin(self) -> bool:
        """Whether there is more; `speaker` says it."""
        if self._next is None:
            self._next = next(self._rest, None)
        if self._next is not None:
            self.speaker = self._next.speaker
        return self._next is not None

    def run(self) -> Iterator[str]:
        while self._next is not None and self._next.speaker == self.speaker:
            self.current, self._next = self._next, None
            self._pause += self.current.pause
            if self.current.text:
                yield spelled(self.current.text, self._spell_as) if self._spell_as else self.current.text
            self._next = next(self._rest, None)

    def taken_pause(self) -> float:
        """The silence that has come together since the last sound."""
        pause, self._pause = self._pause, 0.0
        return pause

    def close(self) -> None:
        self._rest.close()


class _Said:
    """When what is spoken is heard: from its first to its last sample that is."""

    def __init__(self, told: Callable[[Segment], None], language: str | None) -> None:
        self._told = told
        self._language = language
        self._seconds = 0.0
        self._words: list[Word] = []
        self._heard: tuple[float, float] | None = None
        self.utterance: Utterance | None = None
        self.rate = 0

    def counted(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        for block in blocks:
            self._seconds += block.seconds
            yield block

    def hear(self, block: Audio) -> None:
        self.rate = block.rate
        loud = np.flatnonzero(np.abs(block.samples) > _AUDIBLE)
        if len(loud):
            start, end = (self._seconds + int(at) / block.rate for at in (loud[0], loud[-1] + 1))
            self._heard = (self._heard[0] if self._heard else start, end)
        self._words += [_moved(word, self._seconds) for word in block.words]
        self._seconds += block.seconds

    def finish(self) -> None:
        if self.utterance is not None and self._heard is not None:
            start, end = self._heard
            words = tuple(
                dataclasses.replace(word, start=min(max(word.start, start), end), end=min(max(word.end, start), end))
                for word in self._words
            )
            speaker = self.utterance.speaker
            self._told(Segment(start, end, self.utterance.text, words, self._language, speaker))
        self._words, self._heard = [], None


def at_volume(blocks: Iterable[Audio], volume: float) -> Iterator[Audio]:
    """The blocks so many times as loud. What then nears full scale is compressed, so that nothing is clipped."""
    for block in blocks:
        samples = block.samples * np.float32(volume)
        loud = np.abs(samples)
        over = np.maximum(loud - _KNEE, 0) / (1 - _KNEE)
        knee = np.sign(samples) * (_KNEE + (1 - _KNEE) * over / (1 + over))
        samples = np.where(loud > _KNEE, knee, samples) if volume > 1 else samples
        yield dataclasses.replace(block, samples=samples.astype(np.float32))


def with_words(sound: Iterable[Audio]) -> Iterator[Audio]:
    """The same sound. UsageError at its end where nothing of it could be heard."""
    heard = False
    for block in sound:
        heard = heard or bool((np.abs(block.samples) > _AUDIBLE).any())
        yield block
    if not heard:
        raise UsageError("there is nothing in the text that can be spoken")


def _moved(word: Word, seconds: float) -> Word:
    return dataclasses.replace(word, start=word.start + seconds, end=word.end + seconds)
