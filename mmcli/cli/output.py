"""Where sound goes: a file, standard output, the loudspeaker, or two of them at once."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmcli import ui

if TYPE_CHECKING:
    from collections.abc import Generator

    from mmcli.stages import Audio

OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        help="wav, flac, ogg, opus or mp3 by its suffix; - is a WAV on standard output.",
    ),
]
PlayOption = Annotated[bool, typer.Option("--play", help="Play it.")]


def check_output(output: str | None) -> None:
    """UsageError for a file name without the suffix of a sound format."""
    if output not in (None, "-"):
        from mmcli.media.audio_out import check_suffix

        check_suffix(Path(output))


def deliver(sound: Generator[Audio, None, None], output: str | None, *, raw: bool = False, play: bool = False) -> float:
    """Send sound where it was asked for, block by block, and give its seconds. Closes the sound whatever happens."""
    from mmcli.media.audio import pcm16, write_audio, write_wav

    with closing(sound):
        blocks = sound
        if play:
            from mmcli.media.playback import played

            blocks = played(blocks)
        if raw:
            seconds = 0.0
            for block in blocks:
                with ui.receiving():
                    sys.stdout.buffer.write(pcm16(block))
                    sys.stdout.buffer.flush()
                seconds += block.seconds
            return seconds
        if output == "-":
            with ui.receiving():
                return write_wav(sys.stdout.buffer, blocks)
        if output is not None:
            return write_audio(Path(output), blocks)
        return sum(block.seconds for block in blocks)
