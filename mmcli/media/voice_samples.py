"""Recordings of a voice that a model is to take over: long enough, short enough, and not silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcli.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MIN_SECONDS, MAX_SECONDS = 1.0, 600.0
_RATE = 16000
# Below a hundredth of full scale nothing but noise is heard.
_LOUD = 0.01


def check_voice_sample(path: str | Path) -> None:
    """InputError for a recording that cannot be read, is shorter than a second, longer than ten minutes, or silent."""
    import numpy as np

    from mmcli.media.audio import open_audio

    source = open_audio(path)
    mend = "give some 6 to 30 seconds of one clear voice"
    seconds, loud = 0.0, False
    for block in source.blocks(_RATE):
        seconds += block.seconds
        loud = loud or bool((np.abs(block.samples) > _LOUD).any())
        if seconds > MAX_SECONDS:
            raise InputError(source.source, "lasts longer than 10 minutes, too long for the sample of a voice", mend)
    if seconds < MIN_SECONDS:
        raise InputError(source.source, f"lasts {seconds:.1f} s, too short for the sample of a voice", mend)
    if not loud:
        raise InputError(source.source, "is silent, so there is no voice in it", mend)
