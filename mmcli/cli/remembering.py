"""The flags of conversations that go on and are logged, declared once, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmcli import ui
from mmcli.catalogue import AUTO, read_catalogue
from mmcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mmcli.catalogue import Catalogue
    from mmcli.dialog import Dialog, Log
    from mmcli.history.records import Record
    from mmcli.stages import Attachment

_PANEL = "Conversation"

Continue = Annotated[
    bool,
    typer.Option("--continue", "-c", help="Go on with the last conversation and its model.", rich_help_panel=_PANEL),
]
Cid = Annotated[
    str | None,
    typer.Option("--cid", metavar="ID", help="Go on with this conversation (mmcli log list).", rich_help_panel=_PANEL),
]
NoLog = Annotated[
    bool,
    typer.Option(
        "--no-log", "-n", envvar="MMCLI_NO_LOG", help="Keep nothing of it in the log.", rich_help_panel=_PANEL
    ),
]


def former(last: bool, cid: str | None) -> Record | None:
    """The conversation that is to go on. UsageError where there is none."""
    if last and cid is not None:
        raise UsageError("-c and --cid do not go together", "--cid alone names a conversation")
    if not last and cid is None:
        return None
    from mmcli.history.database import LAST, History

    return History().read(LAST if cid is None else cid)


def same_models(record: Record | None, pipeline: str, model: str | None, config: Path | None) -> tuple[str, str | None]:
    """The pipeline and the backbone: those of the conversation that goes on, where none are named."""
    answers = [entry for entry in record.entries if entry.model] if record is not None else []
    if not answers or pipeline != AUTO or model is not None:
        return pipeline, model
    known = answers[-1].pipeline in read_catalogue(config).pipelines
    return answers[-1].pipeline if known else AUTO, answers[-1].model


def begin(record: Record | None, opener: Callable[[str], Attachment], system: str | None, *, quiet: bool) -> Dialog:
    """The conversation so far, with a note of what was attached to it and is no longer there."""
    from mmcli.dialog import Dialog, restored

    dialog, gone = restored(record, opener) if record is not None else (Dialog(), [])
    if gone and not quiet:
        ui.note(f"no longer there as it was attached: {', '.join(gone)}")
    if system is not None:
        dialog.system = system
    return dialog


def log_of(record: Record | None, no_log: bool, catalogue: Catalogue) -> Log:
    """Where the conversation is logged: nowhere, if a flag, the environment or the configuration says so."""
    from mmcli.dialog import Log
    from mmcli.history.database import History

    kept = catalogue.log and not no_log
    return Log(History() if kept else None, record.id if record is not None else None)
