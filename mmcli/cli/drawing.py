"""Places that an answer names, on the way to a drawn picture and to records."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from mmcli import ui
from mmcli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mmcli.places import Region
    from mmcli.stages import Attachment, Image


def record_of(region: Region) -> dict[str, Any]:
    """A region for machines: its label, the picture's name, and a point, a box or a polygon."""
    kind, value = {1: ("point", region.points[0]), 2: ("box", tuple(chain(*region.points)))}.get(
        len(region.points), ("polygon", region.points)
    )
    codes = {"codes": region.codes} if region.codes else {}
    return {"label": region.label, "picture": region.source, kind: value, **codes}


def check_draw(path: Path | None, *, each: bool) -> None:
    """UsageError for a name without the suffix of a picture, or many pictures for one name."""
    if path is None:
        return
    if each:
        raise UsageError("--draw draws one picture, and --each asks about many", "ask about one at a time")
    from mmcli.media.drawing import check_suffix

    check_suffix(path)


def picture_to_draw(path: Path | None, attachments: Iterable[Attachment]) -> Image | None:
    """The first picture of the attachments, where one is to be drawn on. UsageError where there is none."""
    if path is None:
        return None
    from mmcli.stages import Image

    picture = next((given for given in attachments if isinstance(given, Image)), None)
    if picture is None:
        raise UsageError("--draw draws on a picture, and none is attached", "give one with -a FILE")
    return picture


def draw_regions(path: Path, picture: Image, regions: Iterable[Region]) -> None:
    """Write the picture with its regions; a note where there are none."""
    from mmcli.media.drawing import write_drawn

    own = [region for region in regions if region.source == picture.source]
    write_drawn(path, picture.pixels(), own)
    if not own:
        ui.note(f"the answer names no place in {picture.source}, so nothing is drawn on it")
