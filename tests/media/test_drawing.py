"""Regions on a picture: where they are, in which colours, within which bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mmcli.errors import OutputError, UsageError
from mmcli.media.drawing import drawn, write_drawn
from mmcli.places import Region

BOX = Region("dog", "p", ((100.0, 80.0), (300.0, 200.0)))


def blank(colour: str = "grey", size: tuple[int, int] = (400, 300)) -> PIL.Image.Image:
    return PIL.Image.new("RGB", size, colour)


def changed(regions: list[Region], size: tuple[int, int] = (400, 300)) -> np.ndarray:
    """Where drawing changed a grey picture."""
    return (np.asarray(drawn(blank(size=size), regions)) != np.asarray(blank(size=size))).any(axis=2)


def test_a_box_is_a_frame_with_its_label_above_and_nothing_else() -> None:
    where = changed([BOX])
    rows, columns = np.nonzero(where)
    assert abs(columns.min() - 100) <= 3
    assert abs(columns.max() - 300) <= 3
    assert abs(rows.max() - 200) <= 3
    assert 50 < rows.min() < 78, "the label stands above"
    assert not where[90:190, 110:290].any(), "what is shown stays to be seen"


@pytest.mark.parametrize("background", ["black", "white", "#E69F00", "#56B4E9"])
def test_lines_are_seen_on_any_background(background: str) -> None:
    before = np.asarray(blank(background)).astype(int)
    after = np.asarray(drawn(blank(background), [BOX])).astype(int)
    across = np.abs(after - before)[190, 95:106].sum(axis=1)
    assert across.max() > 150


def test_each_label_has_a_colour_of_its_own() -> None:
    boxes = [
        Region(name, "p", ((x, 100.0), (x + 60, 160.0))) for name, x in (("dog", 10.0), ("cat", 110.0), ("dog", 210.0))
    ]
    picture = drawn(blank(), boxes)
    dog, cat, again = (picture.getpixel((x, 140)) for x in (10, 110, 210))
    assert dog == again
    assert dog != cat


def test_points_and_outlines_are_drawn_where_they_are() -> None:
    where = changed([Region("", "p", ((50.0, 60.0),))])
    rows, columns = np.nonzero(where)
    assert (round(rows.mean()), round(columns.mean())) == (60, 50)
    where = changed([Region("", "p", ((50.0, 50.0), (150.0, 60.0), (100.0, 150.0)))])
    assert where[100, 73:78].any()
    assert not where[80, 95:105].any()


def test_lines_and_letters_grow_with_the_picture() -> None:
    small = changed([BOX])
    large = changed([Region("dog", "p", tuple((10 * x, 10 * y) for x, y in BOX.points))], (4000, 3000))
    assert small[150, 90:110].sum() * 3 <= large[1500, 900:1100].sum() <= small[150, 90:110].sum() * 12


@pytest.mark.parametrize("size", [(1, 1), (8, 500), (500, 8)])
def test_pictures_of_any_shape_keep_their_size(size: tuple[int, int]) -> None:
    whole = Region("a very long label " * 20 + "\x1b[31m\n", "p", ((0.0, 0.0), (float(size[0]), float(size[1]))))
    assert drawn(blank(size=size), [whole, Region("狗", "p", ((0.0, 0.0),))]).size == size


@pytest.mark.parametrize("suffix, kind", [("png", "PNG"), ("jpg", "JPEG"), ("JPEG", "JPEG"), ("webp", "WEBP")])
def test_the_suffix_tells_the_format(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / "new" / f"drawn.{suffix}"
    write_drawn(path, blank(), [BOX])
    with PIL.Image.open(path) as picture:
        assert (picture.format, picture.size) == (kind, (400, 300))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"drawn.gif: cannot be drawn as that; name a file that ends in .png"):
        write_drawn(tmp_path / "drawn.gif", blank(), [])
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_drawn(tmp_path / "file" / "drawn.png", blank(), [])
