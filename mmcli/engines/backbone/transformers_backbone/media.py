"""Pictures and videos as arrays of pixels: decoded once, made smaller where that is asked for, known by a digest."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from mmcli.errors import InputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcli.stages import Image, Video

_MOST_HELD = 256_000_000
"""Bytes of decoded pixels that are kept for the next question."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """RGB pixels; `digest` tells two apart by what they show, `size` is the width and height that the file has."""

    source: str
    pixels: PIL.Image.Image
    digest: bytes
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """Frames uint8 [n, height, width, 3] and the second of each."""

    source: str
    frames: NDArray[np.uint8]
    times: tuple[float, ...]
    seconds: float
    digest: bytes


def most_pixels(detail: str | None, low: int) -> int | None:
    """The most pixels of a side that `detail` asks for, None for as many as the model takes. UsageError for nonsense."""
    if detail is None or detail == "high":
        return None
    if detail == "low":
        return low
    if not detail.isdecimal() or not 16 <= int(detail) <= 100_000:
        raise UsageError(f'--detail is low, high or a number of pixels from 16, not "{detail}"')
    return int(detail)


class Media:
    """What was decoded, the newest of it, up to 256 MB. Safe for several threads."""

    def __init__(self) -> None:
        # The part itself is held, so that its identity cannot be another's later.
        self._held: OrderedDict[int, tuple[Any, Picture | Film]] = OrderedDict()
        self._lock = threading.Lock()

    def picture(self, image: Image, side: int | None) -> Picture:
        """The pixels of a picture, its longer side `side` pixels at most. InputError where it is damaged."""
        picture = self._known(image)
        if not isinstance(picture, Picture):
            pixels = image.pixels()
            picture = _picture(image.source, pixels, pixels.size)
            self._keep(image, picture)
        longer = max(picture.pixels.size)
        if side is None or longer <= side:
            return picture
        size = tuple(max(1, round(edge * side / longer)) for edge in picture.pixels.size)
        smaller = picture.pixels.resize((size[0], size[1]), PIL.Image.Resampling.LANCZOS)
        return _picture(image.source, smaller, picture.size)

    def film(self, video: Video, side: int | None) -> Film:
        """The frames of a video. InputError where it has none."""
        film = self._known(video)
        if not isinstance(film, Film):
            timed = list(video.frames())
            if not timed:
                raise InputError(video.source, "no picture of it could be decoded")
            frames = np.stack([np.asarray(frame.convert("RGB")) for _, frame in timed])
            times = tuple(time for time, _ in timed)
            film = _film(video.source, frames, times, video.seconds or times[-1] + 1.0)
            self._keep(video, film)
        longer = max(film.frames.shape[1:3])
        if side is None or longer <= side:
            return film
        height, width = (max(1, round(edge * side / longer)) for edge in film.frames.shape[1:3])
        frames = np.stack([np.asarray(PIL.Image.fromarray(frame).resize((width, height))) for frame in film.frames])
        return _film(film.source, frames, film.times, film.seconds)

    def _known(self, part: Image | Video) -> Picture | Film | None:
        with self._lock:
            found = self._held.get(id(part))
            if found is None:
                return None
            self._held.move_to_end(id(part))
            return found[1]

    def _keep(self, part: Image | Video, decoded: Picture | Film) -> None:
        with self._lock:
            self._held[id(part)] = (part, decoded)
            while len(self._held) > 1 and sum(_bytes(held) for _, held in self._held.values()) > _MOST_HELD:
                self._held.popitem(last=False)


def _bytes(decoded: Picture | Film) -> int:
    if isinstance(decoded, Film):
        return decoded.frames.nbytes
    return decoded.pixels.width * decoded.pixels.height * 3


def _picture(source: str, pixels: PIL.Image.Image, size: tuple[int, int]) -> Picture:
    return Picture(source, pixels, _digest(str(pixels.size), pixels.tobytes()), size)


def _film(source: str, frames: NDArray[np.uint8], times: tuple[float, ...], seconds: float) -> Film:
    return Film(source, frames, times, seconds, _digest(f"{frames.shape} {times} {seconds}", frames.tobytes()))


def _digest(shape: str, pixels: bytes) -> bytes:
    return hashlib.blake2b(pixels, digest_size=16, key=hashlib.blake2b(shape.encode()).digest()[:16]).digest()
