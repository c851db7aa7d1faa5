"""Containers of sound and moving pictures: opened without trusting them, read past their damaged places."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import av
import av.error

from mmcli.errors import InputError
from mmcli.media.files import is_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Damaged places that a demuxer reports one after the other without any packet between them.
_MAX_ERRORS = 100


class NotMedia(InputError):
    """A file whose content is neither a recording nor a video nor a picture."""


class _Bytes:
    """A stream as libav sees it: without a name, as it would trust the suffix; without `seek` where there is none."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read
        if not is_stream(stream):
            self.seek, self.tell = stream.seek, stream.tell


@contextmanager
def opened(
    stream: BinaryIO, source: str, *, form: str | None = None, options: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """The container in a stream, header read; both are closed at the end. NotMedia where there is none.

    `form` names a format that has no header, with its `options`.
    """
    # A playlist must not name other files or addresses to open.
    safe = {"protocol_whitelist": "none", **(options or {})}
    with stream:
        try:
            container: Any = av.open(_Bytes(stream), format=form, options=safe, metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise NotMedia(source, "is neither a recording nor a video that can be read") from error
        with container:
            yield container


def start(container: Any) -> float:
    """Where the container's times begin, in seconds; most begin at 0, broadcasts anywhere."""
    return container.start_time / av.time_base if container.start_time else 0.0


def frames(container: Any, stream: Any, source: str) -> Iterator[Any]:
    """What can be decoded of a stream from where the container stands; a damaged packet is left out."""
    for packet in packets(container, stream, source):
        try:
            yield from packet.decode()
        except (av.error.FFmpegError, ValueError):
            continue


def packets(container: Any, stream: Any, source: str) -> Iterator[Any]:
    """The packets of a stream from where the container stands, none of them decoded."""
    errors = 0
    while errors < _MAX_ERRORS:
        try:
            for packet in container.demux(stream):
                errors = 0
                yield packet
            return
        except av.error.InvalidDataError:
            errors += 1
        except av.error.FFmpegError:
            return
        except OSError as error:
            raise InputError(source, f"cannot be read to its end ({error.strerror or error})") from error
