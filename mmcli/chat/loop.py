"""The conversation as it runs: a message, its answer, the next one; what goes wrong in a turn is one line and no end."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli import ui
from mmcli.chat import show, typed, words
from mmcli.errors import INTERRUPTED, MmcliError
from mmcli.stages import Image, Said, Spoke
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from mmcli.chat.session import Session
    from mmcli.stages import Audio, Event


@dataclass(slots=True)
class Chat:
    """`shows` makes what an answer is shown by; `pictures` is whether pictures that are attached are shown.

    `person` is whether somebody looks on who has to be told that an answer is to come.
    """

    session: Session
    shows: Callable[[], show.Shows]
    pictures: bool = False
    person: bool = False
    usage: bool = False
    code: int = 0
    """That of the last error."""

    # ---------------------------------------------------------------- ways

    def terminal(self, read: Callable[[], str]) -> int:
        """With a person. Ctrl+C stops an answer and leaves at the prompt, with 130; Ctrl+D and /exit leave with 0."""
        while True:
            try:
                text = read()
            except EOFError:
                return 0
            except KeyboardInterrupt:
                return INTERRUPTED
            try:
                self.take(text)
            except words.Leave:
                return 0
            except KeyboardInterrupt:
                ui.note("stopped")

    def piped(self, lines: Iterable[str]) -> int:
        """With a program: every line a message. The exit code is that of the last error."""
        for text in typed.messages(lines):
            try:
                self.take(text)
            except words.Leave:
                break
        return self.code

    # ---------------------------------------------------------------- one message

    def take(self, text: str) -> None:
        """Do what a slash word says, attach what was dropped, answer what else there is."""
        try:
            dropped = typed.dropped(text.strip())
            word = typed.word_of(text.strip())
            if word is not None and (word[0] in words.WORDS or not dropped):
                self._word(*word)
            elif dropped:
                self.attach(dropped)
            elif text.strip():
                message = typed.message(text)
                self._answer(self.session.ask(message[1:] if message.startswith("//") else message))
            elif self.session.pending:
                self._answer(self.session.ask(""))
        except MmcliError as error:
            ui.error(error)
            self.code = error.exit_code

    def attach(self, names: list[str]) -> None:
        """Attach files to the next message and show what they are."""
        before = len(self.session.pending)
        words.attach(self.session, names)
        self._show_attached(before)

    def _word(self, name: str, argument: str) -> None:
        before = len(self.session.pending)
        events = words.find(name).does(self.session, argument)
        self._show_attached(before)
        if events is not None:
            self._answer(events)

    def _show_attached(self, before: int) -> None:
        for name, attachment in self.session.pending[before:]:
            size = f", {attachment.width} by {attachment.height} pixels" if isinstance(attachment, Image) else ""
            ui.note(f"attached {visible(name, keep='')}{size}")
            if self.pictures and isinstance(attachment, Image):
                show.preview(attachment)

    def _answer(self, events: Generator[Event, None, None]) -> None:
        shown = self.shows()
        last = None
        try:
            with ui.waiting("...", shown=self.person) as begun, closing(self._sound(events, shown, begun)) as sound:
                blocks = sound
                if self.session.say:
                    from mmcli.media.playback import played

                    blocks = played(sound)
                for _ in blocks:
                    pass
            exchanges = self.session.dialog.exchanges
            last = exchanges[-1].done if exchanges else None
        finally:
            shown.end()
        if self.usage and last is not None:
            ui.note_usage(last)

    @staticmethod
    def _sound(
        events: Generator[Event, None, None], shown: show.Shows, begun: Callable[[], None]
    ) -> Generator[Audio, None, None]:
        """The sound of an answer, while its text is shown."""
        with closing(events):
            for event in events:
                begun()
                if isinstance(event, Said):
                    shown.add(event.text)
                elif isinstance(event, Spoke):
                    yield event.audio
