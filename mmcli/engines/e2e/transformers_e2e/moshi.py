"""Moshi (arXiv:2410.00037): two streams of speech at once, its own and the user's, and the text of its own.

Here it gets a whole turn, during which it is silent, and then speaks while the user is.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import StoppingCriteria

from mmcli.engines import torch_streams
from mmcli.errors import InputError
from mmcli.stages import Audio, AudioSource, Said, Spoke, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcli.engines.e2e.transformers_e2e.loading import Loaded
    from mmcli.options import ConverseOptions
    from mmcli.stages import Conversation

_PAD = 3
"""The text token of a frame in which no word begins, in all published checkpoints; 0 ends such a row."""
_SILENT_S = 3.0
"""It has no token for the end of its turn: without a word for so long it has come to it."""
_WAITS_S = 8.0
"""The same before it has said anything."""


def answer(loaded: Loaded, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
    """Its text while it speaks, then the sound. One token is a frame of 80 ms. InputError where no sound is given."""
    sounds = [loaded.sound(part) for part in conversation.messages[-1].parts if isinstance(part, AudioSource)]
    sound = np.concatenate(sounds) if sounds else np.zeros(0, np.float32)
    if not len(sound):
        raise InputError(
            "the question", f'model "{loaded.card.name}" answers speech, and there is none', "--audio FILE"
        )
    frame = int(loaded.rate / loaded.model.config.audio_encoder_config.frame_rate)
    frames = -(-len(sound) // frame)
    padded = torch.from_numpy(np.pad(sound, (0, frames * frame - len(sound))))[None, None]
    values = loaded.place(
        {
            "user_input_values": padded,
            "moshi_input_values": torch.zeros_like(padded),
            "input_ids": torch.full((1, frames), _PAD),
        }
    )
    silence = _Silence(loaded.rate / frame)

    def generate(streamer: Any, stop: Any) -> Any:
        stop.append(silence)
        with loaded.lock, torch.inference_mode(), torch_streams.seeded(loaded.device, options.seed):
            return loaded.model.generate(
                **values,
                max_new_tokens=options.max_new_tokens,
                **torch_streams.sampling(options),
                streamer=streamer,
                stopping_criteria=stop,
            )

    tokenizer = loaded.tokenizer
    quiet = {_PAD, 0, *tokenizer.all_special_ids}
    written = torch_streams.Written(generate, lambda ids: tokenizer.decode([id for id in ids if id not in quiet]))
    with closing(written.texts()) as texts:
        yield from map(Said, texts)
    # What it says begins where the user's turn ends.
    samples = written.result.audio_sequences[0, 0, frames * frame :].float().cpu().numpy()
    yield Spoke(Audio(np.clip(samples, -1, 1), loaded.rate))
    finish = "length" if written.tokens >= options.max_new_tokens else "stop"
    yield Usage(frames, written.tokens, finish=finish)  # type: ignore[arg-type]


class _Silence(StoppingCriteria):  # type: ignore[misc]
    """Ends a generation when no word was said for long."""

    def __init__(self, frame_rate: float) -> None:
        self._silent = round(_SILENT_S * frame_rate)
        self._waits = round(_WAITS_S * frame_rate)
        self._began: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if self._began is None:
            self._began = input_ids.shape[1] - 1
        said = [id not in (_PAD, 0) for id in input_ids[0, self._began :].tolist()]
        quiet = next((index for index, word in enumerate(reversed(said)) if word), len(said))
        over = quiet >= (self._silent if any(said) else self._waits)
        return torch.full((input_ids.shape[0],), over, device=input_ids.device, dtype=torch.bool)
