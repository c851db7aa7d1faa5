"""Every family of the backbone engine of transformers, on a tiny checkpoint, against the library called directly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch
import transformers

from mmcli import engines
from mmcli.catalogue import unlisted
from mmcli.engines.backbone.transformers_backbone.families import FAMILIES
from mmcli.families import read_config
from mmcli.options import AnswerOptions, Runtime
from mmcli.stages import Conversation, Message, Usage
from tests.tiny import direct
from tests.tiny.checkpoints import TINY, checkpoint
from tests.tiny.direct import TOKENS, Asked
from tests.tiny.media import GRADIENT, NOISE, image, video

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcli.engines.backbone.transformers_backbone.engine import TransformersBackbone
    from mmcli.engines.backbone.transformers_backbone.families import Family

# Two processors of the library make arrays in a way that numpy is going to stop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NAMES = list(TINY)
SEEING = [name for name in NAMES if TINY[name].images]
SEVERAL = [name for name in NAMES if TINY[name].images == 2]
VIDEO = [name for name in NAMES if TINY[name].video]
GREEDY = AnswerOptions(max_new_tokens=TOKENS, temperature=0.0)
QUESTION, OTHER = "what do you see here", "which one is larger"
LONG = "please tell what people see over there and which of the two dogs sits near the stone wall this morning"


def _family(name: str) -> Family:
    return FAMILIES[read_config(checkpoint(name))["architectures"][0]]


FORGETFUL = ("gemma2",)
"""Those whose window is shorter than a question here: they cannot go back to the middle of a conversation."""
TALKING = [name for name in NAMES if _family(name).chat]
CALLED = [name for name in NAMES if _family(name).batch]


@dataclass
class Zoo:
    """Engines by name, each loaded once."""

    loaded: dict[str, TransformersBackbone] = field(default_factory=dict)

    def fresh(self, name: str) -> TransformersBackbone:
        card = unlisted(str(checkpoint(name)))
        assert card is not None
        assert (card.role, card.engine) == ("backbone", "transformers")
        engine: TransformersBackbone = engines.load(card, Runtime(device="cpu", compute_type="float32"))
        return engine

    def engine(self, name: str) -> TransformersBackbone:
        if name not in self.loaded:
            self.loaded[name] = self.fresh(name)
        return self.loaded[name]


@pytest.fixture(scope="module")
def zoo() -> Iterator[Zoo]:
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Zoo()
    torch.set_num_threads(threads)


def _conversation(turns: list[Asked]) -> Conversation:
    return Conversation(
        tuple(
            Message(
                turn.role,  # type: ignore[arg-type]
                (*map(image, turn.images), *([video(turn.video)] if turn.video else []), turn.text),
            )
            for turn in turns
        )
    )


def _answer(engine: TransformersBackbone, turns: list[Asked]) -> tuple[str, Usage, list[str]]:
    *pieces, usage = engine.answer(_conversation(turns), GREEDY)
    texts = [piece for piece in pieces if isinstance(piece, str)]
    assert len(texts) == len(pieces)
    assert isinstance(usage, Usage)
    return "".join(texts), usage, texts


def _seen(name: str, text: str = QUESTION, *, gradient: bool = False) -> Asked:
    shown = (GRADIENT if gradient else NOISE,)
    return Asked(text, shown if TINY[name].images else ())


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_library(zoo: Zoo, name: str) -> None:
    turns = [_seen(name)]
    whole, usage, pieces = _answer(zoo.engine(name), turns)
    assert whole == direct.answer(name, turns)
    assert whole != ""
    given = direct.inputs(name, turns)
    assert 1 <= usage.answer <= TOKENS
    if "input_ids" in given:
        assert usage.prompt == given["input_ids"].shape[1]
    if name != "vilt" and _family(name).tidy is None:
        assert len(pieces) > 1, "the answer came as a whole"


@pytest.mark.parametrize("name", SEEING)
def test_another_picture_gives_another_answer(zoo: Zoo, name: str) -> None:
    noise, gradient = [_seen(name)], [_seen(name, gradient=True)]
    answers = [_answer(zoo.engine(name), turns)[0] for turns in (noise, gradient, noise)]
    assert answers == [direct.answer(name, turns) for turns in (noise, gradient, noise)]
    assert answers[0] != answers[1]


@pytest.mark.parametrize("name", NAMES)
def test_several_at_once_answer_as_one_by_one(zoo: Zoo, name: str) -> None:
    asked = [[_seen(name)], [_seen(name, LONG, gradient=True)], [_seen(name, OTHER)]]
    engine = zoo.engine(name)
    together = list(engine.answers(map(_conversation, asked), GREEDY))
    assert together == [_answer(engine, turns)[0] for turns in asked]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_pictures_in_their_order(zoo: Zoo, name: str) -> None:
    for pictures in ((NOISE, GRADIENT), (GRADIENT, NOISE)):
        turns = [Asked(QUESTION, pictures)]
        assert _answer(zoo.engine(name), turns)[0] == direct.answer(name, turns)


@pytest.mark.parametrize("name", VIDEO)
def test_videos_frame_by_frame(zoo: Zoo, name: str) -> None:
    for frames in ((NOISE, NOISE, GRADIENT, GRADIENT), (GRADIENT, GRADIENT, NOISE, NOISE)):
        turns = [Asked(QUESTION, video=frames)]
        assert _answer(zoo.engine(name), turns)[0] == direct.answer(name, turns)


@pytest.mark.parametrize("name", TALKING)
def test_a_second_turn_is_that_of_a_fresh_engine(zoo: Zoo, name: str) -> None:
    first = [_seen(name)]
    engine = zoo.engine(name)
    said, before, _ = _answer(engine, first)
    turns = [*first, Asked(said, role="assistant"), Asked(OTHER)]
    then, usage, _ = _answer(engine, turns)
    fresh, unknown, _ = _answer(zoo.fresh(name), turns)
    assert then == fresh
    assert unknown.cached == 0
    assert unknown.prompt == usage.prompt
    if _family(name).reuse and name not in FORGETFUL:
        # The answer itself is read again where the template writes no space before it, as the model did.
        assert before.prompt <= usage.cached < usage.prompt
    if TINY[name].chat:
        assert then == direct.answer(name, turns)


@pytest.mark.parametrize("name", SEEING)
def test_another_question_about_the_picture_is_that_of_a_fresh_engine(zoo: Zoo, name: str) -> None:
    engine = zoo.engine(name)
    _answer(engine, [_seen(name)])
    turns = [_seen(name, OTHER)]
    then, usage, _ = _answer(engine, turns)
    assert then == direct.answer(name, turns)
    assert usage.cached > 0 or not _family(name).reuse
