"""Names of attachments as the user gives them: files, folders, patterns, addresses."""

from __future__ import annotations

import glob
import mimetypes
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mmcli.errors import InputError
from mmcli.media.attachments import is_picture
from mmcli.media.document import HEAD_BYTES, is_pdf, is_text
from mmcli.media.files import STDIN, display_name

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATTERN = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"(\d+)")
_MEDIA = ("image/", "audio/", "video/", "text/", "application/pdf")


def expand(names: Iterable[str]) -> list[str]:
    """The attachments that the names stand for, in their order: a pattern is what matches it, a folder is its files.

    Both are sorted as a person would (2 before 10), hidden files are left out, and of a folder those of no kind that can
    be attached, too; `**` in a pattern goes into folders. InputError where nothing is found.
    """
    return [found for name in names for found in _expanded(name)]


def _expanded(name: str) -> list[str]:
    if name == STDIN or "://" in name or os.path.lexists(name):
        return _folder(name) if os.path.isdir(name) else [name]
    home = os.path.expanduser(name)
    if home != name and os.path.lexists(home):
        return _expanded(home)
    if not _PATTERN.search(name):
        return [name]  # opening it tells what is wrong
    found = [path for path in glob.glob(home, recursive=True) if not os.path.isdir(path)]
    if not found:
        raise InputError(display_name(name), "no file matches this pattern")
    return sorted(found, key=natural)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in _DIGITS.split(name)]


def _folder(name: str) -> list[str]:
    try:
        files = [path for path in Path(name).iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(display_name(name), f"cannot be looked through ({error.strerror or error})") from error
    found = sorted((str(path) for path in files if _is_known(path)), key=natural)
    if not found:
        raise InputError(display_name(name), "the folder holds no picture, PDF, text, recording or video")
    return found


def _is_known(path: Path) -> bool:
    """By its suffix, so that a broken one is told rather than passed by, or else by its content."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    if kind.startswith(_MEDIA):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    return bool(head) and (is_picture(head) or is_pdf(head) or is_text(head))
