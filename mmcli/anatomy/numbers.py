"""Numbers out of configurations that anybody may have written: what is no sound number counts as absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MOST = 1 << 40


def number(config: Mapping[str, Any], *keys: str) -> int | None:
    """The first of these keys that holds a whole number above zero."""
    for key in keys:
        value = config.get(key)
        if type(value) is int and 0 < value < _MOST:
            return value
        if type(value) is float and value.is_integer() and 0 < value < _MOST:
            return int(value)
    return None


def side(size: Any, which: str) -> int | None:
    """A side in pixels of a size as processors write it: a number, or a table of height and width or of edges."""
    if isinstance(size, dict):
        other = ("shortest_edge", "longest_edge") if which in ("height", "width") else ("height",)
        return number(size, which, *other)
    return number({"": size}, "")
