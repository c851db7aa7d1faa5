"""Conversations whose keys and values are kept, so that their next question costs only its own tokens.

A cache of transformers grows by concatenation: what it held stays as it was. So an entry is never changed, and any
number of answers may go on from it at the same time.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# What of a prompt is still needed once its pictures are in the cache.
KEPT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask")
_GROWING = (DynamicLayer, DynamicSlidingWindowLayer)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Keys and values of `ids`, with the digests of the pictures among them and what the model remembers beside."""

    ids: tuple[int, ...]
    digests: tuple[bytes, ...]
    cache: Any
    memory: Mapping[str, Any]
    bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """From where an answer goes on: a cache of its own that holds the first `known` tokens of the prompt."""

    known: int
    cache: Any
    memory: Mapping[str, Any]


class Conversations:
    """The last few conversations of a model, at most `most` and `most_bytes` of them. Safe for several threads."""

    def __init__(self, model: Any, most: int, most_bytes: int) -> None:
        self._model = model
        self._most = most
        self._most_bytes = most_bytes
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        text = model.config.get_text_config(decoder=True)
        # Layers that look at the picture hold its keys alone, whatever the text's length.
        self._crossing = set(getattr(text, "cross_attention_layers", None) or ())

    def find(self, ids: Sequence[int], digests: tuple[bytes, ...], media: Collection[int]) -> Start | None:
        """Where a prompt can be gone on from: behind all of its pictures, whose tokens are `media`, and before its end."""
        last = max((place for place, id in enumerate(ids) if id in media), default=-1)
        if digests and last < 0:
            return None
        with self._lock:
            entries = [entry for entry in self._entries if entry.digests == digests]
        best = max(entries, key=lambda entry: _common(entry.ids, ids), default=None)
        known = 0 if best is None else min(_common(best.ids, ids), len(ids) - 1)
        if best is None or known <= last or known == 0:
            return None
        try:
            cache = self._fork(best.cache, len(best.ids) - known)
        except (RuntimeError, ValueError):  # a sliding window has forgotten what would be needed
            return None
        with self._lock:
            if best in self._entries:
                self._entries.remove(best)
                self._entries.append(best)
        return Start(known, cache, best.memory)

    def keep(self, ids: Sequence[int], digests: tuple[bytes, ...], cache: Any) -> None:
        """Keep a conversation instead of those that it goes on from, and let the oldest go."""
        if any(type(layer) not in _GROWING for layer in cache.layers):
            return
        held, size = cache.get_seq_length(), _size(cache)
        if self._most < 1 or size > self._most_bytes or not 0 < held <= len(ids):
            return
        entry = Entry(tuple(ids[:held]), digests, cache, remembered(self._model), size)
        with self._lock:
            self._entries = [
                other for other in self._entries if other.digests != digests or entry.ids[: len(other.ids)] != other.ids
            ]
            self._entries.append(entry)
            while len(self._entries) > self._most or sum(other.bytes for other in self._entries) > self._most_bytes:
                del self._entries[0]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def _fork(self, cache: Any, drop: int) -> Any:
        """A cache without its last `drop` tokens that shares what it holds with the given one."""
        forked = copy.copy(cache)
        forked.layers = [copy.copy(layer) for layer in cache.layers]
        for index, layer in enumerate(forked.layers):
            if drop and index not in self._crossing:
                layer.crop(-drop)
        return forked


def remembered(model: Any) -> dict[str, Any]:
    """How far positions are shifted by pictures, which the families of Qwen2-VL keep in the model itself."""
    return {
        name: module.rope_deltas
        for name, module in model.named_modules()
        if getattr(module, "rope_deltas", None) is not None
    }


def remind(model: Any, memory: Mapping[str, Any]) -> None:
    for name, deltas in memory.items():
        model.get_submodule(name).rope_deltas = deltas


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _size(cache: Any) -> int:
    tensors = (getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values"))
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))
