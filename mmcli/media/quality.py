"""What makes a segment doubtful. The limits on what Whisper tells are those at which it decodes a window again.

repetition       its text shrinks by more than 2.4 times with zlib; of an engine that does not tell: up to 20 words (in
                 a script without spaces, characters) stand there 4 times in a row, at least 8 in all
low_probability  the mean log probability of its tokens is below -1; else that of its words below 0.37, which is as much
no_speech        the probability of silence is above 0.6
overlong         it lasts longer than 30 s, or has more letters than are spoken in that time: 35 a second, or 15 where
                 each is a syllable or a word; counted from 10 letters on
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from mmcli.text import writes_spaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mmcli.stages import Segment

_COMPRESSION_RATIO = 2.4
_AVG_LOGPROB = -1.0
_WORD_PROBABILITY = 0.37
_NO_SPEECH = 0.6
_LONGEST_S = 30.0
_ROUNDING_S = 0.1
_LETTERS_PER_S = 35.0
_UNSPACED_LETTERS_PER_S = 15.0
_FEW_LETTERS = 10
_LONGEST_PHRASE = 20
_TIMES = 4
_FEW_WORDS = 8

FLAGS = ("repetition", "low_probability", "no_speech", "overlong")
OVERLONG = FLAGS[-1]


def flagged(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments with what makes them doubtful added to their flags; how long they are is looked at anew."""
    for segment in segments:
        former = [flag for flag in segment.flags if flag != OVERLONG]
        yield replace(segment, flags=tuple(dict.fromkeys([*former, *_doubts(segment)])))


def _doubts(segment: Segment) -> Iterator[str]:
    decoding = segment.decoding
    known = [word.probability for word in segment.words if word.probability is not None]
    if decoding is not None:
        if decoding.compression_ratio > _COMPRESSION_RATIO:
            yield "repetition"
        if decoding.avg_logprob < _AVG_LOGPROB:
            yield "low_probability"
        if decoding.no_speech_prob > _NO_SPEECH:
            yield "no_speech"
    else:
        if _repeats(_tokens(segment)):
            yield "repetition"
        if known and sum(known) / len(known) < _WORD_PROBABILITY:
            yield "low_probability"
    if _is_overlong(segment):
        yield OVERLONG


def _is_overlong(segment: Segment) -> bool:
    seconds = segment.end - segment.start
    letters = sum(unicodedata.category(character)[0] in "LN" for character in segment.text)
    most = _LETTERS_PER_S if writes_spaces(segment.language) else _UNSPACED_LETTERS_PER_S
    return seconds > _LONGEST_S + _ROUNDING_S or (letters >= _FEW_LETTERS and letters > most * seconds)


def _tokens(segment: Segment) -> Sequence[str]:
    """Words without case and punctuation; characters where no spaces stand between words."""
    text = segment.text.casefold()
    bare = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return bare.split() if writes_spaces(segment.language) else bare.replace(" ", "")


def _repeats(tokens: Sequence[str]) -> bool:
    """Whether a phrase follows itself so often that nobody says it."""
    for size in range(1, min(_LONGEST_PHRASE, len(tokens) // _TIMES) + 1):
        same = 0
        for before, after in zip(tokens, tokens[size:], strict=False):
            same = same + 1 if before == after else 0
            if same >= (_TIMES - 1) * size and same + size >= _FEW_WORDS:
                return True
    return False
