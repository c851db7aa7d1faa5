"""Where a person types: editing over several lines, history, completion of slash words, files, models and options."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import History as PromptHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import create_output

from mmcli.chat import typed
from mmcli.chat.words import WORDS
from mmcli.errors import MmcliError
from mmcli.options import AnswerOptions
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.key_binding import KeyPressEvent

    from mmcli.history.database import History

_RECALLED = 500


class Terminal:
    """Reads messages from a person. What is typed is shown on standard error, so that standard output has answers alone."""

    def __init__(self, history: History | None, models: Callable[[], Iterable[str]]) -> None:
        """`history` is where former questions are recalled from, None for nowhere."""
        self._session: PromptSession[str] = PromptSession(
            "> ",
            multiline=True,
            prompt_continuation=". ",
            key_bindings=_keys(),
            completer=_Completer(models),
            complete_while_typing=False,
            history=_Asked(history),
            output=create_output(stdout=sys.stderr),
        )

    def read(self) -> str:
        """The next message. EOFError for Ctrl+D, KeyboardInterrupt for Ctrl+C, each at an empty prompt."""
        return self._session.prompt()


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None
        elif typed.is_open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    return keys


class _Asked(PromptHistory):
    """What was asked before, out of the log; what is typed now is kept there by whoever answers."""

    def __init__(self, history: History | None) -> None:
        super().__init__()
        self._history = history

    def load_history_strings(self) -> Iterable[str]:
        try:
            return self._history.questions(_RECALLED) if self._history is not None else []
        except MmcliError:
            return []

    def store_string(self, string: str) -> None:
        pass


class _Completer(Completer):
    def __init__(self, models: Callable[[], Iterable[str]]) -> None:
        self._models = models
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, rest = text[1:].partition(" ")
        if not space:
            for word, known in WORDS.items():
                if word.startswith(name) and known.about:
                    yield Completion(
                        word + " " * bool(known.argument), -len(name), display=word, display_meta=known.about
                    )
            return
        kind = WORDS[name].completes if name in WORDS else ""
        if kind == "file":
            yield from map(_safe, self._paths.get_completions(Document(rest), complete_event))
        elif kind:
            names: Any = self._models() if kind == "model" else (one.name for one in dataclasses.fields(AnswerOptions))
            for each in names:
                if each.startswith(rest):
                    yield Completion(each, -len(rest))


def _safe(found: Completion) -> Completion:
    """File names may hold what steers a terminal."""
    return Completion(found.text, found.start_position, display=visible(found.display_text, keep=""))
