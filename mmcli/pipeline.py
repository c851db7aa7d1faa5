"""PipelineSpec -> Pipeline. `run(turn)` takes a turn through the stages and yields what happens on the way.

A Cascade chains speech-to-text, backbone and text-to-speech, each of which may be left out; an EndToEnd (endtoend.py) is one
model from speech to speech. Both are built from the same tables, checked before anything loads.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from mmcli import engines, provenance, speakers
from mmcli.catalogue import make_options
from mmcli.checks import SHARED_OPTIONS, check, is_fake, with_detector, with_vocoder
from mmcli.endtoend import EndToEnd
from mmcli.errors import ConfigError, InputError
from mmcli.fitting import Fitter, Taker
from mmcli.media.voice_samples import check_voice_sample
from mmcli.running import Clock, spoken, voiced
from mmcli.speech import windows
from mmcli.stages import AudioSource, Conversation, Heard, Said, Video
from mmcli.text import joined
from mmcli.threads import merge

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from mmcli.catalogue import Catalogue, ModelCard, PipelineSpec
    from mmcli.checkpoint import Checkpoint
    from mmcli.options import AnswerOptions, SpeakOptions, TranscribeOptions
    from mmcli.stages import (
        Attachment,
        Audio,
        Backbone,
        Diarizer,
        Event,
        Part,
        Segment,
        Synthesizer,
        Transcriber,
        Turn,
        VoiceDetector,
    )

# Attachments whose fitted parts are kept: those of one conversation.
_KEPT = 64


# ---------------------------------------------------------------- building


def build(
    spec: PipelineSpec,
    catalogue: Catalogue,
    roles: tuple[str, ...] | None = None,
    loaded: Mapping[str, Any] | None = None,
) -> Cascade | EndToEnd:
    """The pipeline with its models loaded: all of them, or those of the named roles alone, which it must have.

    `loaded` holds stages of a former pipeline, by role, that are taken as they are.

    Raises the first error that `check` finds, before anything loads.
    """
    spec = with_vocoder(with_detector(spec), catalogue)
    if roles is not None:
        if "tts" in roles:
            roles = (*roles, "vocoder")
        for role in roles:
            if role not in spec.models and role not in ("vad", "vocoder"):  # which come by themselves
                raise ConfigError(f'pipeline "{spec.name}" has no {role}', "mmcli pipelines list names others")
        keep = {role: name for role, name in spec.models.items() if role in roles}
        kept = {role: given for role, given in spec.options.items() if role in (*keep, *SHARED_OPTIONS)}
        spec = dataclasses.replace(spec, models=keep, options=kept)
    for finding in check(spec, catalogue):
        if finding.error is not None:
            raise finding.error
    started = time.perf_counter()
    cards = {role: catalogue.model(name, role) for role, name in spec.models.items()}
    options = {role: make_options(role, spec.options.get(role, {}), spec.origins) for role in (*cards, *SHARED_OPTIONS)}
    if "stt" in options:
        given = tuple(sorted(spec.options.get("vad", {}).items()))
        options["stt"] = dataclasses.replace(options["stt"], vad_parameters=given)
    if "diarize" in options:
        speakers.check_options(options["diarize"])
    for sample in options["tts"].speaker_wav if "tts" in options else ():
        check_voice_sample(sample)
    stages = {role: stage for role, stage in (loaded or {}).items() if role in cards}
    stages |= {role: engines.load(card, options["runtime"]) for role, card in cards.items() if role not in stages}
    if {"diarize", "stt"} <= stages.keys() and stages["stt"].words:
        # A segment can be cut where the speaker changes only between words that have times.
        options["stt"] = dataclasses.replace(options["stt"], word_timestamps=True)
    if "vocoder" in stages:
        from mmcli.engines.tts.joined import Joined

        stages["tts"] = Joined(stages["tts"], stages["vocoder"])
    origin = provenance.of_pipeline(spec.name, cards, options)
    timings = {"load": time.perf_counter() - started}
    if "e2e" in stages:
        return EndToEnd(stages, options, origin, timings, taker_of(cards["e2e"], catalogue))
    taker = taker_of(cards["backbone"], catalogue) if "backbone" in cards else None
    return Cascade(stages, options, origin, timings, taker)


def taker_of(card: ModelCard, catalogue: Catalogue) -> Taker:
    """What a model takes, as fitting sees it."""

    def others(modality: str) -> list[str]:
        return [
            other.name
            for other in catalogue.models.values()
            if other.role == card.role and modality in other.inputs and not is_fake(other)
        ]

    return Taker(card.name, card.inputs, engines.spec_of(card).instructed, others)


def roles_for(
    spec: PipelineSpec, catalogue: Catalogue, attachments: Iterable[Attachment], *, unknown: bool = False
) -> tuple[str, ...]:
    """The roles that a typed question about attachments needs; `unknown`: there are others that may be anything.

    A recording has to be heard, if not by the backbone itself; the sound of a video is where the pipeline can.
    """
    inputs = catalogue.model(spec.models["backbone"], "backbone").inputs if "backbone" in spec.models else ()
    must = any(isinstance(given, AudioSource) for given in attachments) and "audio" not in inputs
    may = unknown or any(isinstance(given, Video) and given.sound is not None for given in attachments)
    return ("vad", "stt", "backbone") if must or (may and "stt" in spec.models) else ("backbone",)


def check_turn(spec: PipelineSpec, catalogue: Catalogue, turn: Turn) -> None:
    """Refuse what the pipeline could do nothing with, before anything loads. UsageError, InputError."""
    for role in ("backbone", "e2e"):
        if role in spec.models:
            options = make_options("attachments", spec.options.get("attachments", {}), spec.origins)
            taker = taker_of(catalogue.model(spec.models[role], role), catalogue)
            Fitter(taker, options).check(turn)


# ---------------------------------------------------------------- running


class Cascade:
    """Speech to text, text to answer, answer to speech; stages that the pipeline leaves out are passed by."""

    def __init__(
        self,
        stages: Mapping[str, Any],
        options: Mapping[str, Any],
        origin: Mapping[str, Any],
        timings: Mapping[str, float],
        taker: Taker | None = None,
    ) -> None:
        self.detector: VoiceDetector | None = stages.get("vad")
        self.diarizer: Diarizer | None = stages.get("diarize")
        self.stt: Transcriber | None = stages.get("stt")
        self.backbone: Backbone | None = stages.get("backbone")
        self.tts: Synthesizer | None = stages.get("tts")
        self.stages = stages
        self._options = options
        self._origin = origin
        self._timings = timings
        self._fitter = None
        if taker is not None:
            self._fitter = Fitter(taker, options["attachments"], self.transcribe if self.stt is not None else None)
            # What was fitted for one turn is the same object in the next, so that an engine knows it again.
            self._fit = functools.lru_cache(_KEPT)(self._fitter.parts)
        if self.stt is not None and self.detector is not None and self.stt.rate != self.detector.rate:
            raise ConfigError(f"vad works at {self.detector.rate} Hz and stt at {self.stt.rate} Hz")

    @property
    def origin(self) -> Mapping[str, Any]:
        """What makes the results, as it stands now."""
        return provenance.with_state(self._origin, self.stages.values())

    @property
    def at_a_time(self) -> int:
        """How many recordings are best heard side by side."""
        workers: int = getattr(self.stt, "workers", 1)
        # One for each worker to go on with where another ends early, unless each is held whole in memory.
        return workers if workers == 1 or self._options["stt"].windowing == "sequential" else 2 * workers

    def transcribe(self, audio: AudioSource, kept: Checkpoint | None = None) -> Iterator[Segment]:
        """What is said in a recording, segment by segment while it is still being decoded.

        What an earlier run has `kept` comes at once, and each stretch that is finished is kept there.
        """
        if self.stt is None or self.detector is None:
            raise ConfigError(
                f'pipeline "{self.origin["pipeline"]}" has no stt, so {audio.source} cannot be heard',
                "name a pipeline with stt",
            )
        options: TranscribeOptions = self._options["stt"]
        if self.diarizer is not None:
            how = self._options
            stages = (self.detector, self.diarizer, self.stt)
            hearing = speakers.Hearing(*stages, vad=how["vad"], diarize=how["diarize"], transcribe=options, kept=kept)
            return speakers.transcribe(audio, hearing)
        speech = windows(audio, self.detector, self.stt, self._options["vad"], options)
        return self.stt.transcribe(speech, options) if kept is None else kept.hear(self.stt, speech, options)

    def speak(self, pieces: Iterable[str]) -> Iterator[Audio]:
        """A text as sound, sentence by sentence while its pieces still come."""
        if self.tts is None:
            raise ConfigError(f'pipeline "{self.origin["pipeline"]}" has no tts', "name a pipeline with tts")
        return voiced(self.tts, pieces, self.speak_options)

    @property
    def speak_options(self) -> SpeakOptions:
        """How the pipeline's voice speaks."""
        options: SpeakOptions = self._options["tts"]
        return options

    def run(self, turn: Turn, kept: Checkpoint | None = None) -> Generator[Event, None, None]:
        """Heard, Said and Spoke as they happen, Done at the end. Closing the generator interrupts every stage.

        `kept` is what an earlier run heard of the turn's recording, and where this one keeps what it hears.
        """
        clock = Clock(self._timings)
        heard: list[str] = []
        language = None
        fitted: tuple[tuple[Part, ...], ...] = ()
        if self._fitter is not None:
            self._fitter.check(turn)
            fitted = tuple(map(self._fit, turn.attachments))
        if turn.audio is not None:
            with closing(self._hear(turn.audio, tuple(chain(*fitted)), clock, kept)) as hearing:
                for event in hearing:
                    heard.append(event.segment.text.strip())
                    language = event.segment.language
                    yield event
            if not (heard or turn.text) and (self.backbone or self.tts):
                raise InputError(turn.audio.source, "no speech was heard in it", "is it the right recording?")
        with closing(self._answer(turn, fitted, joined(heard, language), clock)) as events:
            yield from events
        yield clock.done(self.origin if kept is None else kept.told(self.origin))

    def _hear(
        self, audio: AudioSource, parts: tuple[Part, ...], clock: Clock, kept: Checkpoint | None
    ) -> Generator[Heard, None, None]:
        """What is said, while the backbone already looks at what it is about."""
        segments = clock.timed("stt", self.transcribe(audio, kept), "first_heard")

        def hear() -> Generator[Heard, None, None]:
            with closing(segments):
                yield from map(Heard, segments)

        backbone = self.backbone
        if backbone is None or not parts:
            # In this thread, closing reaches the recognizer at once.
            return hear()

        def look() -> Iterator[Heard]:
            backbone.prepare(parts)
            yield from ()

        return merge(hear(), look())

    def _answer(
        self, turn: Turn, fitted: tuple[tuple[Part, ...], ...], heard: str, clock: Clock
    ) -> Generator[Event, None, None]:
        if self.backbone is not None and self._fitter is not None:
            options: AnswerOptions = self._options["backbone"]
            conversation = Conversation(self._fitter.messages(turn, fitted, heard, self._fit))
            answer = clock.texts(self.backbone.answer(conversation, options))
            pieces = clock.timed("backbone", answer, "first_text")
        else:
            pieces = clock.timed("backbone", iter([text for text in (turn.text, heard) if text]))
        if self.tts is not None:
            yield from spoken(pieces, self.speak, clock, shown=self.backbone is not None)
        elif self.backbone is not None:
            yield from map(Said, pieces)
