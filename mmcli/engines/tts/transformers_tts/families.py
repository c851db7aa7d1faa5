"""The one table of what differs between the voices of transformers, by `architectures` of config.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mmcli.engines.tts.transformers_tts import embeddings, facts
from mmcli.engines.tts.transformers_tts.bark import Bark
from mmcli.engines.tts.transformers_tts.csm import Csm
from mmcli.engines.tts.transformers_tts.dia import Dia
from mmcli.engines.tts.transformers_tts.fastspeech2 import FastSpeech2
from mmcli.engines.tts.transformers_tts.fastspeech2_mel import FastSpeech2Acoustic
from mmcli.engines.tts.transformers_tts.speecht5 import SpeechT5
from mmcli.engines.tts.transformers_tts.vits import Vits

if TYPE_CHECKING:
    import torch

    from mmcli.engines.tts.transformers_tts.loading import Source
    from mmcli.stages import Acoustic, Voice


class Speaker(Protocol):
    """A loaded model that says one piece of text after the other."""

    rate: int
    longest: int
    """Characters that it says well in one go."""

    def voices(self) -> tuple[Voice, ...]:
        """The first one is what it speaks with where none is named."""
        ...

    def left_out(self, text: str) -> str:
        """The letters and digits of a text that it has no sign for."""
        ...

    def say(self, text: str, voice: str, speed: float) -> torch.Tensor | None:
        """Samples [n] of a piece; None where nothing of it can be said. torch's own generator is what it draws from."""
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """`speaker(source)` gives what makes sound of a folder, or `acoustic(source)` what makes spectrograms.

    They may raise what mmcli raises, everything else is translated.
    """

    speaker: Callable[[Source], Speaker] | None = None
    acoustic: Callable[[Source], Acoustic] | None = None
    honours: tuple[str, ...] = ()
    """Options that it takes beside those that the engine sees to itself."""
    settings: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """What it needs beside torch and transformers."""
    reads_numbers: bool = False
    """Whether it has learned what numbers are called, or its own library spells them."""
    precise: bool = False
    """Whether it computes in float32 alone."""


FAMILIES: dict[str, Family] = {
    "VitsModel": Family(Vits, honours=("speed",), precise=True),
    "FastSpeech2ConformerWithHifiGan": Family(
        FastSpeech2, honours=("speed",), packages=("g2p_en",), reads_numbers=True, precise=True
    ),
    "BarkModel": Family(Bark, reads_numbers=True),
    "CsmForConditionalGeneration": Family(Csm, reads_numbers=True),
    "DiaForConditionalGeneration": Family(Dia, settings=("codec",), reads_numbers=True),
    "SpeechT5ForTextToSpeech": Family(
        acoustic=SpeechT5, settings=embeddings.SETTINGS, packages=("sentencepiece",), precise=True
    ),
    "FastSpeech2ConformerModel": Family(
        acoustic=FastSpeech2Acoustic,
        settings=(*facts.SETTINGS, *embeddings.SETTINGS),
        packages=("g2p_en",),
        reads_numbers=True,
        precise=True,
    ),
}
