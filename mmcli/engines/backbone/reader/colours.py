"""The main colours of a picture, in plain words."""

from __future__ import annotations

import colorsys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

# Upper ends of the hues in degrees.
_HUES = (
    (15, "red"),
    (42, "orange"),
    (68, "yellow"),
    (165, "green"),
    (195, "cyan"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (360, "red"),
)
_SHARE = 0.08


def colour_names(picture: PIL.Image.Image) -> list[str]:
    """Names of the colours that cover at least 8 in 100 of a picture, the largest first; at most five."""
    pixels = np.asarray(picture.resize((64, 64))).reshape(-1, 3)
    counted = Counter(_name(*(int(channel) for channel in pixel)) for pixel in pixels)
    common = [name for name, count in counted.most_common(5) if count >= _SHARE * len(pixels)]
    return common or [counted.most_common(1)[0][0]]


def _name(red: int, green: int, blue: int) -> str:
    hue, lightness, _ = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    chroma = (max(red, green, blue) - min(red, green, blue)) / 255
    if lightness < 0.12:
        return "black"
    if lightness > 0.92 and chroma < 0.15:
        return "white"
    if chroma < 0.12:
        return "black" if lightness < 0.2 else "white" if lightness > 0.88 else "grey"
    name = next(name for end, name in _HUES if hue * 360 <= end)
    if name in ("orange", "red") and lightness < 0.4 and 10 <= hue * 360 <= 45:
        return "brown"
    return "pink" if name == "red" and lightness > 0.75 else name
