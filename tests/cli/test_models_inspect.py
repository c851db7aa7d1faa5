"""mmcli models inspect as a user runs it: in a pipe, in a terminal, for machines, and with what is not there."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pexpect
import pytest
from safetensors.numpy import save_file

MICRO = Path(__file__).parent.parent / "micro" / "whisper"
Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A little Qwen2-VL."""
    place = tmp_path / "little"
    place.mkdir()
    config = {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 2,
        "max_position_embeddings": 1000,
        "tie_word_embeddings": True,
        "vision_config": {"depth": 1, "embed_dim": 4, "patch_size": 14, "spatial_merge_size": 2},
    }
    shapes = {
        "visual.patch_embed.proj.weight": (4, 3, 2, 14, 14),
        "visual.blocks.0.attn.qkv.weight": (12, 4),
        "visual.merger.mlp.0.weight": (16, 16),
        "visual.merger.mlp.2.weight": (8, 16),
        "model.embed_tokens.weight": (50, 8),
        "model.layers.0.self_attn.q_proj.weight": (8, 8),
        "model.layers.1.self_attn.q_proj.weight": (8, 8),
        "model.norm.weight": (8,),
    }
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings = {"min_pixels": 3136, "max_pixels": 1003520, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    (place / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, place / "model.safetensors")
    return place


def test_in_a_pipe_each_part_is_a_line(folder: Path, mmcli: Run) -> None:
    result = mmcli("models", "inspect", folder, "--size", "560x280")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == f"{folder}: Qwen2VLForConditionalGeneration"
    assert lines[2] == "decoder only, unified embedding (image tokens among text tokens)"
    assert [line.split("\t")[0] for line in lines[3:7]] == ["vision encoder", "projector", "backbone", "output head"]
    assert "tied to the embedding" in lines[6]
    assert "560x280\t200\t800\tscaled to 560 x 280 pixels, a token for 28 x 28" in lines
    assert "1000 tokens of context take 32 kB, all 1000 take 32 kB, at 16 bits" in lines
    assert "\x1b" not in result.out


def test_json_holds_everything(folder: Path, mmcli: Run, data: Path) -> None:
    picture = data / "i07.jpg"
    result = mmcli("models", "inspect", folder, "--json", "--image", picture, "--size", "56x56", "--detail", "low")
    found = json.loads(result.out)
    assert (result.code, found["schema"], found["parameters"], found["dtypes"]) == (0, 1, 5672, {"float16": 11344})
    assert [part["role"] for part in found["parts"]] == ["vision encoder", "projector", "backbone", "output head"]
    assert [row["image"] for row in found["images"]] == [str(picture), "56x56"]
    assert found["images"][0]["tokens"] <= 512 * 512 // 28**2
    assert found["images"][1]["tokens"] == 4
    assert found["images"][1]["context_left"] == 1000 - 4 - found["images"][0]["tokens"]
    assert found["memory"]["places"][0]["place"] == "RAM"
    assert {row["precision"] for row in found["memory"]["precisions"]} >= {"float32", "bfloat16", "int8", "int4"}
    assert all(row["fits"]["RAM"] == "fits with its whole context" for row in found["memory"]["precisions"])


def test_in_a_terminal_the_parts_are_boxes_and_arrows(folder: Path, tmp_path: Path) -> None:
    args = ["-m", "mmcli", "models", "inspect", str(folder), "--size", "56x56"]
    child = pexpect.spawn(
        sys.executable, args, cwd=str(tmp_path), encoding="utf-8", timeout=60, dimensions=(60, 80), env={**os.environ, "TERM": "xterm"}
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", child.before or "")
    assert child.exitstatus == 0
    places = [
        shown.index(word) for word in ("vision encoder", "▼", "projector ─", "backbone ─", "output head ─", "int4")
    ]
    assert places == sorted(places)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_whisper_of_ctranslate2_is_inspected_too(mmcli: Run) -> None:
    result = mmcli("models", "inspect", MICRO)
    assert result.code == 0
    assert result.out.splitlines()[0].endswith(": CTranslate2 Whisper")
    assert "3 layers, 64 wide, 2 heads, 80 mel bands, 16000 Hz" in result.out


def test_a_model_of_the_hub_is_inspected_in_its_cache(folder: Path, mmcli: Run, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "hub" / "models--org--little"
    (place / "snapshots").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit, encoding="ascii")
    folder.rename(place / "snapshots" / commit)
    result = mmcli("models", "inspect", "hf:org/little", env={"HF_HUB_CACHE": str(tmp_path / "hub")})
    assert result.code == 0
    assert result.out.startswith("hf:org/little: Qwen2VL")


@pytest.mark.parametrize(
    "args, code, said",
    [
        (["hf:org/absent"], 4, "mmcli models pull hf:org/absent"),
        (["whisper-small"], 4, "mmcli models pull whisper-small"),
        (["whisper-smal"], 2, 'did you mean "whisper-small"?'),
        (["./nowhere"], 2, 'there is no folder "./nowhere"'),
        (["empty"], 1, "empty: has no config.json"),
        (["little/config.json"], 1, "is a file; name the folder"),
        (["espeak"], 1, "has no config.json"),
        (["little", "--size", "big"], 2, '"big" is no size of a picture'),
        (["little", "--size", "0x5"], 2, "is no size of a picture"),
        (["little", "--size", "999999x5"], 2, "is no size of a picture"),
        (["little", "--size", "5000x10"], 1, "more than 200 times"),
        (["little", "--detail", "fine"], 2, '"fine" is no detail'),
        (["little", "--image", "absent.png"], 1, "absent.png: no such file"),
        (["little", "--image", "little/config.json"], 1, "config.json"),
    ],
)
def test_what_is_not_there_is_one_line(args: list[str], code: int, said: str, folder: Path, mmcli: Run) -> None:
    (folder.parent / "empty").mkdir()
    result = mmcli("models", "inspect", *args, env={"HF_HUB_CACHE": str(folder.parent / "hub")})
    assert result.code == code
    assert result.out == ""
    assert len(result.notes) == 1
    assert said in result.notes[0]


def test_nothing_heavy_is_imported(folder: Path, tmp_path: Path) -> None:
    program = (
        f"from mmcli.cli import run; run(['models', 'inspect', {str(folder)!r}]); import sys; print('|', *sys.modules)"
    )
    shown = pexpect.run(f"{sys.executable} -c {json.dumps(program)}", encoding="utf-8", cwd=str(tmp_path))
    modules = {name.partition(".")[0] for name in shown.rpartition("|")[2].split()}
    assert "mmcli" in modules
    assert not modules & {"torch", "transformers", "safetensors", "numpy", "onnxruntime"}


def test_names_in_a_header_steer_no_terminal(folder: Path, mmcli: Run) -> None:
    save_file({"\x1b]0;title\x07.weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(
        '{"architectures": ["\\u001b[31mRed"], "model_type": "\\u202e"}', encoding="utf-8"
    )
    result = mmcli("models", "inspect", folder)
    assert result.code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(result.out)
