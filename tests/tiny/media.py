"""Pictures for the tiny checkpoints, as unlike each other as can be, and as the stages of mmcli take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from mmcli.stages import Image, Video

if TYPE_CHECKING:
    from collections.abc import Sequence


def _noise() -> PIL.Image.Image:
    blocks = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return PIL.Image.fromarray(blocks.repeat(2, 0).repeat(2, 1))


def _gradient() -> PIL.Image.Image:
    return PIL.Image.fromarray(np.linspace(0, 255, 80 * 120 * 3).reshape(80, 120, 3).astype(np.uint8))


NOISE, GRADIENT = _noise(), _gradient()
"""Both are 120 pixels wide and 80 high."""


def image(picture: PIL.Image.Image) -> Image:
    return Image("drawn.png", picture.width, picture.height, lambda: picture)


def video(frames: Sequence[PIL.Image.Image]) -> Video:
    """The frames are a second apart."""
    shown = [(float(second), frame) for second, frame in enumerate(frames)]
    return Video("drawn.mp4", float(len(frames)), frames[0].width, frames[0].height, lambda: iter(shown))
