"""The slash words: one table of what they are called, what they do and what completes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmcli import ui
from mmcli.chat import typed
from mmcli.errors import UsageError, did_you_mean
from mmcli.media.files import display_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mmcli.chat.session import Session
    from mmcli.stages import Attachment, Event

    Does = Callable[["Session", str], "Generator[Event, None, None] | None"]


class Leave(Exception):
    """The conversation is over."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a slash word does; `completes` is what its argument is: file, model or option."""

    does: Does
    about: str
    argument: str = ""
    completes: str = ""


def find(name: str) -> Word:
    """The word of that name. UsageError with the nearest name where there is none."""
    if name not in WORDS:
        mend = did_you_mean(name, WORDS) or "/help names those there are, and // begins a message with a slash"
        raise UsageError(f'there is no word "/{name}"', mend)
    return WORDS[name]


def attach(session: Session, names: list[str], kind: str = "attach") -> list[Attachment]:
    """Attach files to the next message, all or none."""
    before = list(session.pending)
    try:
        return [session.attach(name, kind) for name in names]
    except BaseException:
        session.pending = before
        raise


# ---------------------------------------------------------------- what they do


def _attach(kind: str) -> Does:
    def do(session: Session, argument: str) -> None:
        if not argument:
            raise UsageError(f"/{kind} needs the name of a file")
        attach(session, typed.file_names(argument), kind)

    return do


def _model(session: Session, name: str) -> None:
    if name:
        session.swap(name)
    ui.note(f"{session.model} answers")


def _system(session: Session, text: str) -> None:
    if text:
        session.set_system("" if text.lower() == "none" else text)
    ui.note(f"system: {session.dialog.system or 'none'}")


def _options(session: Session, argument: str) -> None:
    name, _, value = argument.partition(" ")
    if name and not value.strip():
        raise UsageError(f"/options {name} needs a value", "none gives it back to the model")
    if name:
        session.set_option(name, value.strip())
    given = {key: value for key, value in session.options().items() if value not in (None, ())}
    ui.note(", ".join(f"{key} {value}" for key, value in given.items()))


def _clear(session: Session, argument: str) -> None:
    session.clear()
    ui.note("a new conversation")


def _retry(session: Session, argument: str) -> Generator[Event, None, None]:
    return session.retry()


def _undo(session: Session, argument: str) -> None:
    last = session.undo()
    ui.note(f"taken back: {' '.join(last.turn.text.split())[:60] or 'the last turn'}")


def _path(argument: str, word: str) -> Path:
    name = argument.strip("'\"")
    if not name:
        raise UsageError(f"/{word} needs the name of a file")
    return Path(name).expanduser()


def _save(session: Session, argument: str) -> None:
    path = _path(argument, "save")
    session.save(path)
    ui.note(f"saved to {display_name(path)}")


def _load(session: Session, argument: str) -> None:
    gone = session.load(_path(argument, "load"))
    if gone:
        ui.note(f"no longer there as it was attached: {', '.join(gone)}")
    turns = len(session.dialog.exchanges)
    ui.note(f"{turns} turn{'' if turns == 1 else 's'} so far")


def _usage(session: Session, argument: str) -> None:
    last, prompt, answer = session.usage()
    if last is None:
        raise UsageError("nothing has been said yet")
    ui.note_usage(last)
    ui.note(f"in all: {prompt} tokens in, {answer} tokens out")


def _help(session: Session, argument: str) -> None:
    rows = [(f"/{name} {word.argument}".strip(), word.about) for name, word in WORDS.items() if word.about]
    width = max(len(name) for name, _ in rows)
    ui.tell("\n".join([*(f"{name:{width}}  {about}" for name, about in rows), *_KEYS]))


def _leave(session: Session, argument: str) -> None:
    raise Leave


_KEYS = (
    "",
    'Enter sends; Alt+Enter, a backslash at the end, or """ ... """ make further lines; // begins a message with a slash.',
    "The name of a file that is dropped here attaches it. Ctrl+C stops an answer, at the prompt it leaves.",
)

WORDS: dict[str, Word] = {
    "image": Word(_attach("image"), "attach pictures to the next message", "FILE...", "file"),
    "audio": Word(_attach("audio"), "attach recordings", "FILE...", "file"),
    "video": Word(_attach("video"), "attach videos", "FILE...", "file"),
    "doc": Word(_attach("doc"), "attach PDFs and texts", "FILE...", "file"),
    "attach": Word(_attach("attach"), "attach whatever it is, from an address too", "FILE|URL...", "file"),
    "model": Word(_model, "let another model answer, or tell which one does", "[NAME]", "model"),
    "system": Word(_system, "what the model is told before all; none: nothing", "[TEXT]"),
    "options": Word(_options, "how it answers; none gives an option back to the model", "[NAME VALUE]", "option"),
    "retry": Word(_retry, "answer the last message again"),
    "undo": Word(_undo, "take the last message and its answer back"),
    "clear": Word(_clear, "begin a new conversation"),
    "save": Word(_save, "write the conversation as JSON", "FILE", "file"),
    "load": Word(_load, "go on with a saved one", "FILE", "file"),
    "usage": Word(_usage, "tokens and times"),
    "help": Word(_help, "this"),
    "exit": Word(_leave, "leave, as /bye and Ctrl+D do"),
    "bye": Word(_leave, ""),
    "quit": Word(_leave, ""),
}
