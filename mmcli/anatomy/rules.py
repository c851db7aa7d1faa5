"""The rules of the families: how many tokens their processors put in the place of one picture.

Each takes the processor's settings and the picture's width and height in pixels, and gives tokens, how many pictures the
encoder sees, and how they come about. LookupError names a setting that is needed and missing. Defaults are those of
transformers' processors.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mmcli.anatomy.checkpoint import table
from mmcli.anatomy.numbers import number, side
from mmcli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from mmcli.anatomy.checkpoint import Checkpoint

_MAX_TILES = 256
_MAX_ASPECT = 200


QWEN_BUDGET = (56 * 56, 28 * 28 * 1280)
GLM_BUDGET = (112 * 112, 28 * 28 * 15000)
"""Fewest and most pixels of a picture where the settings name none."""


@dataclass(frozen=True)
class Settings:
    """What a rule looks at: the checkpoint, and the settings of its image processor, which `--detail` may have changed."""

    checkpoint: Checkpoint
    image: Mapping[str, Any]

    @property
    def config(self) -> Mapping[str, Any]:
        return self.checkpoint.config

    @property
    def processor(self) -> Mapping[str, Any]:
        return self.checkpoint.processor

    @cached_property
    def vision(self) -> Mapping[str, Any]:
        return table(self.config, "vision_config")

    def need(self, found: int | None, what: str) -> int:
        if found is None:
            raise LookupError(what)
        return found

    def length(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer."""
        file = self.checkpoint.folder / "tokenizer.json"
        if not file.is_file():
            raise LookupError("tokenizer.json")
        from tokenizers import Tokenizer

        try:
            return len(Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids)
        except Exception as error:  # the library raises nothing more special
            raise InputError(str(file), f"cannot be read ({error})") from error


def llava(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """LLaVA-1.5: one square, a token a patch. https://arxiv.org/abs/2310.03744"""
    box = s.image.get("crop_size") if s.image.get("do_center_crop") is not False else None
    h, w = side(box or s.image.get("size"), "height"), side(box or s.image.get("size"), "width")
    patch = s.need(_patch(s), "patch_size")
    rows, columns = s.need(h, "size") // patch, s.need(w, "size") // patch
    return rows * columns + _extra(s), 1, f"{rows} x {columns} patches"


def _patch(s: Settings) -> int | None:
    return side(s.processor.get("patch_size"), "height") or number(s.vision, "patch_size")


def _extra(s: Settings) -> int:
    """The class token: the encoder's one more, which the strategy "default" leaves out again."""
    strategy = s.processor.get("vision_feature_select_strategy") or s.config.get(
        "vision_feature_select_strategy", "default"
    )
    skipped = int(strategy == "default")
    added = s.processor.get("num_additional_image_tokens")
    return (added if type(added) is int else skipped) - skipped


def llava_next(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """LLaVA-NeXT: the whole and tiles of the best grid, without the padding, a mark a row. https://llava-vl.github.io/blog/2024-01-30-llava-next/"""
    tile = s.need(side(s.image.get("crop_size") or s.image.get("size"), "height"), "size")
    patches = tile // s.need(_patch(s), "patch_size")
    rows, columns = _best_grid(s, width, height, tile)
    h, w = _unpadded(width, height, patches * rows, patches * columns)
    tokens = h * w + h + patches * patches + _extra(s)
    return tokens, 1 + rows * columns, f"{rows} x {columns} tiles and the whole"


def llava_onevision(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """LLaVA-OneVision: as LLaVA-NeXT, pooled where tiles would cost more than anyres_max_N. https://arxiv.org/abs/2408.03326"""
    tile = s.need(side(s.image.get("size"), "height"), "size")
    base = number(s.processor, "num_image_tokens") or (tile // s.need(_patch(s), "patch_size")) ** 2
    patches = math.isqrt(base)
    rows, columns = _best_grid(s, width, height, tile)
    h, w = _unpadded(width, height, patches * rows, patches * columns)
    most = str(s.processor.get("vision_aspect_ratio") or s.config.get("vision_aspect_ratio") or "anyres_max_9")
    most = most.rpartition("_")[2]
    ratio = math.sqrt(h * w / ((int(most) if most.isdecimal() and int(most) else 9) * patches**2))
    if ratio > 1.1:
        h, w = int(h // ratio), int(w // ratio)
    strategy = s.processor.get("vision_feature_select_strategy") or s.config.get("vision_feature_select_strategy")
    tokens = h * w + h + base - int(strategy == "default")
    return tokens, 1 + rows * columns, f"{rows} x {columns} tiles and the whole"


def _best_grid(s: Settings, width: int, height: int, tile: int) -> tuple[int, int]:
    pinpoints = s.image.get("image_grid_pinpoints") or s.config.get("image_grid_pinpoints")
    h, w = _best_resolution(list(_pairs(pinpoints)), width, height)
    return max(1, h // tile), max(1, w // tile)


def _pairs(points: Any) -> Iterator[tuple[int, int]]:
    """The sound ones among [height, width] pairs."""
    for point in points if isinstance(points, list) else ():
        if isinstance(point, list) and len(point) == 2 and all(type(n) is int and 0 < n < 1 << 16 for n in point):
            yield point[0], point[1]


def _best_resolution(points: list[tuple[int, int]], width: int, height: int) -> tuple[int, int]:
    """That (height, width) in which most of the picture's pixels survive, and of those the smallest."""
    if not points:
        raise LookupError("image_grid_pinpoints")

    def worth(point: tuple[int, int]) -> tuple[int, int]:
        scale = min(point[1] / width, point[0] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - point[0] * point[1]

    return max(points, key=worth)


def _unpadded(width: int, height: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of patches that the picture covers in a grid which it does not fill."""
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    return rows, columns


def qwen(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Qwen2-VL: any size within a budget of pixels, 2 x 2 patches a token. https://arxiv.org/abs/2409.12191"""
    return _scaled(s, width, height, 1, QWEN_BUDGET)


def glm(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """GLM-4.1V: as Qwen2-VL, a picture being two frames of the budget. https://arxiv.org/abs/2507.01006"""
    factor = _factor(s)
    if min(width, height) < factor:
        scale = max(factor / height, factor / width)
        width, height = int(width * scale), int(height * scale)
    frames = number(s.image, "temporal_patch_size") or 2
    return _scaled(s, width, height, frames, GLM_BUDGET)


def _factor(s: Settings) -> int:
    return (number(s.image, "patch_size") or 14) * (number(s.image, "merge_size") or 2)


def budget(s: Settings, default: tuple[int, int]) -> tuple[int, int]:
    """Fewest and most pixels of a picture; older settings have names of their own for them."""
    size = table(s.image, "size")
    least = number(s.image, "min_pixels") or number(size, "shortest_edge", "min_pixels") or default[0]
    most = number(s.image, "max_pixels") or number(size, "longest_edge", "max_pixels") or default[1]
    return least, most


def _scaled(s: Settings, width: int, height: int, frames: int, default: tuple[int, int]) -> tuple[int, int, str]:
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise InputError(
            f"{width}x{height}", f"is more than {_MAX_ASPECT} times as long as wide, which the model refuses"
        )
    factor = _factor(s)
    least, most = budget(s, default)
    h, w = round(height / factor) * factor, round(width / factor) * factor
    if frames * h * w > most:
        shrink = math.sqrt(frames * height * width / most)
        h = max(factor, math.floor(height / shrink / factor) * factor)
        w = max(factor, math.floor(width / shrink / factor) * factor)
    elif frames * h * w < least:
        grow = math.sqrt(least / (frames * height * width))
        h, w = math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return (h // factor) * (w // factor), 1, f"scaled to {w} x {h} pixels, a token for {factor} x {factor}"


def pixtral(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Pixtral: any size up to a longest edge, a mark at the end of each row. https://arxiv.org/abs/2410.07073"""
    patch = s.need(_patch(s) or 16, "patch_size") * (
        number(s.processor, "spatial_merge_size") or number(s.config, "spatial_merge_size") or 1
    )
    edge = side(s.image.get("size"), "longest_edge") or 1024
    ratio = max(height / edge, width / edge)
    if ratio > 1:
        height, width = math.floor(height / ratio), math.floor(width / ratio)
    rows, columns = (height - 1) // patch + 1, (width - 1) // patch + 1
    return (columns + 1) * rows, 1, f"{rows} rows of {columns} and a mark"


def idefics3(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Idefics3 and SmolVLM: tiles in rows, each with marks, and the whole. https://arxiv.org/abs/2408.12637"""
    tile = side(s.image.get("max_image_size"), "longest_edge") or 364
    edge = side(s.image.get("size"), "longest_edge") or 4 * 364
    each = number(s.processor, "image_seq_len") or 169
    if s.image.get("do_image_splitting") is False:
        return each + 3, 1, "the whole"
    h, w = _to_edge(width, height, min(edge, 4096))
    rows, columns = _whole_tiles(w, h, tile)
    if rows * columns == 1:
        return each + 3, 1, "the whole"
    if max(rows, columns) > 6:  # beyond, the tokenizer has no marks for the places
        raise LookupError("marks for so many tiles")
    breaks = (rows - 1) * s.length("\n") + s.length("\n\n")
    return (
        rows * columns * (each + 2) + breaks + each + 3,
        rows * columns + 1,
        f"{rows} x {columns} tiles and the whole",
    )


def _to_edge(width: int, height: int, edge: int) -> tuple[int, int]:
    """Height and width with the longer one at `edge` and the other one even."""
    aspect = width / height
    if width >= height:
        other = int(edge / aspect)
        return max(other + other % 2, 1), edge
    other = int(edge * aspect)
    return edge, max(other + other % 2, 1)


def _whole_tiles(width: int, height: int, tile: int) -> tuple[int, int]:
    """Rows and columns of tiles, the longer side rounded up first."""
    aspect = width / height
    if width >= height:
        columns = math.ceil(width / tile)
        return math.ceil(int(columns * tile / aspect) / tile), columns
    rows = math.ceil(height / tile)
    return rows, math.ceil(int(rows * tile * aspect) / tile)


def idefics2(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Idefics2: the same number for every size, five times it where pictures are split. https://arxiv.org/abs/2405.02246"""
    each = number(s.processor, "image_seq_len") or 64
    tiles = 5 if s.image.get("do_image_splitting") is True else 1
    return tiles * (each + 1) + 1, tiles, f"{tiles} x {each}"


def internvl(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """InternVL: the grid of tiles with the nearest aspect, and a thumbnail. https://arxiv.org/abs/2404.16821"""
    size = s.image.get("size")
    tile_h, tile_w = side(size, "height") or 384, side(size, "width") or 384
    least, most = number(s.image, "min_patches") or 1, min(number(s.image, "max_patches") or 12, _MAX_TILES)
    grids = [(w, h) for w in range(1, most + 1) for h in range(1, most + 1) if least <= w * h <= most]
    best, gap = (1, 1), math.inf
    for w, h in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        off = abs(width / height - w / h)
        if off < gap or (off == gap and width * height > 0.5 * tile_h * tile_w * w * h):
            best, gap = (w, h), off
    columns, rows = best if most > 1 else (1, 1)
    tiles = rows * columns + 1 if rows * columns > 1 else 1
    each = number(s.processor, "image_seq_length") or 256
    return tiles * each + 2, tiles, f"{rows} x {columns} tiles{' and a thumbnail' if tiles > 1 else ''}"


def gemma3(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Gemma 3: the same number for every size, two marks, and line breaks. https://arxiv.org/abs/2503.19786"""
    each = number(s.processor, "image_seq_length") or number(s.config, "mm_tokens_per_image") or 256
    return each + 2 + 2 * s.length("\n\n"), 1, f"{each} and the marks around them"


def paligemma(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """PaliGemma: a token a patch of one square. https://arxiv.org/abs/2407.07726"""
    each = number(s.image, "image_seq_length") or number(table(s.config, "text_config"), "num_image_tokens")
    return s.need(each, "image_seq_length"), 1, "one square"


def queries(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """BLIP-2: one token a query of the Q-former. https://arxiv.org/abs/2301.12597"""
    each = number(s.processor, "num_query_tokens") or number(s.config, "num_query_tokens") or 32
    return each, 1, f"{each} queries"


def florence2(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Florence-2: a token a cell of the encoder's last stage and their mean. https://arxiv.org/abs/2311.06242"""
    return s.need(number(s.image, "image_seq_length"), "image_seq_length"), 1, "one square"


def aria(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Aria: the same number for every size; its processor splits nothing unasked. https://arxiv.org/abs/2410.05993"""
    return number(table(s.processor, "size_conversion"), "980") or 256, 1, "one square"


def molmo2(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Molmo 2: a small view and overlapping crops, pooled 2 x 2, with marks. https://github.com/allenai/molmo2"""
    patch, most = number(s.image, "patch_size") or 14, min(number(s.image, "max_crops") or 8, _MAX_TILES)
    base = side(s.image.get("size"), "height") or 378
    left, right = next(_pairs([s.image.get("overlap_margins")]), (4, 4))
    pool_h, pool_w = next(_pairs([s.image.get("pooling_size")]), (2, 2))
    window, margin = (base // patch - left - right) * patch, (left + right) * patch
    if window <= 0:
        raise LookupError("overlap_margins")
    rows, columns = _tiling(height - margin, width - margin, window, most)
    high_h = math.ceil((rows * window + margin) // patch / pool_h)
    high_w = math.ceil((columns * window + margin) // patch / pool_w)
    low_h, low_w = math.ceil(base // patch / pool_h), math.ceil(base // patch / pool_w)
    marks = int(s.processor.get("image_use_col_tokens") is not False)
    low_marks = s.processor.get("use_single_crop_col_tokens")
    low_marks = marks if low_marks is None else int(bool(low_marks))
    tokens = low_h * (low_w + low_marks) + high_h * (high_w + marks) + 4
    return tokens, rows * columns + 1, f"{rows} x {columns} crops and the whole"


def _tiling(height: int, width: int, window: int, most: int) -> tuple[int, int]:
    """The grid that needs the least enlarging, or else shrinks least; in float32, as ties depend on it."""

    def scale(grid: tuple[int, int]) -> float:
        return min(_divided(grid[0] * window, height), _divided(grid[1] * window, width))

    grids = [(h, w) for h in range(1, most + 1) for w in range(1, most + 1) if h * w <= most]
    grids.sort(key=lambda grid: (grid[0] * grid[1], grid[0]))
    growing = [grid for grid in grids if scale(grid) >= 1]
    return min(growing, key=scale) if growing else max(grids, key=scale)


def _divided(above: int, below: int) -> float:
    value = above / below if below else math.inf
    return float(struct.unpack("f", struct.pack("f", value))[0])


def mllama(s: Settings, width: int, height: int) -> tuple[int, int, str]:
    """Llama 3.2 Vision: one mark in the text, the picture itself goes through cross-attention. https://arxiv.org/abs/2407.21783"""
    tile, most = side(s.image.get("size"), "height") or 224, min(number(s.image, "max_image_tiles") or 4, _MAX_TILES)
    grids = [(h, w) for h in range(1, most + 1) for w in range(1, most + 1) if h * w <= most]
    scales = {grid: min(grid[0] * tile / height, grid[1] * tile / width) for grid in grids}
    growing = [value for value in scales.values() if value >= 1]
    best = min(growing) if growing else max(scales.values())
    rows, columns = min((grid for grid, value in scales.items() if value == best), key=lambda grid: grid[0] * grid[1])
    patches = (tile // (number(s.vision, "patch_size") or 14)) ** 2 + 1
    return 1, rows * columns, f"one mark; {rows} x {columns} tiles of {patches} through cross-attention"
