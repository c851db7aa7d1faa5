"""Bars of a chart joined to their legend by colour: the value that is written at the end of a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from mmcli.engines.backbone.reader.values import is_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mmcli.engines.backbone.reader.sheet import Cell, Row

_SIDE = 800
# Of 255: below this difference of the channels a colour is a grey, and below this distance two colours are one.
_COLOURED = 40
_SAME = 36

_Box = tuple[int, int, int, int]


def series(picture: PIL.Image.Image, rows: tuple[Row, ...]) -> dict[Cell, tuple[Cell, ...]]:
    """For each entry of a legend (a word with a coloured mark at its left, or in colour) the values of its bars."""
    cells = [cell for row in rows for cell in row]
    values = [cell for cell in cells if is_value(cell.text)]
    names = [cell for cell in cells if cell not in values and 0 < len(cell.words) <= 5]
    if len(values) < 2 or not names or len(cells) > 150:
        return {}
    scale = min(1.0, _SIDE / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    pixels = np.asarray(picture.resize(size, PIL.Image.Resampling.BOX), np.int16)
    found = {}
    for name in names:
        colour = _mark(pixels, name, scale)
        if colour is not None:
            ends = tuple(_values(_like(pixels, colour), name, values, scale))
            if ends:
                found[name] = ends
    # one colour alone is decoration, and so are areas that several words share
    shared = {value for ends in found.values() for value in ends if sum(value in other for other in found.values()) > 1}
    return found if len(found) > 1 and not shared else {}


def _mark(pixels: NDArray[np.int16], name: Cell, scale: float) -> NDArray[np.int16] | None:
    """The colour of a word, or of the mark at its left."""
    height = name.height
    own = _area(pixels, (name.left, name.top, name.right, name.bottom), scale)
    if not len(own):
        return None
    ground = np.median(own, axis=0)
    for left, right in ((name.left, name.right), (name.left - 1.6 * height, name.left + 0.4 * height)):
        area = _area(pixels, (left, name.top, right, name.bottom), scale)
        different = np.abs(area - ground).max(axis=1) > _SAME
        coloured = area[different & (np.ptp(area, axis=1) > _COLOURED)]
        if len(coloured) >= 0.08 * max(1, len(area)) and len(coloured) >= 8:
            middle: NDArray[np.int16] = np.median(coloured, axis=0).astype(np.int16)
            if (np.abs(coloured - middle).max(axis=1) < _SAME).mean() > 0.5 and np.ptp(middle) > _COLOURED:
                return middle
    return None


def _area(pixels: NDArray[np.int16], box: tuple[float, float, float, float], scale: float) -> NDArray[np.int16]:
    left, top, right, bottom = (max(0, round(edge * scale)) for edge in box)
    return pixels[top:bottom, left:right].reshape(-1, 3)


def _like(pixels: NDArray[np.int16], colour: NDArray[np.int16]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = np.abs(pixels - colour).max(axis=2) < _SAME
    return result


def _values(mask: NDArray[np.bool_], name: Cell, values: list[Cell], scale: float) -> Iterator[Cell]:
    """The values written at the ends of the bars of one colour."""
    own = [round(edge * scale) for edge in (name.left - 2 * name.height, name.top, name.right, name.bottom)]
    mask = mask.copy()
    mask[max(0, own[1]) : own[3], max(0, own[0]) : own[2]] = False
    thick = 0.5 * name.height * scale
    for left, right in _runs(mask.sum(axis=0) > thick, thick):
        for top, bottom in _runs(mask[:, left:right].mean(axis=1) > 0.5, thick):
            value = _at_end((left / scale, top / scale, right / scale, bottom / scale), values)
            if value is not None:
                yield value


def _runs(present: NDArray[Any], shortest: float) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start >= shortest:
            yield int(start), int(end)


def _at_end(bar: tuple[float, float, float, float], values: list[Cell]) -> Cell | None:
    """The value above a bar, inside it, or at its right end, whichever is nearest."""
    left, top, right, bottom = bar
    near: list[tuple[float, Cell]] = []
    for value in values:
        if left <= value.x <= right and top - 1.8 * value.height < value.y < bottom:
            near.append((abs(value.y - top), value))
        elif top <= value.y <= bottom and right < value.x and value.left - right < 1.5 * value.height:
            near.append((abs(value.left - right), value))
    return min(near, key=lambda item: item[0])[1] if near else None
