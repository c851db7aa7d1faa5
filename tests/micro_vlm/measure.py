"""How often the micro VLM is right, through mmcli's own engine, on pictures that training did not draw.

python -m tests.micro_vlm.measure [FOLDER]
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmcli import engines
from mmcli.catalogue import unlisted
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions, Runtime
from mmcli.stages import Conversation, Message
from tests.micro_vlm.shapes import ASK, Exchange, Picture, draw, every_thing, sure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mmcli.stages import Backbone, Image

MODEL = Path(__file__).parent / "vlm"
WAYS: dict[str, tuple[tuple[int, int], int | None]] = {
    "64 by 64": ((64, 64), None),
    "200 by 200": ((200, 200), None),
    "640 by 480": ((640, 480), None),
    "36 by 36": ((36, 36), None),
    "JPEG of quality 40": ((96, 96), 40),
}
"""Width and height in pixels, and the quality of a JPEG."""


@dataclass(frozen=True, slots=True)
class Right:
    """Answers that were right among all; `wrong` tells the others: thing, question, answer, right answer."""

    total: int
    wrong: tuple[tuple[str, str, str, str], ...]

    @property
    def share(self) -> float:
        return 1 - len(self.wrong) / self.total


def load(folder: Path = MODEL) -> Backbone:
    card = unlisted(str(folder))
    assert card is not None
    engine: Backbone = engines.load(card, Runtime(device="cpu"))
    return engine


def pictures(seed: int, size: tuple[int, int], quality: int | None = None) -> Iterator[tuple[Picture, Image]]:
    """Each thing once, somewhere in a picture, as mmcli opens it."""
    rng = random.Random(seed)
    for thing in every_thing():
        drawn = draw(thing, rng, *size)
        yield drawn, open_image(drawn.file(quality), str(thing))


def answer(engine: Backbone, image: Image, exchanges: list[Exchange]) -> str:
    """The answer to the last question, the turns before it with their right answers."""
    messages = []
    for number, exchange in enumerate(exchanges):
        messages.append(Message("user", (*([image] if number == 0 else []), exchange.question)))
        messages.append(Message("assistant", (exchange.answer,)))
    options = AnswerOptions(max_new_tokens=40, temperature=0.0)
    pieces = engine.answer(Conversation(tuple(messages[:-1])), options)
    return "".join(piece for piece in pieces if isinstance(piece, str))


def first_turns(engine: Backbone, shown: Iterator[tuple[Picture, Image]], seed: int) -> Right:
    """Each of the eight questions about each picture."""
    rng = random.Random(seed)
    return _count(engine, shown, lambda picture: [[ask(picture.thing, rng)] for ask in ASK.values()])


def second_turns(engine: Backbone, shown: Iterator[tuple[Picture, Image]], seed: int) -> Right:
    """After one question another one, and one whether the model is sure of its first answer."""
    rng = random.Random(seed)

    def dialogues(picture: Picture) -> list[list[Exchange]]:
        first = [rng.choice(list(ASK.values()))(picture.thing, rng) for _ in range(4)]
        others = [[each, rng.choice(list(ASK.values()))(picture.thing, rng)] for each in first[:2]]
        return [*others, *([each, sure(each)] for each in first[2:])]

    return _count(engine, shown, dialogues)


def _count(
    engine: Backbone,
    shown: Iterator[tuple[Picture, Image]],
    dialogues: Callable[[Picture], list[list[Exchange]]],
) -> Right:
    total, wrong = 0, []
    for picture, image in shown:
        for exchanges in dialogues(picture):
            total += 1
            said, last = answer(engine, image, exchanges), exchanges[-1]
            if said != last.answer:
                wrong.append((str(picture.thing), last.question, said, last.answer))
    return Right(total, tuple(wrong))


def main(folder: Path) -> None:
    engine = load(folder)
    for name, (size, quality) in WAYS.items():
        began = time.process_time()
        first = first_turns(engine, pictures(1001, size, quality), 1002)
        second = second_turns(engine, pictures(1003, size, quality), 1004)
        cpu = (time.process_time() - began) / (first.total + second.total)
        print(
            f"{name}: first turn {first.share:.3f} of {first.total}, second {second.share:.3f} of {second.total}, cpu {cpu:.3f} s each"
        )
        for wrong in (first.wrong + second.wrong)[:6]:
            print("   ", *wrong, sep=" | ")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL)
