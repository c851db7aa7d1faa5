"""Asking a vision-language model through mmcli's engine, beside transformers' own pipeline and a hand-written call.

    PYTHONPATH=. python benchmarks/ask.py [--quick]

A LLaVA of about 80 million parameters is built with random weights that say whole words: 576 tokens for a picture, as LLaVA-1.5 has
it. All sides load the same folder, decode greedily in float32 on the processor with the same number of threads, and must
give the same answers. Three claims:

turns       time to the first token of the second to fourth turn of a conversation about a picture: the engine goes on from
            what it has read, the pipeline `image-text-to-text` reads all of it again. At most 0.15.
questions   eight questions about one picture, each in a conversation of its own, beside eight calls of the pipeline. At
            most 0.4.
overhead    one answer of 64 tokens beside processor and `generate` called by hand, on the same model in memory, in turn,
            nothing known from before. Processor seconds and wall seconds, the median of the ratios of pairs. At most 3 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import transformers as tf
from transformers.generation.streamers import BaseStreamer

from mmcli import engines
from mmcli.catalogue import read_catalogue
from mmcli.options import AnswerOptions, Runtime
from mmcli.stages import Conversation, Image, Message
from tests.tiny import parts
from tests.tiny.tiles import CHAT

TURNS = ("what do you see here", "which one is larger", "is the boat red", "how many people walk along the road")
QUESTIONS = (*TURNS, "where is the dog", "what is near my house", "is there water", "please tell what the birds do")
CLAIMS = {"turns": 0.15, "questions": 0.4, "overhead": 1.03}


def build(folder: Path) -> int:
    """The checkpoint, and how many parameters it has."""
    torch.manual_seed(1)
    tokenizer = parts.new_tokenizer(image_token="<image>")
    wide = {"hidden_size": 512, "num_attention_heads": 8}
    vision = tf.CLIPVisionConfig(
        **wide, intermediate_size=2048, num_hidden_layers=10, image_size=336, patch_size=14, projection_dim=512
    )
    text = parts.llama(
        tokenizer,
        **wide,
        intermediate_size=1376,
        num_hidden_layers=14,
        num_key_value_heads=8,
        max_position_embeddings=2048,
    )
    config = tf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=parts.token_id(tokenizer, "<image>")
    )
    processor = tf.LlavaProcessor(
        tf.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size=parts.square(336)),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    model = parts.spread(tf.LlavaForConditionalGeneration(config), 0.05)
    model.generation_config.update(**parts.ids(), do_sample=False)
    parts.speak_words(model, tokenizer, also=())
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def picture() -> Image:
    pixels = PIL.Image.fromarray(np.random.default_rng(3).integers(0, 255, (480, 640, 3), dtype=np.uint8))
    return Image("noise.png", 640, 480, lambda: pixels)


# ---------------------------------------------------------------- the three sides


class First(BaseStreamer):
    """When the first token was made; what comes before it is the prompt."""

    def __init__(self) -> None:
        self.puts = 0
        self.at = 0.0

    def put(self, value: Any) -> None:
        self.puts += 1
        if self.puts == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        pass


def by_engine(engine: Any, messages: list[Message], tokens: int) -> tuple[str, float, float]:
    """The answer, seconds to its first text and to its end."""
    started, first, pieces = time.perf_counter(), 0.0, []
    for piece in engine.answer(Conversation(tuple(messages)), AnswerOptions(max_new_tokens=tokens, temperature=0.0)):
        if isinstance(piece, str):
            first = first or time.perf_counter() - started
            pieces.append(piece)
    return "".join(pieces), first, time.perf_counter() - started


def _chat(messages: list[Message]) -> list[dict[str, Any]]:
    def block(part: Any) -> dict[str, Any]:
        return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part.pixels()}

    return [{"role": message.role, "content": [block(part) for part in message.parts]} for message in messages]


def by_pipeline(pipe: Any, messages: list[Message], tokens: int) -> tuple[str, float, float]:
    chat, streamer, started = _chat(messages), First(), time.perf_counter()
    given = {"streamer": streamer, "do_sample": False}
    (made,) = pipe(text=[chat], max_new_tokens=tokens, generate_kwargs=given, return_full_text=False)
    text = made[0]["generated_text"] if isinstance(made, list) else made["generated_text"]
    return text.strip(), streamer.at - started, time.perf_counter() - started


def by_hand(engine: Any, messages: list[Message], tokens: int) -> str:
    model, processor = engine._loaded.model, engine._loaded.processor
    inputs = processor.apply_chat_template(
        _chat(messages), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        made = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return processor.tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


# ---------------------------------------------------------------- the three claims


def same(one: str, other: str) -> None:
    if one != other:
        raise SystemExit(f"the answers differ:\n  {one}\n  {other}")


def turns(engine: Any, pipe: Any, tokens: int) -> float:
    shown, conversation = picture(), []
    print(f"{'turn':<8} {'engine s':>9} {'pipeline s':>11} {'ratio':>7}   to the first token, {tokens} tokens a turn")
    ratios = []
    for number, question in enumerate(TURNS, 1):
        asked = Message("user", (shown, question) if number == 1 else (question,))
        conversation.append(asked)
        ours, first, _ = by_engine(engine, conversation, tokens)
        theirs, peer, _ = by_pipeline(pipe, conversation, tokens)
        same(ours, theirs)
        conversation.append(Message("assistant", (ours,)))
        print(f"{number:<8} {first:9.3f} {peer:11.3f} {first / peer:7.3f}")
        if number > 1:
            ratios.append(first / peer)
    return max(ratios)


def questions(engine: Any, pipe: Any, tokens: int) -> float:
    shown, ours, theirs = picture(), 0.0, 0.0
    for question in QUESTIONS:
        message = Message("user", (shown, question))
        text, _, seconds = by_engine(engine, [message], tokens)
        peer, _, single = by_pipeline(pipe, [message], tokens)
        same(text, peer)
        ours, theirs = ours + seconds, theirs + single
    print(f"{len(QUESTIONS)} questions of {tokens} tokens: engine {ours:.2f} s, pipeline {theirs:.2f} s")
    return ours / theirs


def overhead(engine: Any, runs: int, tokens: int) -> float:
    message = Message("user", (picture(), QUESTIONS[0]))
    walls, works = [], []
    for run in range(runs + 1):
        spent = {}
        for side in ("engine", "hand") if run % 2 else ("hand", "engine"):
            engine._held.clear()
            wall, work = time.perf_counter(), time.process_time()
            answer = by_engine(engine, [message], tokens)[0] if side == "engine" else by_hand(engine, [message], tokens)
            spent[side] = (time.perf_counter() - wall, time.process_time() - work, answer)
        same(spent["engine"][2], spent["hand"][2])
        if run:  # the first pair warms up
            walls.append(spent["engine"][0] / spent["hand"][0])
            works.append(spent["engine"][1] / spent["hand"][1])
    wall, work = statistics.median(walls), statistics.median(works)
    last = spent["engine"], spent["hand"]
    print(
        f"{runs} pairs of {tokens} tokens: wall x {wall:.3f}, processor x {work:.3f}"
        f" (the last: {last[0][0]:.2f} and {last[1][0]:.2f} s)"
    )
    return max(wall, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter answers and fewer runs: a minute")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    tf.logging.set_verbosity_error()
    tf.logging.disable_progress_bar()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = build(folder)
        versions = f"torch {torch.__version__}, transformers {tf.__version__}, {os.cpu_count()} cores"
        print(f"{count / 1e6:.1f} million parameters, {given.threads} threads, {versions}\n")
        card = replace(read_catalogue().model(str(folder), "backbone"), settings={"cache_conversations": 2})
        engine = engines.load(card, Runtime(device="cpu", compute_type="float32", threads=given.threads))
        model = tf.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        pipe = tf.pipeline("image-text-to-text", model=model, processor=tf.AutoProcessor.from_pretrained(folder))
        short = 4 if given.quick else 16
        found = {
            "turns": turns(engine, pipe, short),
            "questions": questions(engine, pipe, short),
            "overhead": overhead(engine, 3 if given.quick else 10, 64),
        }
    print()
    for claim, value in found.items():
        print(
            f"{claim:<10} {value:6.3f}  at most {CLAIMS[claim]:.2f}  {'holds' if value <= CLAIMS[claim] else 'FAILS'}"
        )


if __name__ == "__main__":
    main()
