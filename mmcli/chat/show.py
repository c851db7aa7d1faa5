"""How answers look: Markdown that is set while it comes on a terminal, plain text everywhere else; pictures in cells."""

from __future__ import annotations

import logging
import time
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from mmcli import ui
from mmcli.errors import MmcliError
from mmcli.text import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.markdown import Markdown

    from mmcli.stages import Image

_REDRAWN_S = 0.08
_PREVIEW_ROWS = 12


class Shows(Protocol):
    """Where an answer goes, piece by piece."""

    def add(self, text: str) -> None: ...

    def end(self) -> None: ...


class Plain:
    """Text as it is, at once."""

    def __init__(self) -> None:
        self._last = "\n"

    def add(self, text: str) -> None:
        text = visible(text)
        ui.write(text)
        self._last = text[-1:] or self._last

    def end(self) -> None:
        """Complete the line, whatever has become of the answer."""
        if self._last != "\n":
            ui.write("\n")
        self._last = "\n"


class Rendered:
    """Markdown. Blocks that are complete are printed once and stay; only the last one is drawn anew while it grows.

    So nothing flickers or is lost however long the answer is: what is drawn anew is never taller than the screen.
    """

    def __init__(self) -> None:
        self._console = ui.console()
        self._text = ""
        self._live: Live | None = None
        self._drawn = 0.0
        self._blocks = 0

    def add(self, text: str) -> None:
        self._text += visible(text)
        if time.monotonic() - self._drawn < _REDRAWN_S:
            return
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        end = whole_blocks(self._text)
        done, self._text = self._text[:end], self._text[end:]
        self._live.update(_Tail(_markdown(self._text)))
        if done:
            self._print(done)
        else:
            self._live.refresh()
        self._drawn = time.monotonic()

    def end(self) -> None:
        """Print what is left, whatever has become of the answer."""
        if self._live is not None:
            self._live.stop()
        if self._text.strip():
            self._print(self._text)
        self._text, self._live, self._blocks = "", None, 0

    def _print(self, text: str) -> None:
        # An empty line parts it from the block before.
        parts = ["", _markdown(text)] if self._blocks else [_markdown(text)]
        with ui.receiving():
            self._console.print(*parts, sep="\n")
        self._blocks += 1


class _Tail:
    """The last lines of something that may be taller than the screen."""

    def __init__(self, inside: Markdown) -> None:
        self._inside = inside

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self._inside, options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()


def _markdown(text: str) -> Markdown:
    """Links are shown and never clickable: what they say and where they lead may differ. Line ends stay."""
    from rich.markdown import Markdown

    markdown = Markdown(text, code_theme="ansi_dark", hyperlinks=False)
    for token in markdown.parsed:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return markdown


def whole_blocks(text: str) -> int:
    """How many characters of a growing Markdown text belong to blocks that nothing can change any more."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt().enable("table").parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.map is not None and token.nesting >= 0]
    if len(starts) < 2:
        return 0
    return sum(len(line) for line in text.splitlines(keepends=True)[: starts[-1]])


def preview(image: Image) -> None:
    """A picture in the terminal, as sharp as it can (Sixel, Kitty, half blocks); nothing without mmcli[preview]."""
    if find_spec("textual_image") is None:
        return
    logging.getLogger("textual_image").setLevel(logging.ERROR)  # it complains of terminals that do not answer it
    from textual_image.renderable import Image as Drawn

    try:
        picture = image.pixels()
        picture.thumbnail((1024, 1024))
    except MmcliError:
        return  # whoever answers tells it
    with ui.receiving(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is behind Pillow
        ui.console().print(Drawn(picture, height=_PREVIEW_ROWS, width="auto"))
