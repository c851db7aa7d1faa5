"""The spoken samples: questions about the pictures and the report, and a dialogue of two voices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.media.resampling import resample
from mmcli.options import SpeakOptions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmcli.stages import Synthesizer

RATE = 16000
_PEAK = 0.6
_BEFORE_S, _AFTER_S, _BETWEEN_S = 0.3, 0.4, 0.35


def _say(espeak: Synthesizer, text: str, options: SpeakOptions) -> NDArray[np.float32]:
    samples = np.concatenate([block.samples for block in resample(espeak.speak([text], options), RATE)])
    return samples * np.float32(_PEAK / np.abs(samples).max())


def _silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * RATE), np.float32)


def write_sounds(folder: Path, samples: dict[str, Any]) -> None:
    """All sound files. A new process makes the same samples every time; their order matters to espeak."""
    espeak = load(read_catalogue().model("espeak"))
    for question in samples["questions"]:
        spoken = _say(espeak, question["text"], SpeakOptions(voice=question["voice"], speed=question["speed"]))
        whole = np.concatenate([_silence(_BEFORE_S), spoken, _silence(_AFTER_S)])
        soundfile.write(folder / question["audio"], whole, RATE, "PCM_16")
    dialogue = samples["dialogue"]
    soundfile.write(folder / dialogue["audio"], _dialogue(espeak, dialogue), RATE, "PCM_16")


def _dialogue(espeak: Synthesizer, dialogue: dict[str, Any]) -> NDArray[np.float32]:
    """[samples, 2]: each speaker has a channel of their own, and they take turns."""
    parts = [np.zeros((len(_silence(_BEFORE_S)), 2), np.float32)]
    for index, text in enumerate(dialogue["turns"]):
        speaker = index % 2
        options = SpeakOptions(
            voice=dialogue["voices"][speaker], speed=dialogue["speed"], pitch=dialogue["pitches"][speaker]
        )
        spoken = np.concatenate([_say(espeak, text, options), _silence(_BETWEEN_S)])
        part = np.zeros((len(spoken), 2), np.float32)
        part[:, speaker] = spoken
        parts.append(part)
    return np.concatenate(parts)
