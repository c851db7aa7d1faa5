"""The micro VLM: LLaVA with a small vision tower and a small language model, its tokenizer, and how it is trained."""

from __future__ import annotations

import io
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import PIL.Image
import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.micro_vlm.shapes import ASK, COLOURS, SHAPES, SIZES, Exchange, Thing, dialogue, draw, every_thing, sure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAD, BOS, EOS, IMAGE = "<pad>", "<s>", "</s>", "<image>"
SIDE, PATCH = 32, 8
VISION: dict[str, Any] = {
    "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": SIDE,
    "patch_size": PATCH, "initializer_range": 0.06, "initializer_factor": 3.0,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 4, "max_position_embeddings": 1024, "initializer_range": 0.06, "tie_word_embeddings": True,
}  # fmt: skip
CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{{ 'ASSISTANT: ' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ eos_token if message['role'] == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
POOL = 250
"""Pictures drawn of each thing; half of the time they are taken mirrored."""
TURNS = 1, 1, 2, 2, 3


@dataclass(frozen=True, slots=True)
class Stage:
    steps: int
    batch: int
    rate: float


LOOK, TALK = Stage(1200, 64, 2e-3), Stage(500, 32, 2e-3)
"""First the vision tower learns to tell things apart, as CLIP has before it becomes LLaVA's; then all learns to talk."""


def new_processor() -> Any:
    """Pictures are squeezed into 32 by 32 pixels, whatever their sides; text is bytes and the words of the questions."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[PAD, BOS, EOS, IMAGE],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS, padding_side="left",
        model_max_length=1024,
    )  # fmt: skip
    images = tf.CLIPImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    return tf.LlavaProcessor(
        images, fast, patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT,
    )  # fmt: skip


def _sentences() -> Iterator[str]:
    rng = random.Random(1)
    yield "USER: ASSISTANT:"
    for thing in every_thing():
        for ask in ASK.values():
            for _ in range(4):
                exchange = ask(thing, rng)
                yield f"{exchange.question}\n"
                yield f" {sure(exchange).answer}"


def new_model(tokenizer: Any) -> Any:
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**VISION), text_config=tf.LlamaConfig(vocab_size=len(tokenizer), **TEXT, **ids),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE), image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-1, tie_word_embeddings=True,
    )  # fmt: skip
    return tf.LlavaForConditionalGeneration(config)


# ---------------------------------------------------------------- examples


def some_picture(thing: Thing, rng: random.Random) -> PIL.Image.Image:
    """Drawn in one of many sizes and proportions, now and then as a JPEG."""
    side = rng.choice([32, 40, 48, 64, 100, 150])
    ratio = rng.choice([1.0, rng.uniform(0.65, 1.5)])
    picture = draw(thing, rng, side, max(24, round(side * ratio)))
    if rng.random() < 0.4:
        return PIL.Image.open(io.BytesIO(picture.file(rng.randint(35, 95)))).convert("RGB")
    return picture.pixels


@dataclass(frozen=True, slots=True)
class Example:
    """Token numbers of a conversation with one picture, and which of them are to be learned; the others are -100."""

    ids: list[int]
    labels: list[int]


def example(processor: Any, exchanges: list[Exchange]) -> Example:
    tokenizer = processor.tokenizer
    places = IMAGE * (SIDE // PATCH) ** 2
    ids: list[int] = []
    labels: list[int] = []
    for number, exchange in enumerate(exchanges):
        opening = f"{BOS}USER: {places}" if number == 0 else "USER: "
        asked = tokenizer(f"{opening}{exchange.question}\nASSISTANT:", add_special_tokens=False)["input_ids"]
        said = tokenizer(f" {exchange.answer}{EOS}", add_special_tokens=False)["input_ids"]
        ids += asked + said
        labels += [-100] * len(asked) + said
    return Example(ids, labels)


def check_template(processor: Any) -> None:
    """The examples are what the chat template writes, else the model would learn another language than it is asked in."""
    thing = every_thing()[0]
    exchanges = dialogue(thing, random.Random(2), 3)
    messages: list[dict[str, Any]] = []
    for number, exchange in enumerate(exchanges):
        picture = [{"type": "image"}] if number == 0 else []
        messages.append({"role": "user", "content": [*picture, {"type": "text", "text": exchange.question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": exchange.answer}]})
    text = processor.apply_chat_template(messages)
    inputs = processor(images=draw(thing, random.Random(2), 64, 64).pixels, text=text, add_special_tokens=False)
    if inputs["input_ids"][0] != example(processor, exchanges).ids:
        raise RuntimeError("the chat template and the examples differ")


# ---------------------------------------------------------------- training


class Maker:
    """Draws batches: pictures from a pool that was made once, conversations anew."""

    def __init__(self, processor: Any, seed: int) -> None:
        self._rng = random.Random(seed)
        self._processor = processor
        self._things = every_thing()
        self._pool = [self._pictures(thing) for thing in self._things]

    def _pictures(self, thing: Thing) -> torch.Tensor:
        pictures = [some_picture(thing, self._rng) for _ in range(POOL)]
        pixels: torch.Tensor = self._processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
        return pixels

    def pictures(self, size: int) -> tuple[torch.Tensor, list[Thing]]:
        """Pixels [size, 3, 32, 32] of so many pictures, and what they show."""
        numbers = [self._rng.randrange(len(self._things)) for _ in range(size)]
        pixels = torch.stack([self._pool[number][self._rng.randrange(POOL)] for number in numbers])
        mirrored = torch.tensor([self._rng.random() < 0.5 for _ in range(size)])
        pixels[mirrored] = pixels[mirrored].flip(-1)
        return pixels, [self._things[number] for number in numbers]

    def conversations(self, size: int) -> dict[str, torch.Tensor]:
        """What the model takes: so many conversations, each about a picture, padded on the right."""
        pixels, things = self.pictures(size)
        rng = self._rng
        examples = [example(self._processor, dialogue(thing, rng, rng.choice(TURNS))) for thing in things]
        longest = max(len(each.ids) for each in examples)
        ids = torch.tensor([each.ids + [0] * (longest - len(each.ids)) for each in examples])
        labels = torch.tensor([each.labels + [-100] * (longest - len(each.labels)) for each in examples])
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), "pixel_values": pixels, "labels": labels}


class Looker(torch.nn.Module):
    """The vision tower with what names the colour, shape and size of what it sees; only the tower is kept."""

    def __init__(self, tower: torch.nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.norm = torch.nn.LayerNorm(VISION["hidden_size"])
        self.names = torch.nn.ModuleList(torch.nn.Linear(VISION["hidden_size"], len(kinds)) for kinds in _KINDS)

    def loss(self, pixels: torch.Tensor, things: list[Thing]) -> torch.Tensor:
        seen = self.norm(self.tower(pixels).last_hidden_state[:, 1:].mean(1))
        told = torch.tensor([_numbers(thing) for thing in things])
        losses = [torch.nn.functional.cross_entropy(name(seen), told[:, kind]) for kind, name in enumerate(self.names)]
        return torch.stack(losses).sum()


_KINDS = tuple(COLOURS), SHAPES, tuple(SIZES)


def _numbers(thing: Thing) -> list[int]:
    return [kinds.index(name) for kinds, name in zip(_KINDS, (thing.colour, thing.shape, thing.size), strict=True)]


def train(model: Any, maker: Maker) -> None:
    looker = Looker(model.model.vision_tower)
    _run("look", looker, LOOK, lambda: looker.loss(*maker.pictures(LOOK.batch)))
    _run("talk", model, TALK, lambda: model(**maker.conversations(TALK.batch)).loss)


def _run(name: str, module: torch.nn.Module, stage: Stage, loss_of_batch: Callable[[], torch.Tensor]) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=stage.rate, total_steps=stage.steps, pct_start=0.08, cycle_momentum=False
    )
    module.train()
    began = time.process_time()
    total = 0.0
    for step in range(1, stage.steps + 1):
        loss = loss_of_batch()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 50 == 0:
            spent = time.process_time() - began
            print(f"{name} {step}/{stage.steps}, {spent:.0f} s: loss {total / 50:.4f}", file=sys.stderr, flush=True)
            total = 0.0
