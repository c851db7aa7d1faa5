"""The places that an answer names in its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcli.media.regions import Shown, parse, place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcli.engines.backbone.transformers_backbone.conversations import Prompt
    from mmcli.engines.backbone.transformers_backbone.loading import Loaded
    from mmcli.engines.backbone.transformers_backbone.media import Picture
    from mmcli.places import Region


def regions(loaded: Loaded, ids: list[int], prompt: Prompt) -> tuple[Region, ...]:
    """Those in the pictures of the newest message that has some; nothing for a model that has no rule for places."""
    turns = prompt.turns[0]
    at = next((at for at in reversed(range(len(turns))) if turns[at].pictures), None)
    if loaded.coordinates is None or at is None:
        return ()
    if loaded.family.marks is not None:
        picture = turns[at].pictures[0]
        shown = [Shown(picture.source, picture.size, picture.size)]
        return place(list(loaded.family.marks(loaded, ids, turns)), loaded.coordinates, shown)
    before = sum(len(turn.pictures) for turn in turns[:at])
    shown = [
        Shown(picture.source, picture.size, _seen(loaded, prompt.inputs, before + number, picture))
        for number, picture in enumerate(turns[at].pictures)
    ]
    return parse(loaded.tokenizer.decode(ids, skip_special_tokens=False), loaded.coordinates, shown)


def _seen(loaded: Loaded, inputs: Mapping[str, Any], number: int, picture: Picture) -> tuple[int, int]:
    """Width and height with which the model saw a picture: the families of Qwen2-VL round them to whole patches."""
    grids = inputs.get("image_grid_thw")
    if grids is None:
        return picture.pixels.size
    _, rows, columns = grids[number].tolist()
    patch = loaded.processor.image_processor.patch_size
    return columns * patch, rows * patch
