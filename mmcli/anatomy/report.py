"""Everything that is known of a checkpoint as one document, as `mmcli models inspect --json` prints it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

from mmcli import machine
from mmcli.anatomy import facts, images, memory
from mmcli.anatomy.parts import AUDIO, BACKBONE, HEAD, Part, by_role, packed_bits, part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmcli.anatomy.checkpoint import Checkpoint

SCHEMA = 1
_WRITERS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForSpeechToText", "ForVisionText2Text")


def report(
    checkpoint: Checkpoint, sizes: Iterable[tuple[str, int, int]] = (), detail: str | None = None
) -> dict[str, Any]:
    """The document. `sizes` are pictures as (name, width, height) in pixels, `detail` as in AnswerOptions.

    InputError for a picture that the model refuses, UsageError for a `detail` that is none.
    """
    tensors = by_role(checkpoint)
    bits = packed_bits(checkpoint.config)
    found = [part(role, own, bits) for role, own in tensors.items()]
    known = facts.of_parts(checkpoint, tensors)
    if not found:
        found = [Part(role, 0, 0, {}, {}) for role in known]
    roles = [each.role for each in found]
    meeting, crossed = facts.meeting(checkpoint, roles)
    if checkpoint.tensors and _is_tied(checkpoint, roles):
        found.insert(roles.index(BACKBONE) + 1, Part(HEAD, 0, 0, {}, {}))
        known[HEAD] = {"tied": "to the embedding, no weights of its own"}
    dtypes: Counter[str] = Counter()
    for each in found:
        dtypes.update(each.dtypes)
    backbone = known.get(BACKBONE, {})
    held = _cache(checkpoint, known, meeting, crossed)
    return {
        "schema": SCHEMA,
        "folder": str(checkpoint.folder),
        "architecture": checkpoint.architecture,
        "model_type": checkpoint.kind,
        "parameters": sum(each.parameters for each in found) if checkpoint.tensors else None,
        "bytes": checkpoint.bytes,
        "dtypes": dict(dtypes.most_common()),
        "quantized_bits": bits if "quantization_config" in checkpoint.config else None,
        "files": [file.name for file in checkpoint.files],
        "unread": checkpoint.unread or None,
        "layout": facts.layout(checkpoint, roles) if roles else None,
        "meeting": meeting or None,
        "cross_attention_layers": crossed,
        "parts": [{**dataclasses.asdict(each), "facts": known.get(each.role, {})} for each in found],
        "adapters": [dataclasses.asdict(adapter) for adapter in checkpoint.adapters],
        "images": _images(checkpoint, list(sizes), detail, backbone.get("context")),
        "memory": _memory(checkpoint, held, backbone.get("context")),
    }


def _is_tied(checkpoint: Checkpoint, roles: list[str]) -> bool:
    if HEAD in roles or BACKBONE not in roles:
        return False
    text = facts.backbone_config(checkpoint.config)
    tied = checkpoint.config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    return tied is True or checkpoint.architecture.endswith(_WRITERS) or not checkpoint.kind


def _cache(
    checkpoint: Checkpoint, known: Mapping[str, Mapping[str, Any]], meeting: str, crossed: list[int]
) -> memory.Cache | None:
    if "kv_lora_rank" in facts.backbone_config(checkpoint.config):
        return None  # latent attention keeps something else, and libraries differ in what
    sources = known.get(AUDIO, {}).get("positions", 0) if meeting == "cross-attention" and not crossed else 0
    # IDEFICS-1 has its layers of cross-attention beside the others, Llama 3.2 Vision among them.
    among = 0 if "cross_layer_interval" in checkpoint.config else len(crossed)
    return memory.cache(known.get(BACKBONE, {}), cross_layers=among, sources=sources)


def _images(
    checkpoint: Checkpoint, sizes: list[tuple[str, int, int]], detail: str | None, context: int | None
) -> list[dict[str, Any]]:
    images.side_of(detail)
    rows: list[dict[str, Any]] = []
    for name, width, height in sizes:
        cost = images.cost(checkpoint, width, height, detail)
        rows.append(
            {
                "image": name,
                "width": width,
                "height": height,
                "detail": detail,
                "tokens": cost.tokens,
                "tiles": cost.tiles,
                "how": cost.how,
            }
        )
    left = context
    for row in rows:
        left = left - row["tokens"] if left is not None and row["tokens"] is not None else None
        row["context_left"] = left
    return rows


def _memory(checkpoint: Checkpoint, held: memory.Cache | None, context: int | None) -> dict[str, Any]:
    weights = memory.weights(checkpoint)
    stored = {"as stored": checkpoint.bytes} if checkpoint.bytes else {}
    total, free = machine.memory()
    places: list[dict[str, Any]] = [{"place": "RAM", "total": total, "free": free}]
    places += [{"place": gpu.name, "total": gpu.total, "free": gpu.free} for gpu in machine.gpus()]
    rows = []
    for precision, size in {**stored, **weights}.items():
        fits = {place["place"]: memory.verdict(size, held, context, place["free"]) for place in places}
        whole = memory.needed(size, held.bytes(context)) if held is not None and context else None
        rows.append(
            {
                "precision": precision,
                "weights": size,
                "needed": memory.needed(size, 0),
                "needed_whole_context": whole,
                "fits": fits,
            }
        )
    return {
        "context": context,
        "cache_per_1000_tokens": held.bytes(1000) if held is not None else None,
        "cache_whole_context": held.bytes(context) if held is not None and context else None,
        "allowance": f"{memory.ALLOWANCE_SHARE:.0%} of the weights and {memory.ALLOWANCE_BYTES / 1e9:g} GB",
        "places": places,
        "precisions": rows,
    }
