"""What a person types: messages over several lines, slash words, names of files as shells and file managers write them."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mmcli.media.names import expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

QUOTES = '"""'


def is_open(text: str) -> bool:
    '''Whether a message goes on in the next line: inside of """ and """, or after a line that ends with a backslash.'''
    if text.count(QUOTES) % 2:
        return True
    ending = text[len(text.rstrip("\\")) :]
    return len(ending) % 2 == 1


def message(text: str) -> str:
    """A whole message without what only held it together."""
    text = text.strip()
    if text.startswith(QUOTES) and text.endswith(QUOTES) and text.count(QUOTES) == 2 and len(text) >= 6:
        return text[3:-3].strip("\n")
    return re.sub(r"\\\n", "\n", text)


def messages(lines: Iterable[str]) -> Iterator[str]:
    """The messages of a pipe: one a line, unless it is held open."""
    held = ""
    for line in lines:
        held += line.rstrip("\r\n")
        if is_open(held):
            held += "\n"
            continue
        if held.strip():
            yield held
        held = ""
    if held.strip():
        yield held.rstrip("\\\n")


def word_of(text: str) -> tuple[str, str] | None:
    """A slash word and what follows it; None for a message. Two slashes begin a message with one."""
    if not text.startswith("/") or text.startswith("//"):
        return None
    word, _, rest = text.partition(" ") if " " in text.split("\n", maxsplit=1)[0] else text.partition("\n")
    return word[1:], rest.strip()


def file_names(text: str) -> list[str]:
    """Names of files: quoted, escaped, with spaces, as file:// addresses, patterns, folders."""
    plain = os.path.expanduser(text)
    if not text or os.path.lexists(plain):
        return expand([plain]) if text else []
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation mark that is part of a name
        words = text.split()
    return expand(map(_path, words))


def dropped(text: str) -> list[str]:
    """The files that a message is nothing but the names of: what a terminal types when files are dropped on it."""
    if "\n" in text or not text.lstrip("'\"").startswith(("/", "~", "file://")):
        return []
    if os.path.isfile(text):
        return [text]
    try:
        paths = [_path(word) for word in shlex.split(text)]
    except ValueError:
        return []
    return paths if all(map(os.path.isfile, paths)) else []


def _path(word: str) -> str:
    if word.startswith("file://"):
        return unquote(urlsplit(word).path)
    return os.path.expanduser(word)
