"""Recordings in: any container, codec, layout and rate as mono float32 blocks, in the same memory for minutes and hours."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import av
import av.error
import numpy as np

from mmcli.errors import InputError
from mmcli.media import containers
from mmcli.media.audio_out import pcm16, write_audio, write_wav
from mmcli.media.containers import NotMedia
from mmcli.media.files import is_stream, open_input, peek, source_name, spool
from mmcli.media.resampling import resample
from mmcli.stages import Audio, AudioSource
from mmcli.threads import Ahead, later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "RATES",
    "RAW_ENCODINGS",
    "AudioFacts",
    "NotMedia",
    "RawFormat",
    "audio_facts",
    "open_audio",
    "pcm16",
    "resample",
    "silence",
    "stream_audio",
    "write_audio",
    "write_wav",
]

_log = logging.getLogger(__name__)

# Sound is missing where the times that the container gives jump by this much; beyond an hour, or half a day in all,
# they are wrong, and a small file of them would cost days.
_MIN_GAP_S, _MAX_GAP_S, _MAX_GAPS_S = 0.1, 3600.0, 12 * 3600.0
# Rates outside are damaged headers, and would cost any amount of time or memory.
RATES = 1000, 1_000_000
_WIDE = tuple(f"{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be"))
RAW_ENCODINGS = ("s8", "u8", *_WIDE, "mulaw", "alaw")
# Of which each may be a speaker; more are a sound field.
_MAX_CHANNELS = 8
# The boxes that an MP4, MOV or M4A file can begin with; their index may stand at the end, so they have to be sought in.
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


@dataclass(frozen=True, slots=True)
class RawFormat:
    """What headerless samples are: Hz, interleaved channels, and one of RAW_ENCODINGS, in ffmpeg's names."""

    rate: int
    channels: int = 1
    encoding: str = "s16le"


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What the header of a recording says. `rate` in Hz; `seconds` is None where the header does not say."""

    seconds: float | None
    rate: int
    channels: int
    codec: str
    container: str


def open_audio(
    path: str | Path, *, channel: int | None = None, raw: RawFormat | None = None, again: bool = False
) -> AudioSource:
    """A recording, or the sound track of a video, recognised by its content and decoded on demand.

    `channel` (from 1) takes one channel instead of the mix of all. "-" is standard input; it and a pipe can be decoded
    once, or with `again` any number of times, as they are kept in an unnamed file. Damaged places are skipped.
    InputError: what `open_input` refuses, no sound in it, no such channel; while decoding: nothing of it can be decoded.
    """
    stream = open_input(path)
    if is_stream(stream):
        if not again:
            return stream_audio(stream, source_name(path), channel=channel, raw=raw)
        path = spool(stream, source_name(path))
        stream = open_input(path)
    return _source(_Reader(source_name(path), channel, raw), stream, partial(open_input, path))


def _source(reader: _Reader, stream: BinaryIO, reopen: Callable[[], BinaryIO]) -> AudioSource:
    """What can be opened any number of times; `stream` is the first of them, and closed."""
    with reader.opened(stream) as track:
        seconds, count = track.seconds, track.channels

    blocks = _Blocks(reader, reopen)

    def blocks16(rate: int) -> Iterator[Audio]:
        with reader.opened(reopen()) as track:
            yield from reader.decoded16(track, rate)

    if reader.channel is not None:
        return AudioSource(reader.source, seconds, blocks)
    numbers = range(1, count + 1) if 1 < count <= _MAX_CHANNELS else ()
    alone = (_Blocks(dataclasses.replace(reader, channel=number), reopen) for number in numbers)
    channels = tuple(AudioSource(reader.source, seconds, one) for one in alone)
    return AudioSource(reader.source, seconds, blocks, blocks16, channels)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The mix of all channels, or the one that the reader chooses, decoded anew by each call."""

    reader: _Reader
    reopen: Callable[[], BinaryIO]

    def __call__(self, rate: int) -> Iterator[Audio]:
        with self.reader.opened(self.reopen()) as track:
            yield from resample(_seconds_long(self.reader.decoded(track)), rate)


def stream_audio(
    stream: BinaryIO, source: str, *, channel: int | None = None, raw: RawFormat | None = None
) -> AudioSource:
    """The same for a stream of `open_input` that is read once. What has to be sought in goes to an unnamed file first."""
    reader = _Reader(source, channel, raw)
    # libav waits for the stream in threads of their own: Ctrl+C would be lost in its callbacks.
    if raw is None and peek(stream, 8)[4:] in _MP4_BOXES:
        stream = open_input(spool(stream, source))
    stack = ExitStack()
    track = later(lambda: stack.enter_context(reader.opened(stream))).result()
    unread = [track]

    def once() -> _Track:
        if not unread:
            raise InputError(source, "can be read only once", "save it to a file first")
        return unread.pop()

    def kept_open(made: Iterable[Audio]) -> Iterator[Audio]:
        with stack:
            yield from made

    def blocks(rate: int) -> Iterator[Audio]:
        with closing(Ahead(kept_open(resample(_seconds_long(reader.decoded(once())), rate)), 1)) as made:
            yield from made

    def blocks16(rate: int) -> Iterator[Audio]:
        with closing(Ahead(kept_open(reader.decoded16(once(), rate)), 1)) as made:
            yield from made

    return AudioSource(source, track.seconds, blocks, blocks16 if channel is None else None)


def audio_facts(path: str | Path) -> AudioFacts:
    """What the header says, nothing decoded. InputError as `open_audio`."""
    with _Reader(source_name(path), None, None).opened(open_input(path)) as track:
        stream = track.stream
        return AudioFacts(
            track.seconds, stream.rate, track.channels, stream.codec_context.name, track.container.format.name
        )


# ---------------------------------------------------------------- decoding


@dataclass(frozen=True, slots=True)
class _Track:
    container: Any
    stream: Any

    @property
    def channels(self) -> int:
        return cast("int", self.stream.codec_context.layout.nb_channels)

    @property
    def start(self) -> float:
        return containers.start(self.container)

    @property
    def seconds(self) -> float | None:
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / av.time_base if self.container.duration else None


@dataclass(frozen=True, slots=True)
class _Reader:
    source: str
    channel: int | None
    raw: RawFormat | None

    @contextmanager
    def opened(self, stream: BinaryIO) -> Iterator[_Track]:
        """The sound track of a stream, header checked; both are closed at the end."""
        form, options = None, {}
        if self.raw is not None:
            form = self.raw.encoding
            options = {"sample_rate": str(self.raw.rate), "ch_layout": f"{self.raw.channels}C"}
        with containers.opened(stream, self.source, form=form, options=options) as container:
            yield self._track(container)

    def _track(self, container: Any) -> _Track:
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError(self.source, "holds no sound")
        if stream.codec_context is None or not stream.codec_context.layout.nb_channels:
            raise InputError(self.source, "its sound has a codec that is not known here", "convert it to FLAC first")
        if not RATES[0] <= stream.rate <= RATES[1]:
            raise InputError(self.source, f"its header is damaged: {stream.rate} samples a second")
        track = _Track(container, stream)
        if self.channel is not None and not 1 <= self.channel <= track.channels:
            count = "1 channel" if track.channels == 1 else f"{track.channels} channels"
            raise InputError(self.source, f"has no channel {self.channel}, it has {count}")
        return track

    def decoded(self, track: _Track) -> Iterator[Audio]:
        """Mono pieces at the file's own rate, as the decoder gives them; what is lost between them is silence."""
        # Packed, as eight planes or more cannot be read safely; in its own layout, as libav's mix of floats clips.
        packed = av.AudioResampler(format="flt")
        setup: tuple[str, str, int] | None = None
        voices = [0]
        due: float | None = None
        filled = 0.0
        for frame in self._frames(track):
            if setup != (setup := _setup(frame)):
                packed = av.AudioResampler(format="flt")
                voices = self._voices(frame.layout)
            try:
                pieces = [Audio(self._mono(flat, voices), flat.sample_rate) for flat in packed.resample(frame)]
            except (av.error.FFmpegError, ValueError):
                continue  # a damaged frame whose header makes no sense
            start = track.start if due is None else due
            gap = 0.0 if frame.time is None else frame.time - start
            if _MIN_GAP_S < gap < _MAX_GAP_S and filled < _MAX_GAPS_S:
                yield from silence(gap, frame.sample_rate)
                start += gap
                filled += gap
                if filled >= _MAX_GAPS_S:
                    _log.warning("%s: half a day is missing in it; what else is missing is left out", self.source)
            due = start + sum(piece.seconds for piece in pieces)
            yield from pieces
        if due is None:
            raise InputError(self.source, "no sound in it can be decoded")

    def decoded16(self, track: _Track, rate: int) -> Iterator[Audio]:
        """The mix of all channels at `rate` as libav makes it in 16 bits, without regard to the times of the container."""
        heard = False
        for _, frames in itertools.groupby(self._frames(track), _setup):
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            for frame in itertools.chain(frames, [None]):
                if frame is not None:
                    frame.pts = None
                try:
                    pieces = resampler.resample(frame)
                except (av.error.FFmpegError, ValueError):
                    continue  # a damaged frame whose header makes no sense
                for piece in pieces:
                    heard = True
                    yield Audio(piece.to_ndarray()[0].astype(np.float32) / 32768.0, rate)
        if not heard:
            raise InputError(self.source, "no sound in it can be decoded")

    def _frames(self, track: _Track) -> Iterator[Any]:
        for frame in containers.frames(track.container, track.stream, self.source):
            if frame.samples and RATES[0] <= frame.sample_rate <= RATES[1]:
                yield frame

    def _mono(self, frame: Any, voices: list[int]) -> NDArray[np.float32]:
        samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
        mono = samples[:, voices[0]] if len(voices) == 1 else samples[:, voices].mean(axis=1)
        return cast("NDArray[np.float32]", mono)

    def _voices(self, layout: Any) -> list[int]:
        """Which channels, from 0, are mixed: the chosen one, or all but the subwoofer's, which holds no speech."""
        if self.channel is not None and self.channel <= layout.nb_channels:
            return [self.channel - 1]
        names = [channel.name for channel in layout.channels]
        return [index for index, name in enumerate(names) if name != "LFE"] or [0]


def _setup(frame: Any) -> tuple[str, str, int]:
    """What a resampler is made for."""
    return frame.format.name, frame.layout.name, frame.sample_rate


def _seconds_long(pieces: Iterable[Audio]) -> Iterator[Audio]:
    """The same sound in blocks of about a second, every sample a number from -1 to 1."""
    held: list[NDArray[np.float32]] = []
    rate = count = 0

    def block() -> Audio:
        return Audio(np.clip(np.nan_to_num(np.concatenate(held), nan=0.0), -1.0, 1.0), rate)

    for piece in pieces:
        if held and (piece.rate != rate or count >= rate):
            yield block()
            held, count = [], 0
        rate = piece.rate
        held.append(piece.samples)
        count += len(piece.samples)
    if held:
        yield block()


def silence(seconds: float, rate: int) -> Iterator[Audio]:
    """Nothing to hear for so long, in blocks of up to a second."""
    left = round(seconds * rate)
    while left > 0:
        yield Audio(np.zeros(min(left, rate), np.float32), rate)
        left -= rate
