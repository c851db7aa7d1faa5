"""mmcli speak: text to sound."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import common
from mmcli.cli.output import OutputOption, PlayOption, check_output, deliver
from mmcli.errors import UsageError

app = common.command_app()


@app.command()
def speak(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT|-]", help="- reads standard input line by line.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input-file", "-i", help="A text file to speak.")] = None,
    output: OutputOption = None,
    output_raw: Annotated[
        bool, typer.Option("--output-raw", help="Samples alone on standard output: 16-bit, one channel.")
    ] = False,
    play: PlayOption = False,
    voice: common.VoiceOption = None,
    language: common.LanguageOption = None,
    speed: common.SpeedOption = None,
    pitch: common.PitchOption = None,
    seed: common.SeedOption = None,
    speaker_wav: common.SpeakerWavOption = None,
    list_voices: Annotated[bool, typer.Option("--list-voices", help="Name the voices and end.")] = False,
    model: common.TtsModelOption = None,
    vocoder: common.VocoderOption = None,
    pipeline: common.PipelineOption = AUTO,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Speak a text.

    Into a file (-o reply.wav), to standard output (-o -), or through the loudspeaker (--play, and where nothing else is
    said). Sound starts before the text is complete.
    """
    from mmcli.pipeline import build

    if output_raw and output is not None:
        raise UsageError("--output-raw goes to standard output", "leave out -o")
    if not list_voices and (text is None) == (input_file is None):
        raise UsageError("give one text", 'mmcli speak "TEXT", mmcli speak - or mmcli speak -i FILE')
    check_output(output)
    models = {"tts": model, "vocoder": vocoder}
    spec, catalogue = common.choose_pipeline(pipeline, config, ("tts",), models=models, quiet=quiet)
    options: dict[str, Any] = {"voice": voice, "language": language, "speed": speed, "pitch": pitch, "seed": seed}
    options["speaker_wav"] = speaker_wav
    cascade: Any = build(spec.with_options("tts", options, "flag"), catalogue, ("tts",))
    if list_voices:
        ui.table(["voice", "language", ""], [(v.name, v.language, v.description) for v in cascade.tts.voices()])
        return
    if output is None and not output_raw and not play:
        from mmcli.media.playback import can_play

        play = can_play()
        if not play:
            raise UsageError("there is no loudspeaker here", "write a file: -o FILE")
    seconds = deliver(cascade.speak(_pieces(text, input_file)), output, raw=output_raw, play=play)
    if seconds == 0.0:
        raise UsageError("there is nothing in the text that can be spoken")
    if output not in (None, "-") and not quiet:
        ui.note(f"{seconds:.1f} s -> {output}")


def _pieces(text: str | None, file: Path | None) -> Iterator[str]:
    if file is not None:
        from mmcli.media.document import open_document

        for page in open_document(file).pages():
            yield from (line.text + "\n" for line in page.lines)
    elif text == "-":
        yield from sys.stdin
    elif text is not None:
        yield text
