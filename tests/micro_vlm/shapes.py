"""What the micro VLM knows: drawn pictures of one coloured shape, and what can be asked about them.

Training and tests draw here, from different seeds.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import PIL.Image
import PIL.ImageDraw

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

COLOURS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (38, 84, 214),
    "yellow": (242, 200, 28),
    "purple": (142, 58, 178),
}
_WARM = ("red", "yellow")
SHAPES = ("circle", "square", "triangle", "cross")
_CORNERS = {"circle": "no", "square": "four", "triangle": "three", "cross": "twelve"}
SIZES = {"small": (0.34, 0.44), "large": (0.64, 0.82)}
"""The shape's side as a share of the picture's shorter one."""
_DETAIL = 4  # drawn so many times larger and scaled down: smooth edges


@dataclass(frozen=True, slots=True)
class Thing:
    """What a picture shows."""

    colour: str
    shape: str
    size: str

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    thing: Thing
    pixels: PIL.Image.Image = field(repr=False)

    def file(self, quality: int | None) -> bytes:
        """A JPEG of that quality; None gives a PNG."""
        file = io.BytesIO()
        if quality is None:
            self.pixels.save(file, "PNG")
        else:
            self.pixels.save(file, "JPEG", quality=quality)
        return file.getvalue()


def every_thing() -> list[Thing]:
    return [Thing(colour, shape, size) for colour in COLOURS for shape in SHAPES for size in SIZES]


def draw(thing: Thing, rng: random.Random, width: int, height: int) -> Picture:
    """The thing somewhere in a picture of that many pixels, its colour and the light background a little off."""
    light = rng.randint(225, 255)
    ground = tuple(max(0, min(255, light + rng.randint(-6, 6))) for _ in range(3))
    ink = tuple(max(0, min(255, value + rng.randint(-14, 14))) for value in COLOURS[thing.colour])
    canvas = PIL.Image.new("RGB", (width * _DETAIL, height * _DETAIL), ground)
    side = rng.uniform(*SIZES[thing.size]) * min(canvas.size)
    left = rng.uniform(0.04, 0.96) * (canvas.width - side)
    top = rng.uniform(0.04, 0.96) * (canvas.height - side)
    _figure(PIL.ImageDraw.Draw(canvas), thing.shape, (left, top, side), ink)
    return Picture(thing, canvas.resize((width, height), PIL.Image.Resampling.LANCZOS))


def _figure(pen: PIL.ImageDraw.ImageDraw, shape: str, place: tuple[float, float, float], ink: tuple[int, ...]) -> None:
    left, top, side = place
    right, bottom = left + side, top + side
    if shape == "circle":
        pen.ellipse((left, top, right, bottom), fill=ink)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=ink)
    elif shape == "triangle":
        height = side * math.sqrt(3) / 2
        pen.polygon([(left, top + height), (right, top + height), (left + side / 2, top)], fill=ink)
    else:
        third = side / 3
        pen.rectangle((left + third, top, right - third, bottom), fill=ink)
        pen.rectangle((left, top + third, right, bottom - third), fill=ink)


# ---------------------------------------------------------------- questions


@dataclass(frozen=True, slots=True)
class Exchange:
    question: str
    answer: str


def _colour(thing: Thing, rng: random.Random) -> Exchange:
    asked = rng.choice(["What colour is it?", "What color is it?", "What colour is the shape?"])
    return Exchange(asked, f"It is {thing.colour}.")


def _shape(thing: Thing, rng: random.Random) -> Exchange:
    return Exchange(rng.choice(["What shape is it?", "Which shape is this?"]), f"It is a {thing.shape}.")


def _what(thing: Thing, rng: random.Random) -> Exchange:
    asked = rng.choice(["What is in the picture?", "What do you see?"])
    return Exchange(asked, f"A {thing.colour} {thing.shape}.")


def _warmth(thing: Thing, rng: random.Random) -> Exchange:
    asked = rng.choice(["Is its colour warm or cold?", "Is its colour cold or warm?"])
    return Exchange(asked, f"It is a {'warm' if thing.colour in _WARM else 'cold'} colour.")


def _corners(thing: Thing, rng: random.Random) -> Exchange:
    asked = rng.choice(["How many corners does it have?", "How many corners are there?"])
    return Exchange(asked, f"It has {_CORNERS[thing.shape]} corners.")


def _size(thing: Thing, rng: random.Random) -> Exchange:
    asked = rng.choice(["Is it small or large?", "Is it large or small?"])
    return Exchange(asked, f"It is {thing.size}.")


def _count(thing: Thing, rng: random.Random) -> Exchange:
    colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    plural = f"{shape}es" if shape == "cross" else f"{shape}s"
    return Exchange(f"How many {colour} {plural} are in this picture?", f"I see one {thing.colour} {thing.shape}.")


def _describe(thing: Thing, rng: random.Random) -> Exchange:
    asked = rng.choice(["Describe the picture.", "Describe the picture in one sentence."])
    return Exchange(asked, f"The picture shows a {thing}.")


ASK: dict[str, Callable[[Thing, random.Random], Exchange]] = {
    "colour": _colour,
    "shape": _shape,
    "what": _what,
    "warmth": _warmth,
    "corners": _corners,
    "size": _size,
    "count": _count,
    "describe": _describe,
}


def sure(before: Exchange) -> Exchange:
    """A second question that only the first answer tells how to answer."""
    return Exchange("Are you sure?", f"I am sure: {before.answer}")


def dialogue(thing: Thing, rng: random.Random, turns: int) -> list[Exchange]:
    """So many questions about a picture, one after the other, and their right answers."""
    exchanges: list[Exchange] = []
    while len(exchanges) < turns:
        if exchanges and not exchanges[-1].question.startswith("Are") and rng.random() < 0.3:
            exchanges.append(sure(exchanges[-1]))
        else:
            exchanges.append(ASK[rng.choice(list(ASK))](thing, rng))
    return exchanges
