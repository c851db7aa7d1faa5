"""One call of `generate`: what it is told, how its tokens come out while it runs, and how it is stopped."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from mmcli.engines.answers import read_schema
from mmcli.errors import MissingPackage, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mmcli.engines.backbone.transformers_backbone.loading import Loaded
    from mmcli.options import AnswerOptions

_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 1_000_000),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "seed": (-(2**63), 2**63 - 1),
}
_SAMPLING = ("temperature", "top_p", "top_k", "min_p")


def check(options: AnswerOptions) -> None:
    """UsageError for a value out of its range or a schema that is none."""
    if options.max_new_tokens < 1:
        raise UsageError(f"--max-tokens is at least 1, not {options.max_new_tokens}")
    for name, (low, high) in _RANGES.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name.replace('_', '-')} is from {low:g} to {high:g}, not {value:g}")
    if any(not stop for stop in options.stop):
        raise UsageError("--stop cannot be empty")
    if options.schema is not None:
        read_schema(options.schema)


def arguments(loaded: Loaded, options: AnswerOptions) -> dict[str, Any]:
    """How to decode, as arguments of `generate`; what is not asked for stays as the checkpoint has it."""
    given: dict[str, Any] = {"num_beams": 1, **loaded.family.generate}
    if loaded.family.ends:
        given["eos_token_id"] = sorted(ends(loaded))
    if loaded.family.never:
        given["bad_words_ids"] = [[id] for id in _ids(loaded, loaded.family.never)]
    if options.repetition_penalty is not None:
        given["repetition_penalty"] = options.repetition_penalty
    if options.temperature == 0:
        given["do_sample"] = False
    elif any(getattr(options, name) is not None for name in _SAMPLING):
        given["do_sample"] = True
        given |= {name: getattr(options, name) for name in _SAMPLING if getattr(options, name) is not None}
    if options.schema is not None:
        given["logits_processor"] = LogitsProcessorList([_grammar(loaded, options.schema)])
        # The grammar alone says what may be written; what it wants most may be forbidden otherwise.
        given |= {"suppress_tokens": [], "begin_suppress_tokens": []}
    return given


def _grammar(loaded: Loaded, schema: str) -> Any:
    """What lets only those tokens pass with which a document of the schema can go on; good for one call."""
    try:
        import xgrammar
        from xgrammar.contrib.hf import LogitsProcessor
    except ModuleNotFoundError as error:
        raise MissingPackage("--schema needs the Python package xgrammar", "pip install 'mmcli[vlm]'") from error
    try:
        vocabulary = loaded.model.config.get_text_config(decoder=True).vocab_size
        info = xgrammar.TokenizerInfo.from_huggingface(
            loaded.tokenizer, vocab_size=vocabulary, stop_token_ids=sorted(ends(loaded)) or None
        )
        return LogitsProcessor(xgrammar.GrammarCompiler(info).compile_json_schema(schema, any_whitespace=False))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--schema cannot be followed ({reason})", "is it a JSON schema?") from error


def ends(loaded: Loaded) -> set[int]:
    """The tokens with which an answer ends."""
    told = getattr(loaded.model.generation_config, "eos_token_id", None)
    found = set(told) if isinstance(told, list | tuple) else {told}
    own = _ids(loaded, loaded.family.ends)
    return {int(id) for id in (*found, *own, loaded.tokenizer.eos_token_id) if id is not None}


def _ids(loaded: Loaded, tokens: tuple[str, ...]) -> list[int]:
    """Those of the tokens that the tokenizer has."""
    known = loaded.tokenizer.get_added_vocab()
    return [known[token] for token in tokens if token in known]


class Tokens(BaseStreamer):  # type: ignore[misc]
    """Hands the tokens of a step over as they are made; what `generate` gives it first is the prompt."""

    def __init__(self, give: Callable[[list[int]], Any]) -> None:
        self._give = give
        self._begun = False

    def put(self, value: torch.Tensor) -> None:
        if self._begun:
            self._give(value.flatten().tolist())
        self._begun = True

    def end(self) -> None:
        """Nothing is held back."""


class Stop(StoppingCriteria):  # type: ignore[misc]
    """Ends a generation after the token that it is at."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device, dtype=torch.bool)


def stopping(event: threading.Event) -> StoppingCriteriaList:
    return StoppingCriteriaList([Stop(event)])


@contextmanager
def seeded(loaded: Loaded, seed: int | None) -> Iterator[None]:
    """Random numbers of their own for one generation; torch has one source of them, which is put back."""
    if seed is None:
        yield
        return
    cards = [loaded.device] if loaded.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens a prompt has and how many an answer may have, of the model's context."""

    prompt: int
    answer: int
    context: int | None


def room(loaded: Loaded, inputs: dict[str, Any], options: AnswerOptions) -> Room:
    """As many tokens as were asked for, or as the context leaves; none or fewer where the prompt fills it."""
    config = loaded.model.config
    text = config.get_text_config(decoder=True)
    context = getattr(text, "max_position_embeddings", None)
    name = "decoder_input_ids" if config.is_encoder_decoder else "input_ids"
    ids = inputs.get(name)
    begun = 1 if ids is None else int(ids.shape[-1])
    prompt = begun if "input_ids" not in inputs else int(inputs["input_ids"].shape[-1])
    left = options.max_new_tokens if context is None else min(options.max_new_tokens, context - begun)
    return Room(prompt, left, context)
