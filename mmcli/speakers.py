"""Who speaks: turns of speakers found in a first pass over a recording, then given to segments and words as they come.

Speakers differ in their voices, which a Diarizer tells apart, or each has a channel of their own (channels.py).
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import itertools
import logging
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from mmcli import channels
from mmcli.errors import InputError, UsageError, did_you_mean
from mmcli.media.words import spaced
from mmcli.speech import utterances, windows
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from mmcli.checkpoint import Checkpoint
    from mmcli.options import DiarizeOptions, TranscribeOptions, VadOptions
    from mmcli.stages import AudioSource, Diarizer, Segment, SpeakerTurn, Transcriber, VoiceDetector, Word

WAYS = ("auto", "channel", "voice")

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Hearing:
    """The stages that hear, and how."""

    detector: VoiceDetector
    diarizer: Diarizer
    stt: Transcriber
    vad: VadOptions
    diarize: DiarizeOptions
    transcribe: TranscribeOptions
    kept: Checkpoint | None = None
    """What an earlier run has heard. Of channels, which are heard side by side, nothing is kept."""


def check_options(options: DiarizeOptions) -> None:
    """UsageError for options that make no sense."""
    if options.by not in WAYS:
        raise UsageError(
            f'speakers are told apart by {" or ".join(WAYS)}, not "{options.by}"', did_you_mean(options.by, WAYS)
        )
    if options.min_speakers < 1:
        raise UsageError(f"there is at least 1 speaker, not {options.min_speakers}")
    if options.max_speakers is not None and options.max_speakers < options.min_speakers:
        raise UsageError(
            f"there are at least {options.min_speakers} speakers, so the most cannot be {options.max_speakers}",
            "give --min-speakers at most as large as --max-speakers",
        )


def transcribe(audio: AudioSource, hearing: Hearing) -> Generator[Segment, None, None]:
    """What is said and by whom, in order of time: the speakers are found first, then segments come one by one.

    A segment is cut where the speaker changes in it, if its words have times. Its source has to be readable twice.
    """
    check_options(hearing.diarize)
    alone = _by_channel(audio, hearing)
    if alone is not None:
        heard = _each_channel(audio, alone, hearing)
    else:
        # On the clock of what is heard: without the silence before a track that begins late, in the loop of Whisper's tools.
        sequential = hearing.transcribe.windowing == "sequential"
        late = dataclasses.replace(audio, blocks=audio.blocks16) if sequential and audio.blocks16 else audio
        turns = _voices(late, hearing)
        heard = _attributed(_heard(audio, hearing, hearing.kept), turns)
    with closing(heard):
        yield from named(heard, hearing.diarize.names)


def _heard(audio: AudioSource, hearing: Hearing, kept: Checkpoint | None = None) -> Iterator[Segment]:
    found = windows(audio, hearing.detector, hearing.stt, hearing.vad, hearing.transcribe)
    if kept is not None:
        return kept.hear(hearing.stt, found, hearing.transcribe)
    return hearing.stt.transcribe(found, hearing.transcribe)


# ---------------------------------------------------------------- channels


def _by_channel(audio: AudioSource, hearing: Hearing) -> list[list[SpeakerTurn]] | None:
    """When each channel's own speaker speaks; None where speakers are to be told by their voices."""
    way = hearing.diarize.by
    if way == "voice" or (way == "auto" and len(audio.channels) < 2):
        return None
    if len(audio.channels) < 2:
        raise InputError(audio.source, "has no two channels to tell speakers by", "--diarize-by voice")
    spoken = channels.activity(audio.channels, hearing.detector, hearing.vad)
    if way == "auto":
        if not channels.are_speakers(spoken):
            return None
        _LOG.warning("%s: each channel has a speaker of its own (--diarize-by voice looks at the voices)", audio.source)
    return channels.turns(spoken)


def _each_channel(
    audio: AudioSource, alone: list[list[SpeakerTurn]], hearing: Hearing
) -> Generator[Segment, None, None]:
    """Every channel heard by itself, silent where another one speaks louder, and merged in order of time."""
    with ExitStack() as stack:
        heard = []
        for number, (channel, turns) in enumerate(zip(audio.channels, alone, strict=True)):
            if turns:
                own = closable(_heard(channels.gated(channel, turns), hearing))
                stack.callback(own.close)
                heard.append(_told(own, str(number)))
        yield from heapq.merge(*heard, key=lambda segment: segment.start)


def _told(segments: Iterable[Segment], speaker: str) -> Iterator[Segment]:
    for segment in segments:
        yield _spoken_by(segment, speaker)


# ---------------------------------------------------------------- voices


def _voices(audio: AudioSource, hearing: Hearing) -> tuple[SpeakerTurn, ...]:
    rate = hearing.diarizer.rate
    if rate != hearing.detector.rate:
        raise UsageError(f"the speaker model hears {rate} Hz and the voice detector {hearing.detector.rate} Hz")
    speech = utterances(audio.blocks(rate), hearing.detector, hearing.vad)
    with closing(speech):
        return hearing.diarizer.speakers(speech, hearing.diarize)


def _attributed(segments: Iterable[Segment], turns: Sequence[SpeakerTurn]) -> Generator[Segment, None, None]:
    """The segments with the speaker of each word, cut where the speaker changes; without words, who speaks longest."""
    who = _Who(turns)
    with closing(closable(segments)) as source:
        for segment in source:
            if not segment.words:
                yield dataclasses.replace(segment, speaker=who.speaks(segment.start, segment.end))
                continue
            written = spaced(segment)
            said = [who.speaks(word.start, word.end) for word in written]
            edges = [0, *(place for place in range(1, len(said)) if said[place] != said[place - 1]), len(said)]
            for first, last in itertools.pairwise(edges):
                yield _part(segment, written, first, last, said[first])


class _Who:
    """Turns of speakers, asked for who speaks longest between two times."""

    def __init__(self, turns: Sequence[SpeakerTurn]) -> None:
        self._turns = turns
        self._starts = [turn.start for turn in turns]

    def speaks(self, start: float, end: float) -> str:
        """A number; where nobody speaks then, whose turn is the nearest."""
        index = max(0, bisect.bisect_right(self._starts, start) - 1)
        shares: dict[int, float] = {}
        for turn in itertools.islice(self._turns, index, None):
            if turn.start >= end:
                break
            shares[turn.speaker] = shares.get(turn.speaker, 0.0) + min(end, turn.end) - max(start, turn.start)
        best = max(shares, key=shares.__getitem__, default=None)
        if best is not None and shares[best] > 0:
            return str(best)
        near = self._turns[index : index + 2]
        return str(min(near, key=lambda turn: max(turn.start - end, start - turn.end)).speaker) if near else "0"


def _spoken_by(segment: Segment, speaker: str) -> Segment:
    words = tuple(dataclasses.replace(word, speaker=speaker) for word in segment.words)
    return dataclasses.replace(segment, words=words, speaker=speaker)


def _part(segment: Segment, written: Sequence[Word], first: int, last: int, speaker: str) -> Segment:
    """The words `first` to `last` of a segment, as they are written in it, said by one speaker."""
    if last - first == len(written):
        return _spoken_by(segment, speaker)
    words = (segment.words if len(segment.words) == len(written) else written)[first:last]
    part = dataclasses.replace(
        segment,
        start=segment.start if first == 0 else words[0].start,
        end=segment.end if last == len(written) else words[-1].end,
        text="".join(word.text for word in written[first:last]),
        words=tuple(words),
        # The tokens are those of the whole; what tells of their decoding is true of each part.
        decoding=segment.decoding and dataclasses.replace(segment.decoding, tokens=()),
    )
    return _spoken_by(part, speaker)


# ---------------------------------------------------------------- names


def named(segments: Iterable[Segment], names: Sequence[str], *, keep: bool = False) -> Iterator[Segment]:
    """Speakers called by the names in the order of their first words; beyond them SPEAKER_00 and so on, or with `keep`
    what they were called before."""
    known: dict[str, str] = {}

    def name(speaker: str | None) -> str | None:
        if speaker is not None and speaker not in known:
            number = len(known)
            other = speaker if keep else f"SPEAKER_{number:02d}"
            known[speaker] = names[number] if number < len(names) else other
        return known[speaker] if speaker is not None else None

    for segment in segments:
        called = name(segment.speaker)
        words = tuple(dataclasses.replace(word, speaker=name(word.speaker)) for word in segment.words)
        yield dataclasses.replace(segment, speaker=called, words=words)
