"""mmcli chat: a typed conversation."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import answering, common, decoding, remembering
from mmcli.errors import UsageError

app = common.command_app()


@app.command(cls=decoding.GroupedCommand)
def chat(
    context: typer.Context,
    model: common.BackboneModelOption = None,
    pipeline: common.PipelineOption = AUTO,
    say: Annotated[bool, typer.Option("--say", help="Speak the answers with the tts of the pipeline.")] = False,
    no_preview: Annotated[
        bool, typer.Option("--no-preview", help="Show no pictures in the terminal (mmcli[preview]).")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Show answers as they are, not as Markdown.")] = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
    continue_: remembering.Continue = False,
    cid: remembering.Cid = None,
    no_log: remembering.NoLog = False,
    attach: answering.Attach = None,
    pages: answering.PagesOption = None,
    frames: answering.Frames = None,
    fps: answering.Fps = None,
    ground: answering.Ground = None,
    allow_private_addresses: answering.PrivateAddresses = None,
    system: answering.System = None,
    max_tokens: answering.MaxTokens = None,
    temperature: answering.Temperature = None,
    top_p: answering.TopP = None,
    top_k: answering.TopK = None,
    min_p: answering.MinP = None,
    repetition_penalty: answering.RepetitionPenalty = None,
    seed: answering.Seed = None,
    stop: answering.Stop = None,
    detail: answering.Detail = None,
    usage: answering.Usage = False,
    device: decoding.Device = None,
    dtype: answering.DType = None,
    quantize: answering.Quantize = None,
    attention: answering.Attention = None,
    threads: decoding.Threads = None,
    trust_remote_code: answering.TrustRemoteCode = None,
) -> None:
    """Talk with a model by typing, about pictures and documents too.

    /help tells the slash words. Ctrl+C stops an answer, at the prompt it leaves with 130; Ctrl+D leaves with 0. From a
    pipe each line is a message, and the exit code is that of the last error.
    """
    from mmcli.chat.loop import Chat
    from mmcli.chat.session import Session
    from mmcli.chat.show import Plain, Rendered

    person = sys.stdin.isatty()
    if "-" in (attach or []):
        raise UsageError("standard input has the messages, and cannot be attached", "name a file")
    record = remembering.former(continue_, cid)
    pipeline, model = remembering.same_models(record, pipeline, model, config)
    roles = ("backbone", "tts") if say else ("backbone",)
    spec, catalogue = common.choose_pipeline(pipeline, config, roles, models={"backbone": model}, quiet=quiet)
    spec = answering.with_flags(spec, {**context.params, "schema": None, "schema_multi": None})
    dialog = remembering.begin(record, common.opener(spec), system, quiet=quiet)
    log = remembering.log_of(record, no_log, catalogue)
    session = Session(spec, catalogue, dialog, log, say=say)
    seen = person and ui.is_terminal()

    def shows() -> Plain | Rendered:
        return Rendered() if seen and not plain and session.instructed else Plain()

    running = Chat(session, shows, pictures=seen and not no_preview, person=seen, usage=usage)
    running.attach(common.expanded(attach or []))
    if not person:
        raise typer.Exit(running.piped(sys.stdin))
    from mmcli.chat.terminal import Terminal

    names = [card.name for card in catalogue.models.values() if card.role == "backbone"]
    terminal = Terminal(log.history, lambda: names)
    if not quiet:
        ui.note(f"{session.model} answers; /help tells what can be done, Ctrl+D leaves")
    raise typer.Exit(running.terminal(terminal.read))
