"""Places in pictures, as answers name them. How models write them is media/regions.py's to know."""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]
"""x to the right and y downwards, in pixels."""


@dataclass(frozen=True, slots=True)
class Region:
    """A place in a picture that an answer names: one point, a box by its left top and right bottom corners, or an outline.

    Its points are in pixels of the picture as it was given, whose name is `source`.
    """

    label: str
    source: str
    points: tuple[Point, ...]
    codes: tuple[int, ...] = ()
    """What a model says of the outline inside the box in numbers of its own (PaliGemma's 16), which nobody decodes."""
