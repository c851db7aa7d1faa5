"""Subtitles spoken: each cue at its time, faster where it would last too long."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import numpy as np

from mmcli.errors import UsageError
from mmcli.media.audio import silence
from mmcli.media.prose import Paragraph
from mmcli.media.tempo import at_tempo
from mmcli.speaking.script import script
from mmcli.speaking.sound import narrate
from mmcli.stages import Audio, Segment

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from mmcli.media.cue_files import SpokenCue
    from mmcli.speaking.sound import Narration
    from mmcli.stages import Synthesizer

MAX_TEMPO = 1.5
"""Speech that is faster is hard to follow."""

_LOG = logging.getLogger(__name__)
# A cue is early or late from here on.
_NOTICED_S = 0.05
_NAMED = 5


def dub(tts: Synthesizer, cues: Sequence[SpokenCue], how: Narration) -> Generator[Audio, None, None]:
    """Sound as long as the cues, each spoken at its time.

    A cue that would last longer than its time is spoken up to 1.5 times as fast; what is then still too long goes on
    into the silence after it, and where there is none the next cue begins late. The log has one line about those.
    """
    now, rate, unfit = 0.0, 0, []
    for cue in cues:
        at = max(cue.start, now)
        heard = _cue(tts, cue, cue.end - at, how)
        if heard is None:
            continue
        audio, segments = heard
        rate = rate or audio.rate
        yield from silence(at - now, audio.rate)
        yield audio
        now = at + audio.seconds
        for segment in segments:
            how.told(_placed(segment, at, 1.0))
        if now > cue.end + _NOTICED_S:
            unfit.append(f"{cue.number} by {now - cue.end:.1f} s")
    if rate:
        yield from silence(max(cue.end for cue in cues) - now, rate)
    if unfit:
        more = ", ..." if len(unfit) > _NAMED else ""
        named = ", ".join(unfit[:_NAMED]) + more
        _LOG.warning("%d of %d cues last longer than their time: %s", len(unfit), len(cues), named)


def _cue(tts: Synthesizer, cue: SpokenCue, room: float, how: Narration) -> tuple[Audio, list[Segment]] | None:
    """The cue's sound, fitted into so many seconds and without silence around it, and what is said when in it; None without sound."""
    segments: list[Segment] = []
    names = {name.casefold(): name for name in how.voices}
    speaker = names.get((cue.speaker or "").casefold())
    said = script([Paragraph(cue.text)], how.options.language, how.voices)
    said = (item if item.speaker else dataclasses.replace(item, speaker=speaker) for item in said)
    blocks = list(narrate(tts, said, dataclasses.replace(how, told=segments.append)))
    if not segments:
        return None
    rate = blocks[0].rate
    if any(block.rate != rate for block in blocks):
        raise UsageError("voices of several sample rates cannot speak one cue", "leave out --voices")
    start, end = segments[0].start, segments[-1].end
    samples = np.concatenate([block.samples for block in blocks])
    audio = Audio(samples[round(start * rate) : round(end * rate)], rate)
    tempo = min(max(audio.seconds / max(room, 0.01), 1.0), MAX_TEMPO)
    if tempo > 1.0:
        audio = at_tempo(audio, tempo)
    return audio, [_placed(segment, -start / tempo, tempo) for segment in segments]


def _placed(segment: Segment, at: float, tempo: float) -> Segment:
    """The segment at another time; its own times are divided by the tempo first."""

    def moved(seconds: float) -> float:
        return seconds / tempo + at

    words = tuple(dataclasses.replace(word, start=moved(word.start), end=moved(word.end)) for word in segment.words)
    return dataclasses.replace(segment, start=moved(segment.start), end=moved(segment.end), words=words)
