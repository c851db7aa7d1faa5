"""mmcli ask: a typed question about attachments."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import answering, common, decoding, drawing, remembering
from mmcli.errors import InputError, MmcliError, UsageError
from mmcli.text import safe_json, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mmcli.catalogue import Catalogue, PipelineSpec
    from mmcli.stages import Attachment, Done, Event, Turn

app = common.command_app()


@app.command(cls=decoding.GroupedCommand)
def ask(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUESTION|-", help="Without one, what is written there is read out."),
    ] = None,
    model: common.BackboneModelOption = None,
    pipeline: common.PipelineOption = AUTO,
    each: Annotated[
        bool, typer.Option("--each", help="Ask about each attachment by itself; one line of JSON for each.")
    ] = False,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
    attach: answering.Attach = None,
    example: Annotated[
        list[str] | None,
        typer.Option(
            "--example",
            metavar="FILE=ANSWER",
            help="An attachment with the right answer, told before the question; repeat for more.",
            rich_help_panel="What is given",
        ),
    ] = None,
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
    schema: answering.Schema = None,
    schema_multi: answering.SchemaMulti = None,
    draw: answering.Draw = None,
    detail: answering.Detail = None,
    continue_: remembering.Continue = False,
    cid: remembering.Cid = None,
    no_log: remembering.NoLog = False,
    usage: answering.Usage = False,
    no_stream: answering.NoStream = False,
    device: decoding.Device = None,
    dtype: answering.DType = None,
    quantize: answering.Quantize = None,
    attention: answering.Attention = None,
    threads: decoding.Threads = None,
    trust_remote_code: answering.TrustRemoteCode = None,
) -> None:
    """Ask a question about pictures, PDFs, texts, recordings and videos.

    The answer goes to standard output while it is being made.
    """
    from mmcli.pipeline import build, check_turn, roles_for
    from mmcli.stages import Turn

    question, names = _question_and_names(words or [], attach or [])
    if not question and not names:
        raise UsageError("there is nothing to ask", 'mmcli ask "QUESTION" -a FILE')
    record = remembering.former(continue_, cid)
    pipeline, model = remembering.same_models(record, pipeline, model, config)
    spec, catalogue = common.choose_pipeline(pipeline, config, ("backbone",), models={"backbone": model}, quiet=quiet)
    spec = answering.with_flags(spec, context.params)
    opener = common.opener(spec)
    names = common.expanded(names)
    examples = tuple((opener(name), answer) for name, answer in map(_example, example or []))
    turn = Turn(text=question, system=system or "", examples=examples)
    drawing.check_draw(draw, each=each)
    if each:
        if record is not None:
            raise UsageError("--each asks anew about each attachment, and goes on with no conversation")
        _each(_Items(names, opener, turn), spec, catalogue, as_json=as_json, usage=usage)
        return
    dialog = remembering.begin(record, opener, system, quiet=quiet)
    turn = replace(turn, attachments=tuple(map(opener, names)), system=dialog.system)
    common.check_flags(turn, context.params)
    check_turn(spec, catalogue, turn)
    former = [attachment for exchange in reversed(dialog.exchanges) for attachment in exchange.turn.attachments]
    picture = drawing.picture_to_draw(draw, [*turn.attachments, *former])
    roles = roles_for(spec, catalogue, common.all_of(turn), unknown=bool(former))
    cascade: Any = build(spec, catalogue, roles)
    log, before = remembering.log_of(record, no_log, catalogue), len(dialog.exchanges)
    shown = [_shown(name, attachment) for name, attachment in zip(names, turn.attachments, strict=True)]
    try:
        text, done = _answer(dialog.ask(cascade, turn, shown), show=not (as_json or no_stream))
    finally:
        log.add(dialog, dialog.exchanges[before:])
    answer = _read(text, spec)
    if as_json:
        result = {"question": question, "attachments": shown, "answer": answer, "conversation": log.id}
        result["regions"] = [drawing.record_of(region) for region in done.regions]
        ui.write_json({**result, "provenance": done.provenance})
    else:
        if no_stream:
            ui.write(visible(text))
        if not text.endswith("\n"):
            ui.write("\n")
    if draw is not None and picture is not None:
        drawing.draw_regions(draw, picture, done.regions)
    if usage:
        ui.note_usage(done)


def _question_and_names(words: list[str], attach: list[str]) -> tuple[str, list[str]]:
    """The question and the attachments: the shell puts what matches a pattern after -a beside the question."""
    names = list(attach)
    questions = []
    for word in words:
        if attach and word != "-" and os.path.exists(word):
            names.append(word)
        else:
            questions.append(word)
    if len(questions) > 1:
        for word in questions:
            if os.path.exists(word):
                raise UsageError(f"{word!r} is a file beside the question", "put -a before it")
        raise UsageError(f"{questions[1]!r} is neither a file nor part of the question", "put the question in quotes")
    question = questions[0] if questions else ""
    if names.count("-") + (question == "-") > 1:
        both = question == "-"
        raise UsageError(
            "standard input cannot be both the question and an attachment"
            if both
            else "standard input can be attached only once"
        )
    if question == "-":
        question = sys.stdin.read()
    return question.strip(), names


def _example(text: str) -> tuple[str, str]:
    """FILE=ANSWER, where either may hold an equals sign: the first one with a file before it parts them."""
    places = [index for index, letter in enumerate(text) if letter == "="]
    for index in places:
        if os.path.exists(text[:index]):
            return text[:index], text[index + 1 :]
    if not places:
        raise UsageError(f'--example "{text}": is given as FILE=ANSWER')
    at = places[-1] if "://" in text else places[0]
    return text[:at], text[at + 1 :]


def _shown(name: str, attachment: Attachment) -> str:
    """What a record calls an attachment: an address without what may be secret in it."""
    return attachment.source if "://" in name else name


def _answer(answered: Generator[Event, None, None], *, show: bool) -> tuple[str, Done]:
    """The whole answer, shown while it is made."""
    from mmcli.stages import Done, Said

    pieces: list[str] = []
    done = Done({}, {})
    try:
        with closing(answered) as events:
            for event in events:
                if isinstance(event, Said):
                    pieces.append(event.text)
                    if show:
                        ui.write(visible(event.text))
                elif isinstance(event, Done):
                    done = event
    except MmcliError:
        if show and pieces and ui.is_terminal():  # the error stands on a line of its own
            ui.write("\n")
        raise
    return "".join(pieces), done


def _read(text: str, spec: PipelineSpec) -> Any:
    """The answer as a record holds it: the document that was asked for, else its text."""
    schema = spec.options.get("backbone", {}).get("schema")
    if schema is None:
        return text.strip()
    from mmcli.schema import read_answer

    return read_answer(text, schema)


# ---------------------------------------------------------------- one by one


@dataclass(frozen=True, slots=True)
class _Items:
    """What is asked about one by one; `turn` is the question without an attachment."""

    names: list[str]
    opener: Callable[[str], Attachment]
    turn: Turn


def _each(items: _Items, spec: PipelineSpec, catalogue: Catalogue, *, as_json: bool, usage: bool) -> None:
    """One record a line, in order: an attachment that fails has its error there and on standard error."""
    from mmcli.pipeline import build, check_turn, roles_for

    if not items.names:
        raise UsageError("--each asks about attachments, and none is given", "name them with -a")
    opened = {name: _opened(name, items.opener) for name in items.names if name != "-" and "://" not in name}
    good = [attachment for attachment in opened.values() if not isinstance(attachment, MmcliError)]
    for attachment in good[:1]:
        check_turn(spec, catalogue, replace(items.turn, attachments=(attachment,)))
    examples = [attachment for attachment, _ in items.turn.examples]
    roles = roles_for(spec, catalogue, [*good, *examples], unknown=len(opened) < len(items.names))
    cascade: Any = build(spec, catalogue, roles)
    failures: list[MmcliError] = []
    for name in items.names:
        started = time.perf_counter()
        record: dict[str, Any] = {"source": name, "answer": None, "seconds": 0.0}
        try:
            attachment = _good(opened.get(name) or _opened(name, items.opener))
            record["source"] = _shown(name, attachment)
            text, done = _answer(cascade.run(replace(items.turn, attachments=(attachment,))), show=False)
            record["answer"] = _read(text, spec)
            if done.regions:
                record["regions"] = [drawing.record_of(region) for region in done.regions]
            if done.usage is not None:
                record["usage"] = asdict(done.usage)
            if as_json:
                record["provenance"] = done.provenance
            if usage:
                ui.note_usage(done)
        except MmcliError as error:
            if error.exit_code != InputError.exit_code:
                raise
            ui.error(error)
            failures.append(error)
            record["source"] = getattr(error, "source", name) if "://" in name else name
            record["error"] = str(error)
        record["seconds"] = round(time.perf_counter() - started, 4)
        ui.write(safe_json(record) + "\n")
    common.finish(len(items.names), failures)


def _good(attachment: Attachment | MmcliError) -> Attachment:
    if isinstance(attachment, MmcliError):
        raise attachment
    return attachment


def _opened(name: str, opener: Callable[[str], Attachment]) -> Attachment | MmcliError:
    try:
        return opener(name)
    except InputError as error:
        return error
