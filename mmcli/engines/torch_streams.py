"""One call of `generate` of transformers: what it is told, how its tokens come out while it runs, and how it is stopped.

This module knows no engine.
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from mmcli.errors import UsageError
from mmcli.threads import Channel, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from mmcli.options import AnswerOptions

T = TypeVar("T")

_BROKEN = "\ufffd"
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 1_000_000),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "seed": (-(2**63), 2**63 - 1),
}
_SAMPLING = ("temperature", "top_p", "top_k", "min_p")
# Tokens that the model may be ahead of whoever reads them: all of an answer, so that it never waits with its lock.
_AHEAD = 1 << 20


def check(options: AnswerOptions) -> None:
    """UsageError for a value out of its range."""
    if options.max_new_tokens < 1:
        raise UsageError(f"--max-tokens is at least 1, not {options.max_new_tokens}")
    for name, (low, high) in _RANGES.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name.replace('_', '-')} is from {low:g} to {high:g}, not {value:g}")
    if any(not stop for stop in options.stop):
        raise UsageError("--stop cannot be empty")


def sampling(options: AnswerOptions) -> dict[str, Any]:
    """How to draw tokens, as arguments of `generate`; what is not asked for stays as the checkpoint has it."""
    given: dict[str, Any] = {}
    if options.repetition_penalty is not None:
        given["repetition_penalty"] = options.repetition_penalty
    if options.temperature == 0:
        given["do_sample"] = False
    elif any(getattr(options, name) is not None for name in _SAMPLING):
        given["do_sample"] = True
        given |= {name: getattr(options, name) for name in _SAMPLING if getattr(options, name) is not None}
    return given


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


def streamed(generate: Callable[[Tokens, StoppingCriteriaList], T]) -> Generator[list[int], None, T]:
    """The tokens of a generation as they are made, in a thread of its own; what it returns is returned.

    Closing this stops it after the token that is being made.
    """
    stop = threading.Event()
    made: Channel[list[int]] = Channel(_AHEAD)
    results: list[T] = []

    def work() -> Iterator[list[int]]:
        try:
            results.append(generate(Tokens(made.send), stopping(stop)))
        finally:
            made.send([])
        yield from ()

    def read() -> Iterator[list[int]]:
        for tokens in made:
            if not tokens:
                return
            yield tokens

    with closing(merge(read(), work(), size=_AHEAD, stop=stop.set)) as tokens:
        yield from tokens
    return results[0]


def pieces(tokens: Iterable[Sequence[int]], decode: Callable[[list[int]], str]) -> Iterator[str]:
    """Text of tokens, each piece as soon as its characters are whole. Joined, it is what decoding all of them gives."""
    ids: list[int] = []
    # Decoding starts a token early: what one is written as depends on the one before it.
    early, done = 0, 0
    for new in tokens:
        ids += new
        before, now = decode(ids[early:done]), decode(ids[early:])
        if len(now) > len(before) and not now.endswith(_BROKEN):
            yield now[len(before) :]
            early, done = done, len(ids)
    before, now = decode(ids[early:done]), decode(ids[early:])
    if len(now) > len(before):
        yield now[len(before) :]


class Written(Generic[T]):
    """The text of a generation, in pieces while it is made; then `result`, what it returned, and the number of `tokens`."""

    result: T

    def __init__(
        self, generate: Callable[[Tokens, StoppingCriteriaList], T], decode: Callable[[list[int]], str]
    ) -> None:
        self.tokens = 0
        self._generate = generate
        self._decode = decode

    def texts(self) -> Generator[str, None, None]:
        """To be run through once. Closing it stops the generation."""
        with closing(self._counted()) as tokens:
            yield from pieces(tokens, self._decode)

    def _counted(self) -> Generator[list[int], None, None]:
        with closing(streamed(self._generate)) as tokens:
            while True:
                try:
                    new = next(tokens)
                except StopIteration as end:
                    self.result = end.value
                    return
                self.tokens += len(new)
                yield new


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Random numbers of their own for one generation; torch has one source of them, which is put back."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
