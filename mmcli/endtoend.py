"""One model from speech (and pictures) to text or speech; a voice follows where it only writes.

Sound is cut to what the model hears at once. A model that answers each utterance alone, as a translator does, gets them one
after the other while the recording is still being decoded, in constant memory; any other gets all of it as one question.
"""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mmcli import provenance
from mmcli.errors import ConfigError, InputError
from mmcli.fitting import Fitter, Taker
from mmcli.running import Clock, spoken, voiced
from mmcli.speech import contiguous, utterances
from mmcli.stages import AudioSource, Conversation, Message, Said, Usage
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from mmcli.options import ConverseOptions, SpeakOptions
    from mmcli.stages import Audio, Event, Part, SpeechModel, Spoke, Synthesizer, Turn, VoiceDetector, Window


class EndToEnd:
    """Stages `e2e`, `vad` where the model answers utterances, and `tts` where it only writes."""

    def __init__(
        self,
        stages: Mapping[str, Any],
        options: Mapping[str, Any],
        origin: Mapping[str, Any],
        timings: Mapping[str, float],
        taker: Taker,
    ) -> None:
        """ConfigError where the detector works at another rate than the model."""
        self.model: SpeechModel = stages["e2e"]
        self.detector: VoiceDetector | None = stages.get("vad")
        self.tts: Synthesizer | None = stages.get("tts")
        self.stages = stages
        self._options = options
        self._origin = origin
        self._timings = timings
        self._fitter = Fitter(taker, options["attachments"])
        if self.model.alone and self.detector is not None and self.detector.rate != self.model.rate:
            raise ConfigError(f"vad works at {self.detector.rate} Hz and e2e at {self.model.rate} Hz")

    @property
    def origin(self) -> Mapping[str, Any]:
        """What makes the results, as it stands now."""
        return provenance.with_state(self._origin, self.stages.values())

    def speak(self, pieces: Iterable[str]) -> Iterator[Audio]:
        """A text as sound, sentence by sentence while its pieces still come. ConfigError without a tts."""
        if self.tts is None:
            raise ConfigError(f'pipeline "{self._origin["pipeline"]}" has no tts', "name a pipeline with tts")
        options: SpeakOptions = self._options["tts"]
        return voiced(self.tts, pieces, options)

    def run(self, turn: Turn) -> Generator[Event, None, None]:
        """Said and Spoke as they happen, Done at the end. Closing the generator interrupts every stage."""
        clock = Clock(self._timings)
        self._fitter.check(turn)
        with closing(self._events(turn, clock)) as events:
            yield from events
        yield clock.done(self.origin)

    def _events(self, turn: Turn, clock: Clock) -> Generator[Event, None, None]:
        answers = clock.timed("e2e", self._answers(turn, clock))
        if self.tts is not None:
            yield from spoken(_texts(answers, clock), self.speak, clock, shown=True)
            return
        with closing(answers):
            for event in answers:
                clock.mark("first_text" if isinstance(event, Said) else "first_audio")
                yield event

    def _answers(self, turn: Turn, clock: Clock) -> Generator[Said | Spoke, None, None]:
        options: ConverseOptions = self._options["e2e"]
        said = False
        with closing(self._conversations(turn)) as conversations:
            for conversation in conversations:
                between = said
                with closing(closable(self.model.converse(conversation, options))) as events:
                    for event in events:
                        if isinstance(event, Usage):
                            clock.add(event)
                            continue
                        if isinstance(event, Said):
                            if between:
                                yield Said("\n")
                            said, between = True, False
                        yield event

    # ------------------------------------------------------------ what is heard

    def _conversations(self, turn: Turn) -> Generator[Conversation, None, None]:
        fitted = tuple(map(self._fitter.parts, turn.attachments))
        *before, last = self._fitter.messages(turn, fitted, "")
        parts = (*last.parts, *(() if turn.audio is None else (turn.audio,)))
        if self.model.alone:
            for part in parts:
                for piece in self._utterances(part) if isinstance(part, AudioSource) else (part,):
                    yield Conversation((*before, Message("user", (piece,))))
            return
        cut = [Message(message.role, self._cut(message.parts)) for message in before]
        yield Conversation((*cut, Message("user", self._cut(parts))))

    def _utterances(self, audio: AudioSource) -> Generator[AudioSource, None, None]:
        assert self.detector is not None, "checks.py gives every pipeline with e2e a detector"
        vad = self._options["vad"]
        vad = dataclasses.replace(vad, max_speech_s=min(vad.max_speech_s, self.model.longest_s))
        heard = False
        with closing(utterances(audio.blocks(self.model.rate), self.detector, vad)) as speech:
            for window in speech:
                heard = True
                yield _recording(audio, window)
        if not heard:
            raise InputError(audio.source, "no speech was heard in it", "is it the right recording?")

    def _cut(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        """The parts with recordings in pieces that the model can hear. InputError for more than it hears in all."""
        found: list[Part] = []
        seconds = 0.0
        for part in parts:
            if not isinstance(part, AudioSource):
                found.append(part)
                continue
            with closing(contiguous(part.blocks(self.model.rate), self.model.rate, self.model.longest_s)) as windows:
                for window in windows:
                    seconds += window.audio.seconds
                    if seconds > self.model.most_s:
                        raise InputError(
                            part.source,
                            f"the model hears {self.model.most_s:g} s in one question at most, and this is more",
                            "cut it, or take a pipeline with stt",
                        )
                    found.append(_recording(part, window))
        return tuple(found)


def _texts(answers: Generator[Said | Spoke, None, None], clock: Clock) -> Generator[str, None, None]:
    with closing(answers):
        for event in answers:
            if isinstance(event, Said):
                clock.mark("first_text")
                yield event.text


def _recording(audio: AudioSource, window: Window) -> AudioSource:
    return AudioSource(audio.source, window.audio.seconds, lambda rate: iter([window.audio]))
