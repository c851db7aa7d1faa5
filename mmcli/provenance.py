"""What made a result: versions, models with their revisions, options, devices."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from mmcli import __version__, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmcli.catalogue import ModelCard

SCHEMA = 1


def of_pipeline(pipeline: str, cards: Mapping[str, ModelCard], options: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, models and options, as every result for machines carries them; all of it fits into JSON."""
    given = {role: dataclasses.asdict(value) for role, value in options.items()}
    # What is done side by side makes no other result.
    silent = ("workers", "ahead")
    telling = {role: {name: fields[name] for name in fields if name not in silent} for role, fields in given.items()}
    digest = hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()
    return {
        "schema": SCHEMA,
        "mmcli": __version__,
        "pipeline": pipeline,
        "models": {
            role: {
                "name": card.name,
                "engine": card.engine,
                "source": card.source,
                "revision": _revision(card),
                "settings": dict(card.settings),
            }
            for role, card in cards.items()
        },
        "options": given,
        "options_hash": digest[:16],
    }


def with_state(origin: Mapping[str, Any], stages: Iterable[Any]) -> dict[str, Any]:
    """The provenance with what may change while models run: the devices they are on, and how they came there."""
    devices = sorted({getattr(stage, "device", "cpu") for stage in stages})
    fallbacks = [step for stage in stages for step in getattr(stage, "fallbacks", ())]
    return {**origin, "device": ", ".join(devices), "fallbacks": fallbacks}


def _revision(card: ModelCard) -> str:
    """The commit of a model of the hub; for what comes with a package, the package's version; else what is pinned."""
    scheme, _, place = card.source.partition(":")
    if scheme == "hf":
        return store.locate(card).name
    if card.revision or scheme != "embedded":
        return card.revision
    try:
        return version(place)
    except PackageNotFoundError:
        return ""
