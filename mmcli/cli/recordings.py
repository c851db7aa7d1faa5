"""A file on its way to a transcript: heard, or read from a former one, alone or beside others."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any

from mmcli import ui
from mmcli.cli import shaping, speakers
from mmcli.errors import InputError, MmcliError, UsageError
from mmcli.languages import language_code
from mmcli.threads import Ahead, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from mmcli.checkpoint import Checkpoint
    from mmcli.pipeline import Cascade
    from mmcli.stages import AudioSource, Event, Segment

_SEGMENTS_AHEAD = 10_000
"""So many are held of a file whose turn to be written has not come."""


# Flags that ask for another hearing; the others say how to write, or where and how fast to hear.
_OF_HEARING = (
    *("channel", "vad_threshold", "vad_min_speech_duration_ms", "vad_max_speech_duration_s"),
    *("vad_min_silence_duration_ms", "vad_speech_pad_ms", "temperature_increment_on_fallback"),
    *("diarize_by", "speaker_model", "speakers_count", "min_speakers", "max_speakers"),
)
_OF_WRITING = ("language", "word_timestamps", "batched", "batch_size")


def check_former(flags: Mapping[str, Any], parameters: Iterable[Any]) -> None:
    """UsageError for a flag, given as one of a command's parameters, that does nothing where there is nothing to hear."""
    from dataclasses import fields

    from mmcli.options import TranscribeOptions

    plain = {field.name: field.default for field in fields(TranscribeOptions)}
    hearing = {*_OF_HEARING, *plain} - {*_OF_WRITING}
    for parameter in parameters:
        value = flags[parameter.name]
        # Who writes out all flags switches off what is off anyway.
        is_off = value is False and plain.get(parameter.name) is False
        if parameter.name in hearing and value is not None and not is_off:
            raise UsageError(
                f"{parameter.opts[0]} does nothing to a former transcript, which is not heard again",
                "leave it out, or transcribe the recording",
            )


class Former:
    """A transcript that was written before, taken for what was heard."""

    def __init__(self, file: str, output: shaping.Output, flags: Mapping[str, Any], formats: list[str]) -> None:
        from mmcli.media.transcripts import read_transcript

        language = flags["language"] and language_code(flags["language"])
        self._file = file
        self._names = speakers.names(flags) or []
        self._transcript = read_transcript(file, None if language == "auto" else language)
        output.check_words(self._transcript)
        self.count = len(self._transcript.segments)
        if (speakers.is_asked(flags) or "rttm" in formats) and not self._transcript.has_speakers:
            raise InputError(
                self._transcript.source, "does not tell who speaks", "transcribe the recording again with --diarize"
            )

    @property
    def kept_s(self) -> float:
        """There are no seconds that an earlier run has heard."""
        return 0.0

    @property
    def is_kept(self) -> bool:
        """It is read anew."""
        return False

    def segments(self, *, bar: bool) -> Generator[Segment, None, None]:
        from mmcli.speakers import named

        yield from named(self._transcript.segments, self._names, keep=True)

    def written(self) -> None:
        """Nothing was kept for a restart."""

    def close(self) -> None:
        """Nothing is held."""

    def provenance(self) -> dict[str, Any]:
        from mmcli import __version__, provenance

        made = {"source": self._file, "schema": provenance.SCHEMA, "mmcli": __version__}
        return {**made, "former": self._transcript.provenance} if self._transcript.provenance else made


class Run:
    """One file on its way through the pipeline: its segments, and afterwards what made them.

    One that is heard `beside` others is heard from now on.
    """

    def __init__(
        self, cascade: Cascade, audio: AudioSource, file: str, kept: Checkpoint | None, *, beside: bool
    ) -> None:
        from mmcli.stages import Turn

        self._audio = audio
        self._file = file
        self._kept = kept
        events = cascade.run(Turn(audio=audio), kept)
        self._events: Generator[Event, None, None] | Ahead[Event] = Ahead(events, _SEGMENTS_AHEAD) if beside else events
        self._provenance: dict[str, Any] = {"source": file, **cascade.origin}
        self.count = 0

    @property
    def kept_s(self) -> float:
        """Seconds that an earlier run has heard."""
        return 0.0 if self._kept is None else self._kept.seconds

    @property
    def is_kept(self) -> bool:
        """Whether the same command would go on inside it."""
        return self._kept is not None and not self._kept.is_empty

    def segments(self, *, bar: bool) -> Generator[Segment, None, None]:
        from mmcli.stages import Done, Heard

        with ui.progress(self._file, self._audio.seconds, shown=bar) as advance:
            for event in self._events:
                if isinstance(event, Heard):
                    self.count += 1
                    advance(event.segment.end)
                    yield event.segment
                elif isinstance(event, Done):
                    self._provenance = {"source": self._file, **event.provenance}

    def written(self) -> None:
        """All outputs are where they should be."""
        if self._kept is not None:
            self._kept.remove()

    def close(self) -> None:
        """Stop hearing, and let go of what is kept for a restart."""
        with self._kept or nullcontext():
            self._events.close()

    def provenance(self) -> dict[str, Any]:
        return self._provenance


def in_turn(
    files: Iterable[str], open_one: Callable[[str], Run | Former], count: int
) -> Generator[tuple[str, Run | Former | MmcliError], None, None]:
    """Each file and its run, or the error of opening it; `count` of them are open at a time.

    A run is closed when the next one is asked for, or when this generator is closed.
    """
    running: deque[tuple[str, Run | Former | MmcliError]] = deque()
    rest = iter(files)
    try:
        while True:
            for file in islice(rest, count - len(running)):
                try:
                    running.append((file, open_one(file)))
                except MmcliError as error:
                    running.append((file, error))
            if not running:
                return
            yield running[0]
            _close(running.popleft()[1])
    finally:
        # Side by side, as each may have to wait for what it is in the middle of.
        if running:
            for _ in side_by_side(_close, [run for _, run in running], len(running)):
                pass


def _close(run: Run | Former | MmcliError) -> None:
    if not isinstance(run, MmcliError):
        run.close()
