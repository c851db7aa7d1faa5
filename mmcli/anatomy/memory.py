"""How much memory a model needs at each precision, with the cache of its context, and whether a machine has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli.anatomy.parts import packed_bits, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mmcli.anatomy.checkpoint import Checkpoint

BITS = {"float32": 32, "bfloat16": 16, "int8": 8, "int4": 4}
"""What weights are loaded as; float16 needs what bfloat16 does."""
_CACHE_BYTES = 2
ALLOWANCE_SHARE, ALLOWANCE_BYTES = 0.1, 500_000_000
"""Room for activations and libraries: this share of the weights and this much more."""
# Libraries that quantise leave these as they are.
_NOT_QUANTISED = re.compile(r"embed|lm_head|wte|wpe|norm|head\.weight")


@dataclass(frozen=True, slots=True)
class Cache:
    """The keys and values of a context: bytes for each token, for `fixed` ones once, and for those in a window."""

    token: int
    windowed: int = 0
    window: int = 0
    fixed: int = 0

    def bytes(self, tokens: int) -> int:
        return self.fixed + tokens * self.token + min(tokens, self.window) * self.windowed


def weights(checkpoint: Checkpoint) -> dict[str, int]:
    """Bytes of the weights by precision. At 8 and 4 bits the matrices of layers shrink; embeddings and head keep 16."""
    packed = packed_bits(checkpoint.config)
    counts = [
        (parameters(t, packed), len(t.shape) >= 2 and not _NOT_QUANTISED.search(t.name)) for t in checkpoint.tensors
    ]
    shrink = sum(count for count, matrix in counts if matrix)
    rest = sum(count for count, matrix in counts if not matrix)
    if not shrink + rest:
        return {}
    return {name: (shrink * bits + rest * max(bits, 16)) // 8 for name, bits in BITS.items()}


def cache(backbone: Mapping[str, Any], *, cross_layers: int = 0, sources: int = 0) -> Cache | None:
    """The cache of a decoder with these facts, at 16 bits; None where a fact is missing.

    `cross_layers` of its layers attend to pictures and keep no text; `sources` is how many states of an encoder each
    layer of an encoder-decoder keeps.
    """
    layers, heads, size = (backbone.get(key) for key in ("layers", "kv_heads", "head_size"))
    if not (layers and heads and size):
        return None
    layer = 2 * heads * size * _CACHE_BYTES
    kinds = dict(backbone.get("layer_kinds") or {"full_attention": layers})
    windowed = sum(count for kind, count in kinds.items() if kind in ("sliding_attention", "chunked_attention"))
    full = kinds.get("full_attention", 0) + kinds.get("global_attention", 0)
    window = backbone.get("sliding_window") or 0
    if windowed and not window:
        full, windowed = full + windowed, 0
    return Cache(max(full - cross_layers, 0) * layer, windowed * layer, window, layers * sources * layer)


def needed(weight_bytes: int, cache_bytes: int) -> int:
    """Bytes in all, with the allowance."""
    return round(weight_bytes * (1 + ALLOWANCE_SHARE)) + ALLOWANCE_BYTES + cache_bytes


def verdict(weight_bytes: int, held: Cache | None, context: int | None, room: int) -> str:
    """Whether a model fits into so many bytes, and with how much of its context."""
    left = room - needed(weight_bytes, 0)
    if left < 0:
        return "does not fit"
    if held is None or not context:
        return "fits"
    if held.bytes(context) <= left:
        return "fits with its whole context"
    low, high = 0, context
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if held.bytes(middle) <= left else (low, middle)
    return f"fits with {low} tokens of context" if low else "does not fit"
