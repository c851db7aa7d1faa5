"""Text while it comes: ends at stop strings, no white space around the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Ended(Exception):
    """A stop string was written."""


def until(texts: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """The text up to the first of the stop strings; what may become one is held back. Raises Ended at one."""
    held = ""
    for text in texts:
        held += text
        places = [place for place in (held.find(stop) for stop in stops) if place >= 0]
        if places:
            yield held[: min(places)]
            raise Ended
        keep = max((_overlap(held, stop) for stop in stops), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text may be the beginning of the stop string."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def stripped(texts: Iterable[str]) -> Iterator[str]:
    """The text without white space at either end."""
    held, begun = "", False
    for text in texts:
        held += text
        if not begun:
            held = held.lstrip()
        shown = held.rstrip()
        if shown:
            begun = True
            yield shown
            held = held[len(shown) :]
