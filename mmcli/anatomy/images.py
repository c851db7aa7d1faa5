"""How many tokens of the text a picture costs, by the rule of its model's family and the settings of its processor.

A rule counts what the processor puts in the place of one picture's mark; marks that a chat template sets around it are
not counted. A family without a rule is not guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mmcli.anatomy import rules
from mmcli.anatomy.checkpoint import table
from mmcli.anatomy.numbers import number, side
from mmcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mmcli.anatomy.checkpoint import Checkpoint

LOW = 512
"""Pixels of a side that `low` stands for."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a picture of `width` x `height` pixels costs. `tiles` is how many pictures the encoder sees for it.

    Where nothing tells the number it is None, and `how` says why.
    """

    width: int
    height: int
    tokens: int | None
    tiles: int | None
    how: str


def cost(checkpoint: Checkpoint, width: int, height: int, detail: str | None = None) -> Cost:
    """What a picture of that many pixels costs, as far as the family has a rule and the folder the settings for it.

    `detail` as in AnswerOptions: low, high, or the most pixels of a side. InputError for a picture that the processor
    refuses, UsageError for another `detail`.
    """
    rule = RULES.get(family(checkpoint))
    limit = side_of(detail)
    if rule is None:
        return Cost(width, height, None, None, "not known for this family")
    settings, (w, h) = rules.Settings(checkpoint, checkpoint.image), (width, height)
    if limit is not None:
        adjust = _ADJUST.get(rule)
        if adjust is not None:
            settings = replace(settings, image=adjust(settings, limit))
        elif max(w, h) > limit:
            w, h = max(1, w * limit // max(w, h)), max(1, h * limit // max(w, h))
    try:
        tokens, tiles, how = rule(settings, w, h)
    except LookupError as error:
        return Cost(width, height, None, None, f"not known without {error.args[0]}")
    return Cost(width, height, tokens, tiles, how)


def family(checkpoint: Checkpoint) -> str:
    """The key of the rule: config.json's `model_type`, but for Pixtral, which is a LLaVA with another encoder."""
    if checkpoint.kind == "llava" and table(checkpoint.config, "vision_config").get("model_type") == "pixtral":
        return "pixtral"
    return checkpoint.kind


def side_of(detail: str | None) -> int | None:
    """The most pixels of a side that `detail` stands for; None leaves pictures to the model's own settings."""
    if detail in (None, "high"):
        return None
    if detail == "low":
        return LOW
    if detail is None or not detail.isdecimal() or not 16 <= int(detail) <= 100_000:
        raise UsageError(f'"{detail}" is no detail', "low, high, or the most pixels of a side (16 or more)")
    return int(detail)


RULES: dict[str, Callable[[rules.Settings, int, int], tuple[int, int, str]]] = {
    **dict.fromkeys(("llava", "vipllava", "video_llava"), rules.llava),
    **dict.fromkeys(("llava_next", "llava_next_video"), rules.llava_next),
    "llava_onevision": rules.llava_onevision,
    **dict.fromkeys(
        (
            "qwen2_vl",
            "qwen2_5_vl",
            "qwen3_vl",
            "qwen3_vl_moe",
            "qwen3_5",
            "qwen3_5_moe",
            "qwen2_5_omni",
            "qwen3_omni_moe",
            "video_llama_3",
        ),
        rules.qwen,
    ),
    **dict.fromkeys(("glm4v", "glm4v_moe", "glm46v"), rules.glm),
    **dict.fromkeys(("pixtral", "mistral3"), rules.pixtral),
    **dict.fromkeys(("idefics3", "smolvlm"), rules.idefics3),
    "idefics2": rules.idefics2,
    "internvl": rules.internvl,
    **dict.fromkeys(("gemma3", "gemma3n"), rules.gemma3),
    "paligemma": rules.paligemma,
    **dict.fromkeys(("blip-2", "instructblip"), rules.queries),
    "florence2": rules.florence2,
    "aria": rules.aria,
    "molmo2": rules.molmo2,
    "mllama": rules.mllama,
}
"""By config.json's `model_type`."""


# ---------------------------------------------------------------- settings that --detail changes


def _fewer_pixels(s: rules.Settings, limit: int, default: tuple[int, int]) -> dict[str, Any]:
    least, most = rules.budget(s, default)
    most = min(most, limit * limit)
    return {**s.image, "min_pixels": min(least, most), "max_pixels": most}


def _shorter_edge(s: rules.Settings, limit: int) -> dict[str, Any]:
    edge = side(s.image.get("size"), "longest_edge") or 4 * 364
    return {**s.image, "size": {"longest_edge": min(edge, limit)}}


def _fewer_tiles(s: rules.Settings, limit: int) -> dict[str, Any]:
    tile = side(s.image.get("size"), "height") or 384
    most = max(1, min(number(s.image, "max_patches") or 12, (limit // tile) ** 2))
    return {**s.image, "max_patches": most, "min_patches": min(number(s.image, "min_patches") or 1, most)}


# Rules whose processors scale small pictures up, so that shrinking a picture beforehand would save nothing.
_ADJUST: dict[Any, Callable[[rules.Settings, int], dict[str, Any]]] = {
    rules.qwen: partial(_fewer_pixels, default=rules.QWEN_BUDGET),
    rules.glm: partial(_fewer_pixels, default=rules.GLM_BUDGET),
    rules.idefics3: _shorter_edge,
    rules.internvl: _fewer_tiles,
}
