"""A picture of sound: its waveform and its mel spectrogram over time, for any length in the same memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from mmcli.errors import UsageError
from mmcli.media.files import atomic_path, display_name
from mmcli.media.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mmcli.stages import Audio

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_BANDS = 80
_FRAME_S, _HOP_S = 0.032, 0.01
# Columns that are kept; beyond, every two become one.
_COLUMNS = 4096
_RANGE_DB = 80.0
_SIZE, _LEFT, _RIGHT, _TOP = (1400, 720), 90, 130, 60
_WAVE, _GAP, _MEL = 200, 40, 340
_INK, _PAPER, _GRID, _WAVE_INK = (30, 30, 30), (255, 255, 255), (225, 225, 225), (38, 84, 140)
# From silent to loud, evenly brighter, readable without colour vision too.
_COLOURS = ((0, 0, 4), (64, 15, 115), (139, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
_HERTZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 36000, 86400)


class SoundPicture:
    """Takes sound block by block; `draw` then writes the picture."""

    def __init__(self) -> None:
        self.rate = 0
        self.seconds = 0.0
        self._rest = np.zeros(0, np.float32)
        self._columns: list[NDArray[np.float32]] = []
        """Lowest and highest sample, then the energy of each band, of so many hops:"""
        self._hops = 1
        self._pending: list[NDArray[np.float32]] = []

    def watch(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        """The same blocks, each looked at on its way."""
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: Audio) -> None:
        self.rate = self.rate or block.rate
        for piece in resample([block], self.rate):
            self._rest = np.concatenate([self._rest, piece.samples])
        self.seconds += block.seconds
        hop, size = self._hop, self._size
        count = (len(self._rest) - size) // hop + 1
        if count > 0:
            for column in self._analysed(
                np.lib.stride_tricks.sliding_window_view(self._rest, size)[: count * hop : hop]
            ):
                self._push(column)
            self._rest = self._rest[count * hop :]

    def draw(self, path: Path, title: str) -> None:
        """UsageError for a suffix that is no picture's; OutputError where it cannot be written."""
        check_picture(path)
        if self.rate:
            padded = np.concatenate([self._rest, np.zeros(self._size, np.float32)])[: self._size]
            self._push(self._analysed(padded[None])[0])
        columns = np.array(self._columns or [np.zeros(2 + _BANDS, np.float32)])
        picture = _Drawing(columns, max(self.seconds, 0.01), self.rate or 16000).picture(title)
        with atomic_path(path) as aside:
            picture.save(aside)

    @property
    def _hop(self) -> int:
        return max(1, round(self.rate * _HOP_S))

    @property
    def _size(self) -> int:
        return max(64, round(self.rate * _FRAME_S))

    def _analysed(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Columns of frames of samples: [frame, 2 + band]."""
        spectrum = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]).astype(np.float32))) ** 2
        heard = frames[:, : self._hop]
        edges = heard.min(axis=1), heard.max(axis=1)
        return np.column_stack([*edges, spectrum @ _filters(self.rate, frames.shape[1]).T]).astype(np.float32)

    def _push(self, column: NDArray[np.float32]) -> None:
        self._pending.append(column)
        if len(self._pending) < self._hops:
            return
        self._columns.append(_merged(np.array(self._pending)))
        self._pending = []
        if len(self._columns) >= _COLUMNS:
            self._columns = [_merged(np.array(self._columns[at : at + 2])) for at in range(0, len(self._columns), 2)]
            self._hops *= 2


def check_picture(path: Path) -> None:
    """UsageError for a file name without the suffix of a picture format."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{display_name(path)}: no suffix of a picture format", f"end the name in {' '.join(SUFFIXES)}"
        )


def _merged(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    lowest, highest = columns[:, 0].min(), columns[:, 1].max()
    return np.concatenate([[lowest, highest], columns[:, 2:].mean(axis=0)]).astype(np.float32)


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def _filters(rate: int, size: int) -> NDArray[np.float64]:
    """Triangles evenly spaced on HTK's mel scale from 0 Hz to half the rate: [band, bin]."""
    edges = 700 * (10 ** (np.linspace(0, _mel(rate / 2), _BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(size, 1 / rate)
    # Low bands are narrower than a bin; each keeps at least the width of one.
    width = np.maximum(np.diff(edges), rate / size)
    middle = edges[1:-1, None]
    return np.maximum(0, np.minimum(1 + (bins - middle) / width[:-1, None], 1 - (bins - middle) / width[1:, None]))


class _Drawing:
    """The panels of one picture, with their axes."""

    def __init__(self, columns: NDArray[np.float32], seconds: float, rate: int) -> None:
        self._columns = columns
        self._seconds = seconds
        self._rate = rate
        self._width = _SIZE[0] - _LEFT - _RIGHT
        self._image = PIL.Image.new("RGB", _SIZE, _PAPER)
        self._pen = PIL.ImageDraw.Draw(self._image)
        self._font = PIL.ImageFont.load_default(16)

    def picture(self, title: str) -> PIL.Image.Image:
        self._pen.text((_LEFT, 18), title, _INK, PIL.ImageFont.load_default(20))
        mel_top = _TOP + _WAVE + _GAP
        self._waveform(_TOP)
        self._spectrogram(mel_top)
        for top, height in ((_TOP, _WAVE), (mel_top, _MEL)):
            self._pen.rectangle((_LEFT, top, _LEFT + self._width, top + height), outline=_INK)
        self._times(mel_top + _MEL)
        return self._image

    def _waveform(self, top: int) -> None:
        middle, half = top + _WAVE / 2, _WAVE / 2
        for value in (-1.0, -0.5, 0.0, 0.5, 1.0):
            y = middle - value * half
            self._pen.line((_LEFT, y, _LEFT + self._width, y), _GRID)
            self._pen.text((_LEFT - 8, y), f"{value:g}", _INK, self._font, anchor="rm")
        at = np.linspace(0, len(self._columns), self._width + 1)
        for x in range(self._width):
            part = self._columns[int(at[x]) : max(int(at[x]) + 1, math.ceil(at[x + 1]))]
            low, high = float(part[:, 0].min()), float(part[:, 1].max())
            self._pen.line((_LEFT + x, middle - high * half, _LEFT + x, middle - low * half), _WAVE_INK)
        self._label("amplitude", top + _WAVE / 2)

    def _spectrogram(self, top: int) -> None:
        levels = 10 * np.log10(np.maximum(self._columns[:, 2:], 1e-12))
        levels = np.clip(1 + (levels - levels.max()) / _RANGE_DB, 0, 1).T[::-1]
        shades = PIL.Image.fromarray((levels * 255).astype(np.uint8)).resize(
            (self._width, _MEL), PIL.Image.Resampling.BILINEAR
        )
        self._image.paste(PIL.Image.fromarray(_palette()[np.asarray(shades)]), (_LEFT, top))
        for hertz in _HERTZ:
            if hertz <= self._rate / 2:
                y = top + _MEL * (1 - _mel(hertz) / _mel(self._rate / 2))
                self._pen.line((_LEFT - 5, y, _LEFT, y), _INK)
                name = f"{hertz // 1000} k" if hertz >= 1000 else str(hertz)
                self._pen.text((_LEFT - 8, y), name, _INK, self._font, anchor="rm")
        self._label("Hz (mel)", top + _MEL / 2)
        bar = PIL.Image.fromarray(np.repeat(_palette()[::-1][:, None], 16, axis=1)).resize((16, _MEL))
        left = _LEFT + self._width + 20
        self._image.paste(bar, (left, top))
        for level in range(0, int(_RANGE_DB) + 1, 20):
            y = top + _MEL * level / _RANGE_DB
            self._pen.text((left + 24, y), f"-{level} dB" if level else "0 dB", _INK, self._font, anchor="lm")

    def _label(self, text: str, middle: float) -> None:
        """What an axis measures, written upwards at the left."""
        label = PIL.Image.new("RGB", (160, 22), _PAPER)
        PIL.ImageDraw.Draw(label).text((80, 11), text, _INK, self._font, anchor="mm")
        self._image.paste(label.rotate(90, expand=True), (8, round(middle - 80)))

    def _times(self, y: int) -> None:
        step = next((step for step in _STEPS if self._seconds / step <= 12), _STEPS[-1])
        for number in range(int(self._seconds / step) + 1):
            x = _LEFT + self._width * number * step / self._seconds
            self._pen.line((x, y, x, y + 5), _INK)
            self._pen.text((x, y + 8), _time(number * step, step), _INK, self._font, anchor="mt")
        self._pen.text(
            (_LEFT + self._width / 2, y + 34), "seconds" if step < 60 else "time", _INK, self._font, anchor="mt"
        )


def _time(seconds: float, step: float) -> str:
    if step < 60:
        return f"{seconds:.1f}" if step < 1 else f"{seconds:.0f}"
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}"


def _palette() -> NDArray[np.uint8]:
    """256 colours: [level, 3]."""
    points = np.linspace(0, 255, len(_COLOURS))
    channels = [np.interp(np.arange(256), points, [colour[i] for colour in _COLOURS]) for i in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)
