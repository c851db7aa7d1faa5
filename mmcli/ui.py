"""Everything that a person sees: notes and errors on standard error, tables and results on standard output.

Text from models, files and their names goes through `visible`, so that it cannot steer the terminal.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer
from typer.exceptions import TyperException

from mmcli.errors import INTERRUPTED, MmcliError, OutputError
from mmcli.text import safe_json, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

    from mmcli.stages import Done, Segment


def debugging() -> bool:
    """Whether tracebacks were asked for."""
    return bool(os.environ.get("MMCLI_DEBUG"))


def note(text: str) -> None:
    """One line on standard error for what is worth knowing but is no result."""
    _line(text)


def tell(text: str) -> None:
    """Several lines on standard error, for a person who asked for them."""
    with suppress(OSError):
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()


def error(problem: MmcliError) -> None:
    """One line on standard error: what went wrong, why, and what mends it."""
    _line(f"error: {problem}")
    if debugging():
        traceback.print_exception(problem)


def _line(text: str) -> None:
    try:
        sys.stderr.write("mmcli: " + visible(" ".join(text.split()), keep="") + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody is there to read it


def report(problem: BaseException) -> int:
    """Tell the user how a command ended and give the exit code. The one place that handles what nothing else did."""
    if isinstance(problem, MmcliError):
        error(problem)
        return problem.exit_code
    if isinstance(problem, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(problem, SystemExit):
        return problem.code if isinstance(problem.code, int) else 1
    if isinstance(problem, TyperException):
        return _usage(problem)
    if debugging():
        traceback.print_exception(problem)
    else:
        what = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
        _line(f"error: unexpected {what}; MMCLI_DEBUG=1 shows where")
    return 1


def _usage(problem: Any) -> int:
    context = getattr(problem, "ctx", None)
    if type(problem).__name__ == "NoArgsIsHelpError":
        write(problem.format_message() + "\n")
    else:
        where = context.command_path if context is not None else "mmcli"
        _line(f"error: {problem.format_message().rstrip('.')}; {where} --help shows how")
    return int(problem.exit_code)


@contextmanager
def receiving(where: str = "standard output") -> Iterator[None]:
    """Around what is written: a reader that has gone ends the command quietly, a full disk with one line."""
    try:
        yield
    except BrokenPipeError as error:
        raise typer.Exit(0) from error
    except OSError as error:
        raise OutputError(f"{where}: cannot be written ({error.strerror or error})") from error


def write(text: str) -> None:
    """A piece of the result, at once, on standard output."""
    with receiving():
        sys.stdout.write(text)
        sys.stdout.flush()


def write_json(value: Any) -> None:
    """A result for machines, and nothing else, on standard output."""
    write(safe_json(value, indent=2) + "\n")


def console() -> Console:
    """Rich on standard output, for tables."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def is_terminal() -> bool:
    """Whether a person sees standard output."""
    return sys.stdout.isatty()


# From red to green in the 256 colours of terminals.
_CONFIDENCE = (196, 202, 208, 214, 220, 226, 190, 154, 118, 82)


def write_confidence(segment: Segment) -> None:
    """A segment as a line on standard output, its words from red to green by their probability cubed, if it may be coloured.

    Most words are above 0.8; the cube spreads them over the colours.
    """
    from rich.text import Text

    from mmcli.media.words import safe, spaced, speaker_prefix

    line = Text(speaker_prefix(segment))
    for number, word in enumerate(spaced(segment)):
        text = safe(word.text).replace("\n", " ")
        if word.probability is None:
            style = ""
        else:
            step = int(min(max(word.probability, 0.0), 1.0) ** 3 * len(_CONFIDENCE))
            style = f"color({_CONFIDENCE[min(step, len(_CONFIDENCE) - 1)]})"
        line.append(text if number else text.lstrip(), style)
    with receiving():
        console().print(line, soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in the terminal; in a pipe, its cells with tabs between them and no heading."""
    if not is_terminal():
        for row in rows:
            write("\t".join(visible(cell, keep="") for cell in row) + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        # What a row is about can be read, and copied, in a narrow terminal too.
        whole = max(len(first) for first in (column, *(row[0] for row in rows))) if number == 0 else None
        grid.add_column(column, overflow="fold", width=whole and min(whole, console().width // 2))
    for row in rows:
        grid.add_row(*(Text(visible(cell, keep="")) for cell in row))
    console().print(grid)


def heading(lines: Sequence[str]) -> None:
    """Plain lines of a result, the first one bold in a terminal."""
    if not sys.stdout.isatty():
        write("".join(visible(line, keep="") + "\n" for line in lines if line))
        return
    from rich.text import Text

    for number, line in enumerate(lines):
        console().print(Text(visible(line, keep=""), style="bold" if number == 0 and len(lines) > 1 else ""))


def flow(rows: Sequence[Sequence[tuple[str, Sequence[str]]]]) -> None:
    """Boxes with a title and lines, those of a row beside each other, with arrows from row to row; plain in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            for title, lines in row:
                write("\t".join(visible(cell, keep="") for cell in (title, *lines)) + "\n")
        return
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    screen = console()
    for number, row in enumerate(rows):
        if number:
            screen.print(Text("      │\n      ▼"))
        grid = Table.grid(expand=False, padding=(0, 1, 0, 0))
        for _ in row:
            grid.add_column(ratio=1 if len(row) > 1 else None)
        cells = [Text("\n".join(visible(line, keep="") for line in lines)) for _, lines in row]
        titles = [Text(visible(title, keep=""), style="bold") for title, _ in row]
        grid.add_row(*(Panel(cell, title=title, title_align="left") for cell, title in zip(cells, titles, strict=True)))
        screen.print(grid)


def count(number: int) -> str:
    """A number of parameters as a person reads it."""
    for unit, value in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= value * 0.9995:
            return f"{number / value:.3g} {unit}"
    return str(number)


def seconds(timings: Mapping[str, float]) -> str:
    """Stage times in one line."""
    return ", ".join(f"{stage.replace('_', ' ')} {value:.2f} s" for stage, value in timings.items())


def note_usage(done: Done) -> None:
    """One line on standard error: tokens where the model counts them, and times."""
    times = done.timings
    parts = []
    if done.usage is not None:
        known = f" ({done.usage.cached} known from before)" if done.usage.cached else ""
        cut = ", cut off" if done.usage.finish == "length" else ""
        parts = [f"{done.usage.prompt} tokens in{known}", f"{done.usage.answer} tokens out{cut}"]
    parts += [f"{name} {times[key]:.2f} s" for key, name in _USAGE_TIMES.items() if key in times]
    note("usage: " + ", ".join(parts))


_USAGE_TIMES = {"load": "loaded in", "first_text": "first text after", "backbone": "answered in", "total": "all in"}


def can_ask() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """A question with yes or no, no by default, on standard error."""
    import typer

    return bool(typer.confirm(visible(question, keep=""), err=True))


def size(count: float) -> str:
    """Bytes as a person reads them, in decimal units as disks and hubs count."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


@contextmanager
def waiting(what: str, *, shown: bool = True) -> Iterator[Callable[[], None]]:
    """A sign of life on standard error, where a person looks on. Gives a function that ends it before the block does."""
    if not shown or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console

    sign = Console(stderr=True).status(what)
    sign.start()
    try:
        yield sign.stop
    finally:
        sign.stop()


@contextmanager
def transfer(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error for bytes, where it is a terminal. Gives a function that takes how many more are done."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(visible(what, keep="").replace("[", r"\["), total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def progress(what: str, total: float | None, *, shown: bool = True) -> Iterator[Callable[[float], None]]:
    """A bar on standard error for `total` seconds of sound, where a person looks on.

    Gives a function that takes how many seconds are done. `shown` is for what else may speak against it.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Text(visible(what, keep="")).plain.replace("[", r"\["), total=total)
        yield lambda done: bar.update(task, completed=done)
