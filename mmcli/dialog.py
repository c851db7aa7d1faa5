"""A conversation of many turns: what of it is told again, what is kept of an answer that breaks off, where it is logged.

The rule that keeps it inside the context of a model: where the model says that all of it is too long, the oldest quarter of
the turns is no longer told, with all that was attached to them, and again until the rest fits. A quarter and not one, so
that the next turns go on from a beginning that the model has read. The system message and the last turn always are told.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mmcli.errors import ContextOverflow, MmcliError
from mmcli.history.records import Entry, File, Record, now
from mmcli.stages import Done, Heard, Said, Spoke, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from mmcli.history.database import History
    from mmcli.stages import Attachment, Event

_LOG = logging.getLogger(__name__)
_PLACE = re.compile(r"\{\{\d+\}\}|\{(\d+)\}")


class Runs(Protocol):
    """A pipeline."""

    def run(self, turn: Turn) -> Generator[Event, None, None]: ...


@dataclass(slots=True)
class Exchange:
    """A turn and what was answered. `names` are those of its attachments as the user gave them."""

    turn: Turn
    names: tuple[str, ...] = ()
    asked: str = ""
    """When, as ISO 8601."""
    answer: str = ""
    interrupted: bool = False
    done: Done | None = None
    entries: tuple[Entry, Entry] | None = None
    """As it is kept, once that is known."""


@dataclass(slots=True)
class Dialog:
    """A conversation that goes on. `start` is the oldest exchange that is still told."""

    system: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    start: int = 0

    def ask(self, pipeline: Runs, turn: Turn, names: Sequence[str] = ()) -> Generator[Event, None, None]:
        """The events of a turn that knows those before it.

        The exchange is kept when it is over, marked where it broke off; one without a word of answer is not kept.
        """
        exchange = Exchange(turn, tuple(names), now(), interrupted=True)
        said: list[str] = []
        try:
            with closing(self._within_context(pipeline, exchange)) as events:
                for event in events:
                    if isinstance(event, Said):
                        said.append(event.text)
                    elif isinstance(event, Done):
                        exchange.done = event
                        exchange.interrupted = False
                    yield event
        finally:
            exchange.answer = "".join(said).strip()
            if exchange.answer or not exchange.interrupted:
                entries_of(exchange)  # now, while the files are those that were looked at
                self.exchanges.append(exchange)

    def _within_context(self, pipeline: Runs, exchange: Exchange) -> Generator[Event, None, None]:
        """The events of the turn with as many turns before it as the model has room for."""
        start = self.start
        while True:
            heard: list[str] = []
            begun = False
            history = tuple((old.turn, old.answer) for old in self.exchanges[start:])
            try:
                full = dataclasses.replace(exchange.turn, system=self.system, history=history)
                with closing(pipeline.run(full)) as events:
                    for event in events:
                        if isinstance(event, Heard):
                            heard.append(event.segment.text.strip())
                        begun = begun or isinstance(event, Said | Spoke)
                        if begun and start > self.start:
                            self._forget(start)
                        yield event
                return
            except ContextOverflow:
                if begun or not history:
                    raise
                start += max(1, len(history) // 4)
            finally:
                if heard:  # from now on it is known what was said
                    text = " ".join(filter(None, (exchange.turn.text, *heard)))
                    exchange.turn = dataclasses.replace(exchange.turn, text=text, audio=None)

    def _forget(self, start: int) -> None:
        count, self.start = start - self.start, start
        turns = "the oldest turn is" if count == 1 else f"the {count} oldest turns are"
        _LOG.warning("the model has no room for all of the conversation: %s no longer told", turns)

    def undo(self) -> Exchange | None:
        """Take the last exchange back; None where there is none."""
        last = self.exchanges.pop() if self.exchanges else None
        self.start = min(self.start, len(self.exchanges))
        return last

    def record(self, id: str = "") -> Record:
        """The conversation as it is kept."""
        return Record(id, self.system, tuple(entry for exchange in self.exchanges for entry in entries_of(exchange)))


def entries_of(exchange: Exchange) -> tuple[Entry, Entry]:
    """A question and its answer as they are kept. The digests of files are taken once."""
    if exchange.entries is None:
        made = {}
        if exchange.done is not None:
            origin, usage = exchange.done.provenance, exchange.done.usage
            models = origin["models"]
            made = {
                "model": (models.get("backbone") or models.get("e2e") or {"name": ""})["name"],
                "pipeline": origin["pipeline"],
                "provenance": origin["options_hash"],
                "usage": json.dumps(dataclasses.asdict(usage)) if usage is not None else "",
            }
        files = tuple(map(File.of, exchange.names))
        answer = Entry("assistant", exchange.answer, now(), interrupted=exchange.interrupted, **made)
        exchange.entries = (Entry("user", exchange.turn.text, exchange.asked, files), answer)
    return exchange.entries


# ---------------------------------------------------------------- going on


def restored(record: Record, opener: Callable[[str], Attachment]) -> tuple[Dialog, list[str]]:
    """The conversation of a record, and the names of attachments that are no longer there as they were.

    A file is opened again where its digest still fits; nothing else is.
    """
    dialog, gone = Dialog(record.system), []
    for question, answer in zip(record.entries[::2], record.entries[1::2], strict=True):
        opened = [_reopened(file, opener) for file in question.files]
        gone += [file.name for file, attachment in zip(question.files, opened, strict=True) if attachment is None]
        text = _replaced(question.text, [file.name for file in question.files], opened)
        turn = Turn(text, attachments=tuple(attachment for attachment in opened if attachment is not None))
        names = tuple(file.name for file in question.files)
        exchange = Exchange(turn, names, question.at, answer.text, answer.interrupted, entries=(question, answer))
        dialog.exchanges.append(exchange)
    return dialog, list(dict.fromkeys(gone))


def _reopened(file: File, opener: Callable[[str], Attachment]) -> Attachment | None:
    try:
        return opener(file.path) if file.is_there() else None
    except MmcliError:
        return None


def _replaced(text: str, names: Sequence[str], opened: Sequence[Attachment | None]) -> str:
    """A question whose `{N}` still name the right attachments: those that are gone are called by their names."""

    def place(found: re.Match[str]) -> str:
        number = int(found[1]) if found[1] else 0
        if not 1 <= number <= len(opened):
            return found[0]
        if opened[number - 1] is None:
            return re.sub(r"\{(\d+)\}", r"{{\1}}", names[number - 1])
        return f"{{{number - sum(other is None for other in opened[:number])}}}"

    return text if all(opened) else _PLACE.sub(place, text)


# ---------------------------------------------------------------- the log


class Log:
    """Where the exchanges of one conversation are written. What goes wrong there is told once and breaks nothing."""

    def __init__(self, history: History | None, id: str | None = None) -> None:
        """`history` is None where nothing is to be kept; `id` is None for a new conversation."""
        self.history = history
        self.id = id

    def add(self, dialog: Dialog, exchanges: Sequence[Exchange]) -> None:
        """Write exchanges at the end of the conversation."""
        entries = [entry for exchange in exchanges for entry in entries_of(exchange)] if self.history else []
        if self.history is not None and entries:
            try:
                self.id = self.history.add(self.id, dialog.system, entries)
            except MmcliError as error:
                self._give_up(error)

    def undo(self) -> None:
        """Take the last exchange out."""
        if self.history is not None and self.id is not None:
            try:
                self.history.undo(self.id)
            except MmcliError as error:
                self._give_up(error)

    def _give_up(self, error: MmcliError) -> None:
        self.history = None
        _LOG.warning("this conversation is not logged: %s", error)
