"""Who speaks when, as Rich Transcription Time Marked: what tools that score diarization read.

NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.stages import Segment


def rttm(segments: Iterable[Segment], source: str) -> Iterator[str]:
    """A SPEAKER line for each segment whose speaker is known, from its first word to its last where those have times."""
    file = _field(PurePath("stdin" if source == "-" else source).stem)
    for segment in segments:
        if segment.speaker is not None:
            words = segment.words
            start, end = (words[0].start, words[-1].end) if words else (segment.start, segment.end)
            times = f"{start:.3f} {max(0.0, end - start):.3f}"
            yield f"SPEAKER {file} 1 {times} <NA> <NA> {_field(segment.speaker)} <NA> <NA>\n"


def _field(text: str) -> str:
    """Text without spaces, which part the fields."""
    return re.sub(r"\s+", "_", visible(text, keep="", instead="\ufffd").strip()) or "_"
