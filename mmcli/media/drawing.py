"""Regions drawn on their picture, each label in a colour of its own, to be seen on any background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import PIL.Image
from PIL import ImageDraw, ImageFont

from mmcli.errors import UsageError
from mmcli.media.files import atomic_path, display_name
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmcli.places import Point, Region

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_QUALITY = 92
# Far apart from each other, for those who do not tell red from green, too (Okabe and Ito's), then begun anew.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF")
# Of the picture's shorter side.
_LINE, _LETTER = 1 / 250, 1 / 28
_LONGEST = 60
# The letters that Pillow brings are Latin; for others the first of these that the system has.
_FONTS = (
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "Arial Unicode.ttf", "msyh.ttc"),
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "FreeSans.ttf"),
)
_LATIN_END = 0x180


def check_suffix(path: Path) -> None:
    """UsageError for a file name without the suffix of a picture format that can be written."""
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"{display_name(path)}: cannot be drawn as that", f"name a file that ends in {', '.join(_FORMATS)}"
        )


def write_drawn(path: Path, picture: PIL.Image.Image, regions: Sequence[Region]) -> None:
    """The picture with its regions as a file. OutputError where it cannot be written."""
    check_suffix(path)
    with atomic_path(path) as aside:
        drawn(picture, regions).save(aside, _FORMATS[path.suffix.lower()], quality=_QUALITY)


def drawn(picture: PIL.Image.Image, regions: Sequence[Region]) -> PIL.Image.Image:
    """A copy of the picture (RGB) with its regions: the largest first, so that none hides another; then their labels."""
    drawing = picture.convert("RGB")
    pen = _Pen(drawing, "".join(region.label for region in regions))
    colours: dict[str, str] = {}
    for region in regions:
        colours.setdefault(region.label, _COLOURS[len(colours) % len(_COLOURS)])
    ordered = sorted(regions, key=lambda region: -_area(region.points))
    for region in ordered:
        pen.shape(region.points, colours[region.label])
    for region in ordered:
        if region.label:
            pen.label(region.points, region.label, colours[region.label])
    return drawing


def _area(points: Sequence[Point]) -> float:
    xs, ys = zip(*points, strict=True)
    return float((max(xs) - min(xs)) * (max(ys) - min(ys)))


class _Pen:
    """Lines and letters whose size goes with the picture's."""

    def __init__(self, picture: PIL.Image.Image, letters: str) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._size = picture.size
        self._line = max(2, round(min(picture.size) * _LINE))
        self._font = _font(max(11, round(min(picture.size) * _LETTER)), letters)

    def shape(self, points: Sequence[Point], colour: str) -> None:
        """A point, box or outline, with a dark edge where the background may have its colour."""
        for width, shade in ((self._line + 2 * max(1, self._line // 3), "black"), (self._line, colour)):
            if len(points) == 1:
                (x, y), radius = points[0], self._line + width
                self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade)
                continue
            if len(points) == 2:
                (left, top), (right, bottom) = points
                corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            else:
                corners = list(points)
            # Two corners more, so that the last joint is round as well.
            self._draw.line([*corners, corners[0], corners[1]], fill=shade, width=width, joint="curve")

    def label(self, points: Sequence[Point], label: str, colour: str) -> None:
        """The label on a plate above the shape, else inside it, always within the picture."""
        text = visible(label, keep="", instead=" ")
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        pad = self._line
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=self._font)
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        x, y = min(x for x, _ in points), min(y for _, y in points)
        x = max(0.0, min(x, self._size[0] - width))
        y = y - height if y >= height else y
        y = max(0.0, min(y, self._size[1] - height))
        self._draw.rectangle((x, y, x + width, y + height), fill=colour, outline="black")
        ink = "white" if colour in ("#0072B2", "#D55E00", "#009E73") else "black"
        self._draw.text((x + pad - left, y + pad - top), text, font=self._font, fill=ink)


def _font(size: int, letters: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in _FONTS if any(ord(letter) >= _LATIN_END for letter in letters) else ():
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
