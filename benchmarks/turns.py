"""The second turn about a picture: seconds to the first token with the conversation kept, and read anew each time.

The model has random weights: the vision tower of LLaVA-1.5 at 336 pixels (576 tokens a picture) made small, in front of a
language model of 12 layers. What it says means nothing; what it costs does. The answers of both ways have to be equal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
import transformers as tf

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions, Runtime
from mmcli.stages import Conversation, Message, Usage
from tests.tiny import parts
from tests.tiny.tiles import CHAT

PICTURE = Path(__file__).parent.parent / "samples" / "receipt.png"
QUESTIONS = ("What is this?", "And the total?", "Who sold it?", "On which day?")
OPTIONS = AnswerOptions(max_new_tokens=16, temperature=0.0)


def build(folder: Path) -> None:
    tokenizer = parts.new_tokenizer(["<image>"], begins=True)
    vision = tf.CLIPVisionConfig(
        image_size=336,
        patch_size=14,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=8,
    )
    text = tf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1536, num_hidden_layers=12,
        num_attention_heads=8, num_key_value_heads=8, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    config = tf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids("<image>")
    )
    tf.LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = tf.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    tf.LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT,
    ).save_pretrained(folder)  # fmt: skip


def turns(card: ModelCard, threads: int) -> tuple[list[str], list[float]]:
    """What each turn of one conversation is answered, and its seconds to the first token."""
    engine = engines.load(card, Runtime(device="cpu", threads=threads))
    picture = open_image(PICTURE)
    engine.prepare([picture])
    messages: tuple[Message, ...] = ()
    answers, seconds = [], []
    for question in QUESTIONS:
        messages += (Message("user", (question,) if messages else (picture, question)),)
        started = time.perf_counter()
        pieces = engine.answer(Conversation(messages), OPTIONS)
        text = next(pieces)
        seconds.append(time.perf_counter() - started)
        text += "".join(piece for piece in pieces if not isinstance(piece, Usage))
        answers.append(text)
        messages += (Message("assistant", (text,)),)
    return answers, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.manual_seed(1)
    tf.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        kept = ModelCard("kept", "backbone", "transformers", f"path:{folder}")
        anew = ModelCard("anew", "backbone", "transformers", f"path:{folder}", settings={"cache_conversations": 0})
        answers = {}
        for card in (anew, kept):
            answers[card.name], seconds = turns(card, threads)
            print(f"{card.name}  seconds to the first token, turn by turn: " + "  ".join(f"{s:.2f}" for s in seconds))
    assert answers["kept"] == answers["anew"]


if __name__ == "__main__":
    main()
