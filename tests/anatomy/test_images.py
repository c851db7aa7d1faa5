"""What pictures cost equals what the processors of transformers make of them, for every family with a rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import transformers

from mmcli.anatomy.checkpoint import Checkpoint, read
from mmcli.anatomy.images import RULES, cost, family, side_of
from mmcli.errors import InputError, UsageError
from tests.anatomy.processors import FAMILIES, Made

SIZES = [(1024, 768), (300, 300), (64, 48), (200, 900), (1333, 500), (57, 113), (640, 641), (1200, 1199)]


def _written(made: Made, folder: Path) -> Checkpoint:
    processor, _, config = made
    processor.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return read(folder)


def _counted(made: Made, width: int, height: int, **settings: Any) -> int:
    """Tokens that one picture adds to a text."""
    processor, mark, config = made
    picture = PIL.Image.fromarray(np.zeros((height, width, 3), np.uint8))
    seen = processor(images=[picture], text=f"a{mark} b", **settings)["input_ids"]
    first = list(seen[0]) if isinstance(seen[0], list) or getattr(seen, "ndim", 1) > 1 else list(seen)
    around = first.count(processor.tokenizer.bos_token_id) + first.count(processor.tokenizer.eos_token_id)
    around += config["model_type"] == "paligemma"  # it ends every prompt with a line break
    return len(first) - len(processor.tokenizer("a b")["input_ids"]) - around


def _tokens(checkpoint: Checkpoint, detail: str | None = None) -> dict[tuple[int, int], int | None]:
    return {size: cost(checkpoint, *size, detail).tokens for size in SIZES}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_picture_costs_what_the_processor_makes_of_it(name: str, tmp_path: Path) -> None:
    made = FAMILIES[name]()
    checkpoint = _written(made, tmp_path)
    assert family(checkpoint) in RULES
    assert _tokens(checkpoint) == {size: _counted(made, *size) for size in SIZES}


@pytest.mark.parametrize(
    "name, detail, settings",
    [
        ("qwen2_vl", "200", {"size": {"shortest_edge": 56 * 56, "longest_edge": 200 * 200}}),
        ("qwen3_vl", "40", {"size": {"shortest_edge": 40 * 40, "longest_edge": 40 * 40}}),
        ("glm4v", "300", {"size": {"shortest_edge": 112 * 112, "longest_edge": 300 * 300}}),
        ("idefics3", "128", {"size": {"longest_edge": 128}}),
        ("smolvlm", "low", {"size": {"longest_edge": 192}}),
        ("internvl", "120", {"max_patches": 4}),
        ("internvl", "16", {"max_patches": 1}),
    ],
)
def test_detail_changes_the_settings_of_the_processor(
    name: str, detail: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    made = FAMILIES[name]()
    assert _tokens(_written(made, tmp_path), detail) == {size: _counted(made, *size, **settings) for size in SIZES}


def test_detail_shrinks_pictures_where_the_processor_takes_them_as_they_come(tmp_path: Path) -> None:
    made = FAMILIES["pixtral"]()
    checkpoint = _written(made, tmp_path)
    assert cost(checkpoint, 1000, 500, "100").tokens == _counted(made, 100, 50)
    assert cost(checkpoint, 90, 50, "100").tokens == _counted(made, 90, 50)
    assert cost(checkpoint, 90, 50, "high") == cost(checkpoint, 90, 50)


def test_old_settings_of_qwen_are_those_of_its_processor(tmp_path: Path) -> None:
    """Older checkpoints name the budget of pixels min_pixels and max_pixels."""
    made = FAMILIES["qwen2_vl"]()
    made[0].save_pretrained(tmp_path)
    (tmp_path / "processor_config.json").unlink()
    old = {"min_pixels": 3136, "max_pixels": 100352, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps(made[2]), encoding="utf-8")
    made[0].image_processor = transformers.Qwen2VLImageProcessorPil.from_pretrained(tmp_path)
    assert _tokens(read(tmp_path)) == {size: _counted(made, *size) for size in SIZES}


def test_old_settings_of_llava_count_a_token_for_each_patch(tmp_path: Path) -> None:
    """LLaVA-1.5 7B as it first lay on the hub: 576 tokens, and nothing in a file of the processor's own."""
    config = {"model_type": "llava", "vision_feature_select_strategy": "default", "vision_config": {"patch_size": 14}}
    settings = {"crop_size": {"height": 336, "width": 336}, "do_center_crop": True, "size": {"shortest_edge": 336}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert cost(read(tmp_path), 1024, 768).tokens == 576


@pytest.mark.parametrize(
    "config, settings, why",
    [
        ({"model_type": "fuyu"}, {}, "not known for this family"),
        ({}, {}, "not known for this family"),
        ({"model_type": "llava"}, {}, "not known without patch_size"),
        (
            {"model_type": "llava_next"},
            {"size": {"shortest_edge": 336}, "patch_size": 14},
            "without image_grid_pinpoints",
        ),
        ({"model_type": "llava_next"}, {"size": 336, "patch_size": 0}, "not known without patch_size"),
        ({"model_type": "gemma3"}, {}, "not known without tokenizer.json"),
        ({"model_type": "molmo2"}, {"overlap_margins": [40, 40]}, "not known without overlap_margins"),
        ({"model_type": "paligemma"}, {"image_seq_length": "many"}, "not known without image_seq_length"),
    ],
)
def test_what_nothing_tells_is_not_guessed(
    config: dict[str, Any], settings: dict[str, Any], why: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    found = cost(read(tmp_path), 640, 480)
    assert found.tokens is None
    assert why in found.how


@pytest.mark.parametrize("kind", RULES)
def test_hostile_settings_end_in_a_number_or_in_none(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vision_config": []}), encoding="utf-8")
    names = (
        "size crop_size patch_size image_grid_pinpoints max_patches max_crops pooling_size merge_size max_image_size"
    )
    for value in (
        -1,
        0,
        1e400,
        True,
        "x",
        [],
        [[0, 0]],
        [[1 << 70, 1]],
        {"height": 0},
        {"longest_edge": 1},
        1 << 39,
        None,
    ):
        settings = dict.fromkeys(names.split(), value)
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
        for size in ((1, 1), (100_000, 600)):
            found = cost(read(tmp_path), *size).tokens
            assert found is None or found >= 0


def test_a_picture_that_the_processor_refuses_is_refused(tmp_path: Path) -> None:
    checkpoint = _written(FAMILIES["qwen2_vl"](), tmp_path)
    with pytest.raises(InputError, match="more than 200 times"):
        cost(checkpoint, 4020, 20)
    with pytest.raises(ValueError, match="aspect ratio"):
        _counted(FAMILIES["qwen2_vl"](), 4020, 20)


@pytest.mark.parametrize("detail", ["", "fine", "-5", "0", "15", "1e3", "²", "9999999"])
def test_another_detail_is_refused(detail: str) -> None:
    with pytest.raises(UsageError, match="low, high"):
        side_of(detail)
