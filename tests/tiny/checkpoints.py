"""Tiny checkpoints of every family that the backbone engine of transformers loads: right shapes, random weights.

    checkpoint("qwen2-vl")   the folder, as `save_pretrained` writes one

They are built once on a machine and kept in its folder for temporary files, under a name that changes with the builders
and with transformers. Nothing may be changed in them: copy one first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from tests.tiny import documents, gates, parts, queries, streams, texts, tiles, tokens

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Tiny:
    """How a checkpoint is built, and what its family can do. `images` is how many a question may have; 2 is any number."""

    build: Callable[[Path], None]
    images: int = 2
    video: bool = False
    chat: bool = True


def _text(build: Callable[[Path], None], *, chat: bool = True) -> Tiny:
    return Tiny(build, images=0, chat=chat)


def _single(build: Callable[[Path], None], *, video: bool = False) -> Tiny:
    """One picture and one question, nothing before it."""
    return Tiny(build, images=1, video=video, chat=False)


TINY: dict[str, Tiny] = {
    "llava": Tiny(tiles.llava),
    "llava-next": Tiny(tiles.llava_next),
    "llava-next-video": Tiny(tiles.llava_next_video, video=True),
    "llava-onevision": Tiny(tiles.llava_onevision, video=True),
    "video-llava": Tiny(tiles.video_llava, video=True),
    "pixtral": Tiny(tiles.pixtral),
    "internvl": Tiny(tiles.internvl, video=True),
    "idefics2": Tiny(tiles.idefics2),
    "idefics3": Tiny(tiles.idefics3),
    "smolvlm": Tiny(tiles.smolvlm, video=True),
    "aria": Tiny(tiles.aria),
    "mllama": Tiny(gates.mllama),
    "idefics": Tiny(gates.idefics, chat=False),
    "qwen2-vl": Tiny(streams.qwen2_vl, video=True),
    "qwen2.5-vl": Tiny(streams.qwen2_5_vl, video=True),
    "qwen3-vl": Tiny(streams.qwen3_vl, video=True),
    "videollama3": Tiny(streams.video_llama3, video=True),
    "glm4v": Tiny(streams.glm4v, video=True),
    "molmo2": Tiny(streams.molmo2, video=True),
    "emu3": Tiny(tokens.emu3),
    "janus": Tiny(tokens.janus),
    "gemma3": Tiny(tokens.gemma3),
    "paligemma": _single(tokens.paligemma),
    "fuyu": _single(tokens.fuyu),
    "blip-caption": _single(queries.blip_caption),
    "blip-vqa": _single(queries.blip_vqa),
    "blip2-opt": _single(queries.blip2_opt),
    "blip2-t5": _single(queries.blip2_t5),
    "instructblip": _single(queries.instructblip),
    "instructblip-video": _single(queries.instructblip_video, video=True),
    "kosmos2": _single(queries.kosmos2),
    "git": _single(queries.git),
    "vilt": _single(queries.vilt),
    "florence2": _single(documents.florence2),
    "trocr": _single(documents.trocr),
    "donut": _single(documents.donut),
    "got-ocr2": _single(documents.got_ocr2),
    "llama": _text(texts.llama),
    "mistral": _text(texts.mistral),
    "gemma": _text(texts.gemma),
    "gemma2": _text(texts.gemma2),
    "gemma3-text": _text(texts.gemma3_text),
    "qwen2": _text(texts.qwen2),
    "qwen3": _text(texts.qwen3),
    "phi3": _text(texts.phi3),
    "gpt2": _text(texts.gpt2, chat=False),
}


def checkpoint(name: str) -> Path:
    """The folder of a checkpoint. Several processes may ask at once: the first that is done wins."""
    folder = _kept() / name
    if not folder.is_dir():
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                TINY[name].build(unfinished)
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _kept() -> Path:
    digest = hashlib.sha256(f"{transformers.__version__} {torch.__version__}".encode())
    for module in (parts, documents, gates, queries, streams, texts, tiles, tokens):
        digest.update(Path(str(module.__file__)).read_bytes())
    folder = Path(tempfile.gettempdir()) / f"mmcli-tiny-{os.getuid()}-{digest.hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} belongs to another user"
    return folder
