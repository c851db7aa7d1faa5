"""Places in pictures as models write them, in one form: regions in pixels of the pictures as they were given.

How it is written can be seen; what the numbers count is the model's own rule, one of SCALES. Read are:

| written                                                       | by                                      |
| ------------------------------------------------------------- | --------------------------------------- |
| `<ref>dog</ref><box>(1,2),(3,4)</box>`, `<quad>`              | Qwen-VL (arXiv:2308.12966)              |
| `<|object_ref_start|>dog<|object_ref_end|><|box_start|>...`   | Qwen2-VL (arXiv:2409.12191)             |
| `{"bbox_2d": [1, 2, 3, 4], "label": "dog"}`, `point_2d`       | Qwen2.5-VL (arXiv:2502.13923), Qwen3-VL |
| `{"box_2d": [top, left, bottom, right]}`, `point`             | Gemini, rows first                      |
| `<ref>dog</ref><box>[[1, 2, 3, 4], ...]</box>`                | InternVL (arXiv:2312.14238)             |
| `<|ref|>dog<|/ref|><|det|>[[...]]<|/det|>`                    | DeepSeek-VL2 (arXiv:2412.10302)         |
| `dog(1,2),(3,4)`, `dog[[1, 2, 3, 4]]`                         | all these, where a server drops marks   |
| `<loc0001><loc0002><loc0003><loc0004> dog ; ...`              | PaliGemma (arXiv:2407.07726), rows first |
| `<point x="1" y="2" alt="dog">`, `<points x1="1" y1="2" ...>` | Molmo (arXiv:2409.17146)                |
| `<points coords="1 1 098 629 2 ...">dogs</points>`            | Molmo2 (arXiv:2601.10611)               |
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcli.places import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmcli.places import Point

SCALES: dict[str, float | None] = {
    "0..1": 1.0,
    "0..100": 100.0,
    "0..999": 999.0,
    "0..1000": 1000.0,
    "0..1024": 1024.0,
    "pixels": None,
}
"""What coordinates count: shares of the picture's width and height, or pixels of the picture as the model was shown it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that an answer is about: its own width and height, and those that the model saw it with."""

    source: str
    size: tuple[int, int]
    seen: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place as it is written: one point, two corners, or the outline; `picture` counts from 0."""

    label: str
    points: tuple[Point, ...]
    picture: int = 0
    codes: tuple[int, ...] = ()


def parse(text: str, scale: str, pictures: Sequence[Shown]) -> tuple[Region, ...]:
    """The places that an answer names, in their order. What lies outside of a picture is moved to its edge or left out."""
    for read in (_tagged, _located, _pointed, _listed, _bare):
        marks = list(read(text))
        if marks:
            return place(marks, scale, pictures)
    return ()


def place(marks: Sequence[Mark], scale: str, pictures: Sequence[Shown]) -> tuple[Region, ...]:
    """Marks whose numbers count what `scale` says as regions."""
    regions = []
    for mark in marks:
        if not 0 <= mark.picture < len(pictures):
            continue
        shown = pictures[mark.picture]
        whole = SCALES[scale]
        units = shown.seen if whole is None else (whole, whole)
        points = tuple((x / units[0] * shown.size[0], y / units[1] * shown.size[1]) for x, y in mark.points)
        region = _inside(points, shown.size)
        if region:
            regions.append(Region(" ".join(mark.label.split()), shown.source, region, mark.codes))
    return tuple(regions)


def _inside(points: Sequence[Point], size: tuple[int, int]) -> tuple[Point, ...]:
    """The part of a shape inside its picture, to a tenth of a pixel; nothing of one that lies outside or has no area."""
    width, height = map(float, size)
    clipped = tuple((round(min(max(x, 0.0), width), 1), round(min(max(y, 0.0), height), 1)) for x, y in points)
    if len(points) == 1:
        x, y = points[0]
        return clipped if 0 <= x <= width and 0 <= y <= height else ()
    xs, ys = [x for x, _ in clipped], [y for _, y in clipped]
    if min(xs) == max(xs) or min(ys) == max(ys):
        return ()
    return ((min(xs), min(ys)), (max(xs), max(ys))) if len(points) == 2 else clipped


# ---------------------------------------------------------------- ways of writing

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MARKED = re.compile(
    r"(?:<ref>|<\|ref\|>|<\|object_ref_start\|>)(?P<label>[^<]*)"
    r"|(?:<(?P<box>box|quad)>|<\|(?P<mark>det|box_start|quad_start|begin_of_box)\|>)(?P<numbers>[\d\s.,()\[\]-]*)"
)
_LOCATED = re.compile(r"(?P<places>(?:<loc\d{4}>){4})\s*(?P<codes>(?:<seg\d{3}>)*)(?P<label>[^;<]*)")
_POINT = re.compile(r"<points?\s(?P<given>[^<>]*)>(?:(?P<label>[^<]*)</points?>)?")
_GIVEN = re.compile(r"(?P<name>x|y|alt|coords)(?P<number>\d*)\s*=\s*(?P<quote>[\"'])(?P<value>.*?)(?P=quote)")
_OBJECT = re.compile(r"\{[^{}]*\}")
_PAIRS = r"\(\s*-?[\d.]+\s*,\s*-?[\d.]+\s*\)"
_BARE = re.compile(rf"(?P<pairs>{_PAIRS}\s*,\s*{_PAIRS})|\[\[(?P<rows>[\d\s.,-]*(?:\]\s*,\s*\[[\d\s.,-]*)*)\]\]")


def _tagged(text: str) -> Iterator[Mark]:
    label = ""
    for found in _MARKED.finditer(text):
        if found["label"] is not None:
            label = found["label"]
            continue
        corners = 4 if "quad" in (found["box"] or found["mark"]) else 2
        for points in _shapes(found["numbers"], corners):
            yield Mark(label, points)


def _located(text: str) -> Iterator[Mark]:
    for found in _LOCATED.finditer(text):
        top, left, bottom, right = (float(number) for number in re.findall(r"\d{4}", found["places"]))
        codes = tuple(int(number) for number in re.findall(r"\d{3}", found["codes"]))
        yield Mark(found["label"], ((left, top), (right, bottom)), codes=codes)


def _pointed(text: str) -> Iterator[Mark]:
    for found in _POINT.finditer(text):
        given = {each["name"] + each["number"]: each["value"] for each in _GIVEN.finditer(found["given"])}
        label = found["label"] or given.get("alt", "")
        for picture, points in _coords(given.get("coords", "")):
            yield Mark(label, points, picture)
        for name, x in given.items():
            y = given.get(f"y{name[1:]}", "")
            if name[0] == "x" and _NUMBER.fullmatch(x.strip()) and _NUMBER.fullmatch(y.strip()):
                yield Mark(label, ((float(x), float(y)),))


def _coords(text: str) -> Iterator[tuple[int, tuple[Point, ...]]]:
    """Molmo2's list: for each picture its number, then number, x and y of each point."""
    for group in re.split(r"[;:\t]", text):
        numbers = [float(number) for number in _NUMBER.findall(group)]
        for at in range(1, len(numbers) - 2, 3):
            yield int(numbers[0]) - 1, ((numbers[at + 1], numbers[at + 2]),)


def _listed(text: str) -> Iterator[Mark]:
    """JSON, object by object, so that a list which was cut off still gives what it has."""
    for found in _OBJECT.finditer(text):
        try:
            fields = json.loads(found[0])
        except (ValueError, RecursionError):
            continue
        label = next((str(fields[key]) for key in ("label", "text_content", "text", "name") if key in fields), "")
        for key, size in (("bbox_2d", 4), ("box_2d", 4), ("point_2d", 2), ("point", 2)):
            for numbers in _rows(fields.get(key), size):
                points = list(zip(numbers[::2], numbers[1::2], strict=True))
                if key in ("box_2d", "point"):  # Gemini's, which begin with y
                    points = [(x, y) for y, x in points]
                yield Mark(label, tuple(points))


def _rows(value: Any, size: int) -> Iterator[list[float]]:
    """A list of so many numbers, or each of a list of such."""
    if not isinstance(value, list):
        return
    for row in value if value and isinstance(value[0], list) else [value]:
        if isinstance(row, list) and len(row) == size and all(isinstance(v, int | float) and abs(v) < 1e9 for v in row):
            yield [float(v) for v in row]


def _bare(text: str) -> Iterator[Mark]:
    begun = 0
    for found in _BARE.finditer(text):
        label = re.split(r"[\n.;:,)\]]", text[begun : found.start()].rstrip())[-1]
        begun = found.end()
        for points in _shapes(found["pairs"] or found["rows"], 2):
            yield Mark(label, points)


def _shapes(text: str, corners: int) -> Iterator[tuple[Point, ...]]:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    points = list(zip(numbers[::2], numbers[1::2], strict=False))
    for at in range(0, len(points) - corners + 1, corners):
        yield tuple(points[at : at + corners])
