"""What a server has, through connections that break. Addresses, tokens and what an error means are the callers'."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from mmcli.errors import MmcliError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_T = TypeVar("_T")
_TRIES = 3
"""Attempts in a row that bring not one byte, after which a download is given up."""
_PAUSE_S = 1.0


def ask(request: Callable[[], _T]) -> _T:
    """A small request, made again where the connection broke: one kept open since the last may be closed by the server."""
    import httpx2

    try:
        return request()
    except (httpx2.RemoteProtocolError, httpx2.ReadError):
        return request()


def grow(
    url: str, partial: Path, size: int, advance: Callable[[int], None], headers: Mapping[str, str] | None = None
) -> None:
    """Fetch until the file has its size, going on where it stopped, also where an earlier process stopped.

    `advance` is told the bytes as they come, less where some go back. Raises what httpx2 and the hub's library raise,
    MmcliError for more bytes than there should be.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    partial.touch()
    if partial.stat().st_size > size:
        os.truncate(partial, 0)
    advance(partial.stat().st_size)
    fruitless = 0
    while (before := partial.stat().st_size) < size:
        try:
            _stream(url, partial, size, advance, headers or {})
        except (httpx2.TransportError, HfHubHTTPError) as error:
            refused = isinstance(error, HfHubHTTPError) and error.response.status_code < 500
            fruitless = 0 if partial.stat().st_size > before else fruitless + 1
            if refused or fruitless == _TRIES:
                raise
            time.sleep(_PAUSE_S)


def _stream(url: str, partial: Path, size: int, advance: Callable[[int], None], headers: Mapping[str, str]) -> None:
    import httpx2
    import huggingface_hub.constants
    import huggingface_hub.utils

    library: Any = huggingface_hub.utils

    done = partial.stat().st_size
    asked = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    timeout = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
    with library.get_session().stream("GET", url, headers=asked, timeout=timeout) as response:
        library.hf_raise_for_status(response)
        with partial.open("r+b") as file:
            if response.status_code != 206:
                advance(-done)
                done = 0
                file.truncate(0)
            file.seek(done)
            for chunk in response.iter_bytes():
                done += len(chunk)
                if done > size:
                    file.truncate(0)
                    raise MmcliError(f"{url}: is longer than the server said")
                file.write(chunk)
                advance(len(chunk))
    if done < size:
        raise httpx2.RemoteProtocolError("the connection ended too early")
