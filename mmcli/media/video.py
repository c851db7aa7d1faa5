"""Videos in: some of their pictures, upright and with their times, in the same memory for seconds and hours."""

from __future__ import annotations

import functools
import math
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from av.stream import Disposition

from mmcli.errors import InputError
from mmcli.media import containers
from mmcli.media.attachments import MAX_FRAMES
from mmcli.media.files import open_input, source_name
from mmcli.options import AttachOptions
from mmcli.stages import Video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import PIL.Image

    from mmcli.stages import AudioSource

    Timed = tuple[float, Callable[[int], PIL.Image.Image]]
    """A frame: its time in seconds from the start, and what makes its picture with a longer side of so many pixels."""

MAX_SIDE = 1280
"""Pixels of a picture's longer side; larger ones are made smaller."""
SCENES = 8
"""Pictures where neither their number nor their rate is asked for."""
_MAX_PIXELS = 100_000_000
# A cut: this share of the pixels changes its colour (of 64) from one look to the next.
_CUT = 0.3
# A scene without a cut is shown so often, as long as there are pictures left.
_LONGEST_S = 10.0
_CLOSEST_S = 0.5
# How often a video is looked at for cuts; of a longer one only the pictures that are stored whole.
_LOOK_S = 0.2
_LOOK_SIDE = 96
_LONG_S = 120.0
# Further ahead than this is sought, not decoded.
_FAR_S = 5.0
_EXACT_S = 1e-3


def open_video(path: str | Path, options: AttachOptions | None = None) -> Video | None:
    """A video, recognised by its content, with the pictures that `options` choose; None where no picture moves in it.

    Without a choice: the first picture and those at cuts (where the colour histogram changes most), then the middles of
    the longest stretches until none is longer than 10 seconds, 8 pictures at most. Each is RGB, upright, its pixels
    square, 1280 pixels at most; `frames()` gives (seconds, picture) and decodes anew. Damaged places are passed over.
    InputError: what `open_input` refuses, no container, more than 100 million pixels or 128 pictures.
    """
    options = options or AttachOptions()
    film = _Film(path)
    size = film.size()
    return _chosen(film, size, options, film.sound()) if size is not None else None


def open_animation(path: str | Path, options: AttachOptions) -> Video | None:
    """The same for a GIF, PNG, WebP or AVIF with several pictures; None where there is only one."""
    from mmcli.media.image import open_image, open_moving

    image = open_image(path)
    first = [time for time, _ in _some(open_moving(path), 2)]
    if len(first) < 2:
        return None
    return _chosen(_Animation(path), _fitted(image.width, image.height, MAX_SIDE), options, None)


def _some(items: Iterable[Any], count: int) -> Iterator[Any]:
    return (item for item, _ in zip(items, range(count), strict=False))


def _chosen(
    film: _Film | _Animation, size: tuple[int, int], options: AttachOptions, sound: AudioSource | None
) -> Video:
    seconds = film.seconds()
    if options.fps is not None and seconds * options.fps > MAX_FRAMES:
        raise InputError(
            film.source,
            f"is {seconds:.0f} s long: --fps {options.fps:g} would give more than {MAX_FRAMES} pictures",
            f"take --frames {MAX_FRAMES}, or --fps {MAX_FRAMES / seconds:.2g}",
        )

    @functools.cache
    def times() -> tuple[float, ...]:
        if options.frames is not None:
            return tuple((index + 0.5) * seconds / options.frames for index in range(options.frames))
        if options.fps is not None:
            return tuple(index / options.fps for index in range(max(1, math.ceil(seconds * options.fps - _EXACT_S))))
        return _scenes(film, seconds)

    def frames() -> Iterator[tuple[float, PIL.Image.Image]]:
        for time, picture in film.at(times()):
            yield time, picture(MAX_SIDE)

    return Video(film.source, seconds, *size, frames, sound)


# ---------------------------------------------------------------- films


class _Film:
    """A video file; its times begin at 0."""

    def __init__(self, path: str | Path) -> None:
        self.source = source_name(path)
        self._path = path

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        with containers.opened(open_input(self._path), self.source) as container:
            # The picture on the cover of an album is no film.
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            stream = streams[0] if streams and streams[0].codec_context is not None else None
            if stream is not None:
                if stream.codec_context.width * stream.codec_context.height > _MAX_PIXELS:
                    raise InputError(self.source, f"has more than {_MAX_PIXELS // 1_000_000} million pixels")
                stream.thread_type = "AUTO"
            yield container, stream

    def size(self) -> tuple[int, int] | None:
        """Width and height of its pictures, from the first that can be decoded; None without any."""
        with self._opened() as (container, stream):
            if stream is None:
                return None
            for _, picture in self._decoded(container, stream):
                return picture(MAX_SIDE).size
            if not container.streams.audio:
                raise InputError(self.source, "no picture in it can be decoded")
        return None

    def sound(self) -> AudioSource | None:
        """Its sound track; None without one, or where it cannot be decoded."""
        from mmcli.media.audio import open_audio

        with suppress(InputError):
            return open_audio(self._path)
        return None

    @functools.cached_property
    def _length(self) -> float:
        with self._opened() as (container, stream):
            if stream.duration:
                return float(stream.duration * stream.time_base)
            if container.duration:
                return float(container.duration / av.time_base)
            base = containers.start(container)
            packets = containers.packets(container, stream, self.source)
            return max((float(p.pts * stream.time_base) - base for p in packets if p.pts is not None), default=0.0)

    def seconds(self) -> float:
        """What the container says, or else its last time stamp."""
        return self._length

    def looks(self) -> Iterator[Timed]:
        """Its pictures in order; of a long one only those that are stored whole."""
        with self._opened() as (container, stream):
            if self.seconds() > _LONG_S:
                stream.codec_context.skip_frame = "NONKEY"
            yield from self._decoded(container, stream)

    def at(self, times: tuple[float, ...]) -> Iterator[Timed]:
        """The picture at each of these times, none twice; the last one where all of them are beyond the end."""
        with self._opened() as (container, stream):
            found = False
            for item in _picked(times, functools.partial(self._forward, container, stream)):
                found = True
                yield item
            if found:
                return
        with self._opened() as (container, stream):
            last = None
            for last in self._decoded(container, stream):  # noqa: B007 - the last one is wanted
                pass
            if last is None:
                raise InputError(self.source, "no picture in it can be decoded")
            yield last

    def _forward(self, container: Any, stream: Any, now: float | None, to: float) -> Iterator[Timed] | None:
        """Frames from the start or from a place not far before `to`; None to go on where one is."""
        if to - (now or 0.0) > _FAR_S:
            with suppress(av.error.FFmpegError, OSError):
                container.seek(int((to + containers.start(container)) / stream.time_base), stream=stream)
                return self._decoded(container, stream)
        return self._decoded(container, stream) if now is None else None

    def _decoded(self, container: Any, stream: Any) -> Iterator[Timed]:
        base, latest = containers.start(container), 0.0
        rate = float(stream.average_rate or 25)
        for frame in containers.frames(container, stream, self.source):
            latest = latest + 1 / rate if frame.time is None else max(0.0, frame.time - base)
            yield latest, functools.partial(_upright, frame, stream.sample_aspect_ratio)


class _Animation:
    """A picture file that moves."""

    def __init__(self, path: str | Path) -> None:
        self.source = source_name(path)
        self._path = path

    @functools.cached_property
    def _length(self) -> float:
        from mmcli.media.image import open_moving

        # The last picture stays as long as the one before it.
        times = [time for time, _ in open_moving(self._path)]
        return times[-1] + (times[-1] - times[-2])

    def seconds(self) -> float:
        return self._length

    def looks(self) -> Iterator[Timed]:
        from mmcli.media.image import open_moving

        for time, picture in open_moving(self._path):
            yield time, functools.partial(_shrunk, picture)

    def at(self, times: tuple[float, ...]) -> Iterator[Timed]:
        frames = self.looks()
        yield from _picked(times, lambda now, to: frames if now is None else None)


def _picked(
    times: Iterable[float], forward: Callable[[float | None, float], Iterator[Timed] | None]
) -> Iterator[Timed]:
    """The frame shown at each time, none twice. `forward(now, to)` gives other frames to go on with, or None."""
    frames: Iterator[Timed] = iter(())
    shown: Timed | None = None
    following: Timed | None = None
    given = -1.0
    for wanted in times:
        others = forward(shown[0] if shown is not None else None, wanted)
        if others is not None:
            frames, shown, following = others, None, None
        while following := following or next(frames, None):
            if shown is not None and following[0] > wanted + _EXACT_S:
                break
            shown, following = following, None
        if shown is None:
            return
        if shown[0] != given:
            given = shown[0]
            yield shown


# ---------------------------------------------------------------- pictures


def _upright(frame: Any, aspect: Any, side: int) -> PIL.Image.Image:
    aspect = float(aspect) if aspect else 1.0
    wide = round(frame.width * aspect) if 0.1 < aspect < 10 else frame.width
    width, height = _fitted(wide, frame.height, side)
    picture: PIL.Image.Image = frame.to_image(width=width, height=height, interpolation="AREA")
    turns = round(frame.rotation / 90) % 4
    return picture.rotate(90 * turns, expand=True) if turns else picture


def _shrunk(picture: PIL.Image.Image, side: int) -> PIL.Image.Image:
    size = _fitted(*picture.size, side)
    return picture if size == picture.size else picture.resize(size, reducing_gap=2)


def _fitted(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


# ---------------------------------------------------------------- scenes


def _scenes(film: _Film | _Animation, seconds: float) -> tuple[float, ...]:
    """The times at which a video is shown where nothing else is asked for."""
    times = [0.0]
    for _, time in sorted(_cuts(film), reverse=True):
        if len(times) < SCENES and all(abs(time - other) >= _CLOSEST_S for other in times):
            times.append(time)
    while len(times) < SCENES:
        times.sort()
        length, begin = max((end - begin, begin) for begin, end in pairwise([*times, max(seconds, times[-1])]))
        if length <= _LONGEST_S:
            break
        times.append(begin + length / 2)
    return tuple(sorted(times))


def _cuts(film: _Film | _Animation) -> Iterator[tuple[float, float]]:
    """How much changes at a cut, and when."""
    before: np.ndarray[Any, Any] | None = None
    due = 0.0
    for time, picture in film.looks():
        if time < due:
            continue
        due = time + _LOOK_S
        colours = _histogram(picture(_LOOK_SIDE))
        if before is not None:
            change = float(np.abs(colours - before).sum()) / 2
            if change > _CUT:
                yield change, time
        before = colours


def _histogram(picture: PIL.Image.Image) -> np.ndarray[Any, Any]:
    """The share of each of 64 colours."""
    pixels = np.asarray(picture) >> 6
    colours = pixels[..., 0] * 16 + pixels[..., 1] * 4 + pixels[..., 2]
    shares: np.ndarray[Any, Any] = np.bincount(colours.ravel(), minlength=64) / colours.size
    return shares
