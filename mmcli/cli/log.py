"""mmcli log: the conversations that were kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.cli import common
from mmcli.errors import UsageError
from mmcli.text import safe_json, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.history.records import Entry, Record

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_TITLE = 60
Most = Annotated[int, typer.Option("--number", "-n", min=1, help="At most so many.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID|last]...", help="Conversations; all without one.")]


@app.callback()
def _root() -> None:
    """Conversations that were kept: list, search, export, remove them."""


@app.command("list")
def list_(number: Most = 20, as_json: common.JsonOption = False, debug: common.DebugOption = False) -> None:
    """The conversations last spoken in, newest first."""
    from mmcli.history.database import History

    found = History().newest(number)
    if as_json:
        titles = [(record, _title(record), count) for record, count in found]
        ui.write_json(
            [
                {
                    "id": record.id,
                    "updated": record.updated,
                    "started": record.started,
                    "messages": count,
                    "title": title,
                }
                for record, title, count in titles
            ]
        )
        return
    rows = [(record.id, _local(record.updated), str(count), _title(record)) for record, count in found]
    ui.table(("id", "last", "messages", "first question"), rows)


@app.command()
def show(
    id: Annotated[
        str, typer.Argument(metavar="ID|last", help="As `mmcli log list` shows it, or its beginning.")
    ] = "last",
    as_json: common.JsonOption = False,
    debug: common.DebugOption = False,
) -> None:
    """A whole conversation."""
    from mmcli.history.database import History
    from mmcli.history.records import as_json as in_json

    record = History().read(id)
    if as_json:
        ui.write_json(in_json(record))
    else:
        ui.write(_markdown(record))


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="A message has all of them, or longer ones.")],
    number: Most = 20,
    as_json: common.JsonOption = False,
    debug: common.DebugOption = False,
) -> None:
    """Messages that have these words, the best first. Exit code 1 where there is none."""
    from mmcli.history.database import History

    found = History().search(" ".join(words), number)
    if as_json:
        ui.write_json([{"id": each.id, "at": each.at, "role": each.role, "snippet": each.snippet} for each in found])
    elif found:
        rows = [(each.id, _local(each.at), each.role, " ".join(each.snippet.split())) for each in found]
        ui.table(("id", "when", "who", "words"), rows)
    if not found:
        raise typer.Exit(1)


@app.command()
def export(
    ids: Ids = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE|-", help=".md writes Markdown, else JSON lines.")
    ] = None,
    format: Annotated[str | None, typer.Option("--format", "-f", metavar="jsonl|md", help="Whatever the name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f jsonl.")] = False,
    debug: common.DebugOption = False,
) -> None:
    """Conversations as JSON lines, one each, or as Markdown."""
    from mmcli.media.files import atomic_path

    chosen = format or ("jsonl" if as_json else None)
    if chosen is None:
        chosen = "md" if output is not None and output.suffix.lower() in (".md", ".markdown") else "jsonl"
    if chosen not in ("jsonl", "md"):
        raise UsageError(f"--format is jsonl or md, not {chosen}")
    texts = _exported(ids or [], chosen)
    if output is None or str(output) == "-":
        for text in texts:
            ui.write(text)
        return
    with atomic_path(output) as aside, aside.open("w", encoding="utf-8") as file:
        aside.chmod(0o600)
        file.writelines(texts)


@app.command()
def remove(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID|last]...", help="Conversations to remove.")] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="DATE", help="All that were last spoken in before, as 2026-01-31.")
    ] = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
    debug: common.DebugOption = False,
) -> None:
    """Remove conversations for good."""
    from mmcli.history.database import History

    if not ids and before is None:
        raise UsageError("nothing is named that is to be removed", "mmcli log remove ID, or --before DATE")
    count = History().remove(ids or [], _utc(before) if before is not None else None)
    if as_json:
        ui.write_json({"removed": count})
    elif not quiet:
        ui.note(f"removed {count} conversation{'' if count == 1 else 's'}")


@app.command()
def path(as_json: common.JsonOption = False, debug: common.DebugOption = False) -> None:
    """Where the conversations lie."""
    from mmcli.history.database import default_path

    if as_json:
        ui.write_json({"path": str(default_path())})
    else:
        ui.write(f"{default_path()}\n")


# ---------------------------------------------------------------- how they are shown


def _exported(ids: list[str], format: str) -> Iterator[str]:
    from mmcli.history.database import History
    from mmcli.history.records import as_json

    history = History()
    records: Iterable[Record] = map(history.read, ids) if ids else history.all()
    for record in records:
        yield _markdown(record) + "\n" if format == "md" else safe_json(as_json(record)) + "\n"


def _markdown(record: Record) -> str:
    parts = [f"# Conversation {record.id}, {_local(record.started)}"]
    if record.system:
        parts.append(f"**system:** {visible(record.system)}")
    parts += map(_entry, record.entries)
    return "\n\n".join(parts) + "\n"


def _entry(entry: Entry) -> str:
    who = "You" if entry.role == "user" else entry.model or "Answer"
    attached = "".join(f"- attached: {visible(file.name, keep='')}\n" for file in entry.files)
    text = visible(entry.text) + (" [interrupted]" if entry.interrupted else "")
    return f"## {visible(who, keep='')}, {_local(entry.at)}\n\n" + (f"{attached}\n" if attached else "") + text


def _title(record: Record) -> str:
    first = record.entries[0] if record.entries else None
    text = " ".join(first.text.split()) if first is not None else ""
    if first is not None and not text:
        text = ", ".join(file.name for file in first.files)
    return text if len(text) <= _TITLE else text[: _TITLE - 3] + "..."


def _local(at: str) -> str:
    """A kept time as the clock here shows it."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return visible(at, keep="")


def _utc(date: str) -> Any:
    from datetime import UTC, datetime

    try:
        return datetime.fromisoformat(date).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError) as error:
        raise UsageError(f'--before "{date}": is no date', "write it as 2026-01-31") from error
