"""The micro Whisper: a model of the Whisper family with a small vocabulary, and how it is trained."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from tests.micro.vocabulary import SIZE

if TYPE_CHECKING:
    from tests.micro.examples import Batch, Maker


WIDTH, HEADS, FEED_FORWARD = 64, 2, 256
ENCODER_LAYERS, DECODER_LAYERS = 3, 2
ALIGNED_HEAD = DECODER_LAYERS - 1, 0  # taught where in the sound each token is; word times come from it


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training on windows of one length: attention over 30 s costs thirty times that over 5 s."""

    window_s: float
    batch: int
    steps: int
    rate: float


STAGES = (Stage(5, 16, 2000, 2e-3), Stage(12, 10, 700, 1.2e-3), Stage(30, 6, 450, 8e-4))


def new_model(vocabulary_size: int) -> WhisperForConditionalGeneration:
    """Whisper with a small vocabulary: tokens that no sentence uses are added when it is exported."""
    config = WhisperConfig(
        vocab_size=vocabulary_size,
        d_model=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        decoder_layers=DECODER_LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=FEED_FORWARD,
        decoder_ffn_dim=FEED_FORWARD,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        init_std=0.05,
        use_cache=False,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        attn_implementation="sdpa",
    )
    model = WhisperForConditionalGeneration(config)
    layer, _ = ALIGNED_HEAD
    attention = model.model.decoder.layers[layer].encoder_attn
    # Only this implementation gives the weights of attention.
    attention.config = WhisperConfig(**{**config.to_dict(), "attn_implementation": "eager"})
    return model


def set_window(model: WhisperForConditionalGeneration, seconds: float) -> None:
    """The encoder's positions are sinusoids: a shorter window uses the first of them."""
    encoder = model.model.encoder
    frames = round(seconds * 50)
    encoder.config.max_source_positions = frames
    encoder.max_source_positions = frames
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(_sinusoids(frames), freeze=True)


def _sinusoids(count: int) -> torch.Tensor:
    scales = torch.exp(-math.log(10000) / (WIDTH // 2 - 1) * torch.arange(WIDTH // 2))
    angles = torch.arange(count)[:, None] * scales[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def train(model: WhisperForConditionalGeneration, maker: Maker, stage: Stage) -> None:
    set_window(model, stage.window_s)
    layer, head = ALIGNED_HEAD
    seen: list[torch.Tensor] = []
    attention = model.model.decoder.layers[layer].encoder_attn
    hook = attention.register_forward_hook(lambda _module, _inputs, output: seen.append(output[1][:, head]))
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=stage.rate, total_steps=stage.steps, pct_start=0.06, cycle_momentum=False
    )
    model.train()
    began = time.monotonic()
    sums = np.zeros(3)
    for step in range(1, stage.steps + 1):
        batch = maker.batch(stage.batch)
        text_loss, right = _text_loss(model, batch)
        place_loss = _place_loss(seen.pop(), batch)
        optimizer.zero_grad(set_to_none=True)
        (text_loss + 0.3 * place_loss).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        sums += text_loss.item(), place_loss.item(), right
        if step % 50 == 0:
            loss, place, share = sums / 50
            print(
                f"window {stage.window_s:g} s, step {step}/{stage.steps}, {time.monotonic() - began:.0f} s: "
                f"loss {loss:.3f}, place {place:.3f}, tokens right {share:.3f}",
                file=sys.stderr,
                flush=True,
            )
            sums[:] = 0
    hook.remove()


def _text_loss(model: WhisperForConditionalGeneration, batch: Batch) -> tuple[torch.Tensor, float]:
    hidden = model.model(input_features=batch.features, decoder_input_ids=batch.inputs).last_hidden_state
    wanted = batch.labels >= 0
    logits = hidden[wanted] @ model.model.decoder.embed_tokens.weight.T
    labels = batch.labels[wanted]
    # The tokens of the full vocabulary that are not here get zero vectors, so their logits are 0, all together ln(n).
    unused = logits.new_full((len(logits), 1), math.log(SIZE - logits.shape[1]))
    loss = torch.nn.functional.cross_entropy(torch.cat([logits, unused], dim=1), labels)
    return loss, (logits.argmax(1) == labels).float().mean().item()


def _place_loss(attention: torch.Tensor, batch: Batch) -> torch.Tensor:
    """How little of the attention [batch, tokens, frames] falls within about 0.15 s of where the token is spoken."""
    known = batch.places >= 0
    frames = torch.arange(attention.shape[2]) / 50
    near = torch.exp(-0.5 * ((frames - batch.places[known][:, None]) / 0.15) ** 2)
    return -torch.log((attention[known] * near).sum(1) + 1e-4).mean()
