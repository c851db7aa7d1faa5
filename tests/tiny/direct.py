"""The tiny checkpoints asked through transformers alone, each as its family's documentation has it.

Nothing here knows mmcli: it is what the engine is held against.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers as tf
from transformers.video_utils import VideoMetadata

from tests.tiny.checkpoints import TINY, checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import PIL.Image

TOKENS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One side's words with pictures, and frames of a video that are a second apart, before them."""

    text: str
    images: tuple[PIL.Image.Image, ...] = ()
    video: tuple[PIL.Image.Image, ...] = ()
    role: str = "user"


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    processor: Any
    model: Any
    documented: Callable[[Any, Asked], dict[str, Any]] | None = field(default=None)

    @property
    def tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)


@cache
def load(name: str) -> Loaded:
    folder = checkpoint(name)
    processor = tf.AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    return Loaded(processor, _model(folder), _DOCUMENTED.get(name))


def _model(folder: Path) -> Any:
    architecture = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    return getattr(tf, architecture).from_pretrained(folder, use_safetensors=True).eval()


def inputs(name: str, turns: list[Asked]) -> dict[str, Any]:
    """What the model is given for a conversation whose last turn is to be answered."""
    loaded = load(name)
    if loaded.documented is not None:
        return dict(loaded.documented(loaded.processor, turns[-1]))
    if TINY[name].images == 0:
        return dict(_text_chat(loaded.processor, turns))
    return dict(_chat(loaded.processor, turns))


def answer(name: str, turns: list[Asked], tokens: int = TOKENS) -> str:
    """The likeliest answer, the prompt not repeated."""
    loaded, given = load(name), inputs(name, turns)
    with torch.inference_mode():
        if name == "vilt":
            return str(loaded.model.config.id2label[int(loaded.model(**given).logits.argmax(-1))])
        ids = loaded.model.generate(**given, max_new_tokens=tokens, do_sample=False, num_beams=1)[0]
    text = loaded.tokenizer.decode(ids[_repeated(name, given) :], skip_special_tokens=True)
    return str(text).strip()


def first_logits(name: str, turns: list[Asked]) -> torch.Tensor:
    """What the model thinks of each token as the first of its answer (ViLT: of each answer)."""
    loaded, given = load(name), inputs(name, turns)
    with torch.inference_mode():
        if name == "vilt":
            return loaded.model(**given).logits[0]
        out = loaded.model.generate(
            **given, max_new_tokens=1, do_sample=False, num_beams=1, output_logits=True, return_dict_in_generate=True
        )
    return out.logits[0][0]


def _repeated(name: str, given: dict[str, Any]) -> int:
    """How many tokens of what `generate` gives are the prompt's."""
    if "decoder_input_ids" in given:
        return int(given["decoder_input_ids"].shape[1])
    if load(name).model.config.is_encoder_decoder or name in ("blip-vqa", "blip2-t5"):
        return 0
    length = int(given["input_ids"].shape[1]) if "input_ids" in given else 0
    return length - 1 if name == "blip-caption" else length  # which drops the [SEP] at the end of its prompt


# ---------------------------------------------------------------- chat


def _content(turn: Asked) -> list[dict[str, str]]:
    seen = [{"type": "image"}] * len(turn.images) + [{"type": "video"}] * bool(turn.video)
    return [*seen, {"type": "text", "text": turn.text}]


def _chat(processor: Any, turns: list[Asked]) -> Any:
    messages = [{"role": turn.role, "content": _content(turn)} for turn in turns]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    # the template has written what begins a text
    begun = bool(processor.tokenizer.bos_token) and text.startswith(processor.tokenizer.bos_token)
    given: dict[str, Any] = {"text": [text], "return_tensors": "pt", "add_special_tokens": not begun}
    images = [image for turn in turns for image in turn.images]
    if images:
        given["images"] = [images]
    videos = [turn.video for turn in turns if turn.video]
    if videos:
        given["videos"] = [_frames(video) for video in videos]
        given |= {"do_sample_frames": False, "video_metadata": [_metadata(video) for video in videos]}
    return processor(**given)


def _text_chat(tokenizer: Any, turns: list[Asked]) -> Any:
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")


def _frames(video: tuple[PIL.Image.Image, ...]) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in video])


def _metadata(video: tuple[PIL.Image.Image, ...]) -> VideoMetadata:
    count = len(video)
    return VideoMetadata(total_num_frames=count, fps=1.0, duration=float(count), frames_indices=list(range(count)))


# ---------------------------------------------------------------- before chat


def _plain(processor: Any, turn: Asked) -> Any:
    return processor(images=turn.images[0], text=turn.text, return_tensors="pt")


def _blip2(processor: Any, turn: Asked) -> Any:
    return processor(images=turn.images[0], text=f"Question: {turn.text} Answer:", return_tensors="pt")


def _fuyu(processor: Any, turn: Asked) -> Any:
    return processor(images=turn.images[0], text=f"{turn.text}\n", return_tensors="pt")


def _instructblip_video(processor: Any, turn: Asked) -> Any:
    frames = turn.video or turn.images * 4
    return processor(images=_frames(frames)[None], text=turn.text, return_tensors="pt")


def _paligemma(processor: Any, turn: Asked) -> Any:
    given = processor(images=turn.images[0], text=turn.text, return_tensors="pt")
    given.pop("labels", None)
    return given


def _idefics(processor: Any, turn: Asked) -> Any:
    prompt = ["User:", *turn.images, f"{turn.text}<end_of_utterance>", "\nAssistant:"]
    return processor(text=[prompt], return_tensors="pt", add_end_of_utterance_token=False)


def _git(processor: Any, turn: Asked) -> Any:
    pixels = processor(images=turn.images[0], return_tensors="pt")["pixel_values"]
    ids = processor(text=turn.text, add_special_tokens=False)["input_ids"]
    return {"pixel_values": pixels, "input_ids": torch.tensor([[processor.tokenizer.cls_token_id, *ids]])}


def _kosmos2(processor: Any, turn: Asked) -> Any:
    return processor(
        images=turn.images[0], text=f"Question: {turn.text} Answer:", return_tensors="pt", num_image_tokens=4,
        first_image_token_id=processor.tokenizer.unk_token_id + 1,
    )  # fmt: skip


def _donut(processor: Any, turn: Asked) -> Any:
    prompt = f"<s_docvqa><s_question>{turn.text}</s_question><s_answer>"
    ids = processor.tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    return {"pixel_values": _pixels(processor, turn)["pixel_values"], "decoder_input_ids": ids}


def _pixels(processor: Any, turn: Asked) -> Any:
    return processor(images=turn.images[0], return_tensors="pt")


def _continued(tokenizer: Any, turn: Asked) -> Any:
    return tokenizer(f"User: {turn.text}\nAssistant:", return_tensors="pt")


_DOCUMENTED: dict[str, Callable[[Any, Asked], Any]] = {
    "idefics": _idefics,
    "paligemma": _paligemma,
    "fuyu": _fuyu,
    "blip-caption": _plain,
    "blip-vqa": _plain,
    "blip2-opt": _blip2,
    "blip2-t5": _blip2,
    "instructblip": _plain,
    "instructblip-video": _instructblip_video,
    "kosmos2": _kosmos2,
    "git": _git,
    "vilt": _plain,
    "florence2": _plain,
    "trocr": _pixels,
    "donut": _donut,
    "got-ocr2": _pixels,
    "gpt2": _continued,
}
