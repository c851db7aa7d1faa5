"""Places that models of transformers name: what the tokens say, as the library reads them, in pixels of the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import PIL.Image
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch

from mmcli import engines
from mmcli.catalogue import read_catalogue
from mmcli.engines.backbone.transformers_backbone.engine import TransformersBackbone
from mmcli.errors import ConfigError
from mmcli.options import AnswerOptions, Runtime
from mmcli.places import Region
from mmcli.stages import Conversation, Image, Message
from tests.tiny.checkpoints import checkpoint

Ask = Callable[..., tuple[str, list[Region]]]
SIZE = (300, 200)
BOXES = "<ref>dog</ref><box>(100,200),(300,400)</box>"


def picture(name: str = "shown.png", size: tuple[int, int] = SIZE) -> Image:
    return Image(name, *size, lambda: PIL.Image.new("RGB", size, "teal"))


def load(name: str, **settings: Any) -> TransformersBackbone:
    card = replace(read_catalogue().model(str(checkpoint(name)), "backbone"), settings=settings)
    engine = engines.load(card, Runtime(device="cpu"))
    assert isinstance(engine, TransformersBackbone)
    return engine


@contextmanager
def saying(engine: TransformersBackbone, text: str) -> Iterator[None]:
    """The model generates this text: the next token of it is by far the likeliest behind those before it."""
    model, tokenizer = engine._loaded.model, engine._loaded.tokenizer
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    config = getattr(model, "text_model", model).generation_config
    kept = {name: getattr(config, name) for name in ("sequence_bias", "suppress_tokens", "begin_suppress_tokens")}
    config.update(
        sequence_bias=[[ids[: end + 1], 1e4 * (end + 1)] for end in range(len(ids))],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    try:
        yield
    finally:
        config.update(**kept)


@pytest.fixture
def ask() -> Iterator[Ask]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def asked(
        engine: TransformersBackbone,
        said: str,
        *parts: Any,
        before: tuple[Message, ...] = (),
        detail: str | None = None,
    ) -> tuple[str, list[Region]]:
        options = AnswerOptions(max_new_tokens=200, temperature=0.0, detail=detail)
        conversation = Conversation((*before, Message("user", parts or (picture(), "where"))))
        with saying(engine, said):
            pieces = list(engine.answer(conversation, options))
        shown = "".join(piece for piece in pieces if isinstance(piece, str))
        return shown, [piece for piece in pieces if isinstance(piece, Region)]

    yield asked
    torch.set_num_threads(threads)


def test_marks_that_are_special_tokens_are_read_and_not_shown(ask: Ask) -> None:
    said = "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>"
    shown, regions = ask(load("qwen2-vl"), said)
    assert shown == "dog(100,200),(300,400)"
    assert regions == [Region("dog", "shown.png", ((30.0, 40.0), (90.0, 80.0)))]


def test_qwen2_5_counts_pixels_of_what_its_processor_made(ask: Ask) -> None:
    engine = load("qwen2.5-vl")
    other = picture("other.png", (64, 64))
    before = (Message("user", (other, "one")), Message("assistant", ("yes",)))
    pixels = engine._loaded.processor.image_processor(picture().pixels(), return_tensors="pt")
    _, rows, columns = pixels["image_grid_thw"][0].tolist()
    width, height = columns * 8, rows * 8
    assert (width, height) != SIZE
    said = f'[{{"bbox_2d": [0, 0, {width // 2}, {height}], "label": "left half"}}]'
    for earlier in ((), before):
        shown, regions = ask(engine, said, picture(), "where", before=earlier)
        assert shown == said
        assert regions == [Region("left half", "shown.png", ((0.0, 0.0), (150.0, 200.0)))]
    # asked again without a picture, it is still that one
    follow = (Message("user", (picture(), "one")), Message("assistant", ("yes",)))
    assert ask(engine, said, "and where", before=follow)[1] == regions


@pytest.mark.parametrize("name", ["qwen3-vl", "internvl", "molmo2", "glm4v"])
def test_families_that_count_thousandths(ask: Ask, name: str) -> None:
    shown, regions = ask(load(name), BOXES)
    assert shown == BOXES
    assert regions == [Region("dog", "shown.png", ((30.0, 40.0), (90.0, 80.0)))]


def test_paligemma(ask: Ask) -> None:
    said = "<loc0256><loc0512><loc0512><loc1023> dog ; <loc0000><loc0000><loc0512><loc0512><seg007> cat"
    _, regions = ask(load("paligemma"), said)
    assert [(region.label, region.points, region.codes) for region in regions] == [
        ("dog", ((150.0, 50.0), (299.7, 100.0)), ()),
        ("cat", ((0.0, 0.0), (150.0, 100.0)), (7,)),
    ]


@pytest.mark.parametrize("detail", [None, "64"])
@pytest.mark.parametrize(
    "task, said, labels, corners",
    [
        ("<OD>", "dog<loc_1><loc_2><loc_3><loc_4>cat<loc_5><loc_6><loc_7><loc_8>", ["dog", "cat"], 2),
        ("<CAPTION_TO_PHRASE_GROUNDING>a dog", "dog<loc_1><loc_2><loc_3><loc_4><loc_9><loc_9><loc_12><loc_12>", ["dog"] * 2, 2),
        ("<OCR_WITH_REGION>", "EXIT<loc_1><loc_2><loc_9><loc_2><loc_9><loc_8><loc_1><loc_8>", ["EXIT"], 4),
        ("<REFERRING_EXPRESSION_SEGMENTATION>a dog", "<loc_1><loc_2><loc_9><loc_2><loc_9><loc_8><loc_4><loc_9>", [""], 4),
        ("<REGION_PROPOSAL>", "<loc_1><loc_2><loc_3><loc_4>", [""], 2),
    ],
)  # fmt: skip
def test_florence_names_what_its_processor_reads(
    ask: Ask, task: str, said: str, labels: list[str], corners: int, detail: str | None
) -> None:
    big = (3000, 2000)  # its places are thousandths
    engine = load("florence2")
    shown, regions = ask(engine, said, picture(size=big), task, detail=detail)
    assert regions
    name = task.partition(">")[0] + ">"
    read = engine._loaded.processor.post_process_generation(said, task=name, image_size=big)[name]
    shapes = [shape for key in ("bboxes", "quad_boxes") for shape in read.get(key, ())]
    shapes += [shape for polygons in read.get("polygons", ()) for shape in polygons]
    assert [[value for point in region.points for value in point] for region in regions] == shapes
    assert [region.label for region in regions] == labels
    assert {len(region.points) for region in regions} == {corners}
    assert all(str(int(shape[0])) in shown for shape in shapes)


def test_a_caption_of_florence_names_no_place(ask: Ask) -> None:
    assert ask(load("florence2"), " a red boat", picture(), "<CAPTION>") == ("a red boat", [])


def test_kosmos_names_phrases_and_their_boxes(ask: Ask) -> None:
    said = (
        " a<phrase> red boat</phrase><object><patch_index_0000><patch_index_0015>"
        "</delimiter_of_multi_objects/><patch_index_0001><patch_index_0003></object>"
    )
    engine = load("kosmos2")
    _, regions = ask(engine, said, picture(), "<grounding>")
    _, ((_, _, boxes),) = engine._loaded.processor.post_process_generation("<grounding>" + said)
    assert [region.label for region in regions] == ["red boat"] * 2
    for region, (left, top, right, bottom) in zip(regions, boxes, strict=True):
        expected = (left * SIZE[0], top * SIZE[1], right * SIZE[0], bottom * SIZE[1])
        assert (*region.points[0], *region.points[1]) == pytest.approx(expected, abs=0.06)


def test_a_model_without_a_rule_names_none_until_its_card_tells_one(ask: Ask) -> None:
    assert ask(load("llava"), BOXES) == (BOXES, [])
    _, regions = ask(load("llava", coordinates="0..1000"), BOXES)
    assert [region.points for region in regions] == [((30.0, 40.0), (90.0, 80.0))]
    with pytest.raises(ConfigError, match=r"coordinates cannot be 'inches'; known: 0\.\.1, "):
        load("llava", coordinates="inches")
