"""mmcli demo: the embedded pipeline on the project's own samples."""

from __future__ import annotations

import tomllib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import package_data, read_catalogue
from mmcli.cli import common
from mmcli.cli.output import check_output, deliver
from mmcli.errors import UsageError
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Generator

    from mmcli.stages import Audio

app = common.command_app()

_LINES_SHOWN = 4


@app.command()
def demo(
    question: Annotated[
        int, typer.Option("--question", "-n", min=1, help="Which of the sample questions, counted from 1.")
    ] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the reply goes.")] = Path(
        "mmcli-demo-reply.wav"
    ),
    no_play: Annotated[bool, typer.Option("--no-play", help="Do not play the reply.")] = False,
    debug: common.DebugOption = False,
) -> None:
    """Ask aloud about a picture and hear the answer.

    Everything that it needs comes with the installation.
    """
    from mmcli.media.attachments import open_attachment
    from mmcli.media.audio import open_audio
    from mmcli.media.playback import can_play
    from mmcli.pipeline import Cascade, build
    from mmcli.stages import Turn

    check_output(str(output))
    samples = package_data("samples")
    questions = tomllib.loads((samples / "samples.toml").read_text(encoding="utf-8"))["questions"]
    if question > len(questions):
        raise UsageError(f"there are {len(questions)} sample questions", f"-n 1 to -n {len(questions)}")
    entry = questions[question - 1]
    catalogue = read_catalogue()
    cascade = build(catalogue.pipeline("embedded"), catalogue)
    assert isinstance(cascade, Cascade)
    turn = Turn(
        audio=open_audio(samples / entry["audio"]), attachments=(open_attachment(samples / entry["attachment"]),)
    )
    story = _Story(cascade, turn, entry)
    seconds = deliver(story.sound(), str(output), play=not no_play and can_play())
    story.end(output, seconds)


class _Story:
    """Tells what happens while it happens."""

    def __init__(self, cascade: Any, turn: Any, entry: dict[str, str]) -> None:
        self._cascade = cascade
        self._turn = turn
        self._entry = entry
        self._timings: dict[str, float] = {}

    def sound(self) -> Generator[Audio, None, None]:
        from mmcli.stages import Done, Heard, Said, Spoke

        ui.write(f'asked   {self._entry["audio"]}: a voice asks "{self._entry["text"]}"\n')
        telling = False
        with closing(self._cascade.run(self._turn)) as events:
            for event in events:
                if isinstance(event, Heard):
                    ui.write(f"heard   {visible(event.segment.text, keep='')}\n")
                elif isinstance(event, Said):
                    ui.write(visible(event.text) if telling else f"says    {visible(event.text)}")
                    telling = True
                elif isinstance(event, Spoke):
                    yield event.audio
                elif isinstance(event, Done):
                    self._timings = dict(event.timings)
        ui.write("\n")

    def end(self, output: Path, seconds: float) -> None:
        """What was in the picture (already read, so at no cost), the reply and the times."""
        from mmcli.options import AnswerOptions
        from mmcli.stages import Conversation, Message

        page = Conversation((Message("user", self._turn.attachments),))
        text = "".join(self._cascade.backbone.answer(page, AnswerOptions()))
        lines = [line for line in visible(text).splitlines() if line.strip()]
        ui.write(f"saw     {self._entry['attachment']}, where {len(lines)} lines are written:\n")
        for line in lines[:_LINES_SHOWN]:
            ui.write(f"        | {line}\n")
        ui.write(f"reply   {output}, {seconds:.1f} s\n")
        ui.write(f"times   {ui.seconds(self._timings)}\n")
