"""mmcli ask: a typed question about attachments."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import common
from mmcli.errors import UsageError
from mmcli.text import visible

app = common.command_app()


@app.command()
def ask(
    question: Annotated[
        str, typer.Argument(metavar="[QUESTION|-]", help="Without one, what is written there is read out.")
    ] = "",
    attach: common.AttachOption = None,
    model: common.BackboneModelOption = None,
    pipeline: common.PipelineOption = AUTO,
    max_tokens: common.MaxTokensOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Ask a question about pictures, PDFs, texts and recordings.

    The answer goes to standard output while it is being made.
    """
    from mmcli.pipeline import build
    from mmcli.stages import AudioSource, Done, Said, Turn

    names = attach or []
    if question == "-":
        if "-" in names:
            raise UsageError("standard input cannot be both the question and an attachment")
        question = sys.stdin.read()
    if not question.strip() and not names:
        raise UsageError("there is nothing to ask", 'mmcli ask "QUESTION" -a FILE')
    attachments = common.attachments_of(names)
    heard = any(isinstance(attachment, AudioSource) for attachment in attachments)
    roles = ("vad", "stt", "backbone") if heard else ("backbone",)
    spec, catalogue = common.choose_pipeline(pipeline, config, ("backbone",), models={"backbone": model}, quiet=quiet)
    spec = spec.with_options("backbone", {"max_new_tokens": max_tokens}, "flag")
    cascade = build(spec, catalogue, roles)
    answer: list[str] = []
    turn = Turn(text=question.strip(), attachments=attachments)
    with closing(cascade.run(turn)) as events:
        for event in events:
            if isinstance(event, Said):
                answer.append(event.text)
                if not as_json:
                    ui.write(visible(event.text))
            elif isinstance(event, Done) and as_json:
                result = {"question": question.strip(), "attachments": names, "answer": "".join(answer).strip()}
                ui.write_json({**result, "provenance": event.provenance})
    if not as_json and not "".join(answer).endswith("\n"):
        ui.write("\n")
