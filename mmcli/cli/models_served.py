"""The entry of a model on a server, for `mmcli models add NAME http://HOST/v1`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mmcli import ui
from mmcli.catalogue import MODALITIES, ModelCard
from mmcli.errors import MmcliError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVED_BY = {"backbone": "openai", "stt": "openai-stt", "tts": "openai-tts"}
"""Which engine asks a server for a role."""
_PATIENCE = {"timeout_s": 10, "retries": 1}
# Most servers do not tell what a model takes; one for text alone refuses pictures by itself.
_BACKBONE_TAKES = ("text", "image")


def of_server(
    name: str, source: str, role: str, engine: str | None, settings: Mapping[str, str | None]
) -> dict[str, Any]:
    """The table of a model of a server. The server is asked what it has, and has to answer where no model is named.

    UsageError where it has several and none is named, what engines/served.py raises otherwise.
    """
    if engine is None or engine not in SERVED_BY.values():
        raise UsageError(
            f"no engine asks a server for {role}" if engine is None else f"engine {engine} asks no server",
            f"engines {' and '.join(SERVED_BY.values())} do",
        )
    source = source.rstrip("/")
    given = {key: value for key, value in settings.items() if value}
    card = ModelCard(name, role, engine, source, settings=given, origin="the command line")
    try:
        listed = _listed(card)
    except MmcliError as error:
        if "model" not in given or error.exit_code != 1:
            raise
        ui.note(str(error))
        listed = {}
    model = given.get("model") or _only(source, list(listed))
    if listed and model not in listed:
        ui.note(f"{source} does not list {model}; {did_you_mean(model, listed) or _some(listed)}")
    table: dict[str, Any] = {"source": source, "settings": {"model": model, **given}}
    if role == "backbone":
        table["inputs"] = _takes(listed.get(model, {})) or list(_BACKBONE_TAKES)
    return table


def _listed(card: ModelCard) -> dict[str, dict[str, Any]]:
    from mmcli.engines.served import Server

    patient = dataclasses.replace(card, settings={**card.settings, **_PATIENCE})
    return {entry["id"]: entry for entry in Server(patient, "answer", 0.0).listed()}


def _only(source: str, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    what = f"has {len(names)} models: {_some(names)}" if names else "lists no model"
    raise UsageError(f"{source} {what}", "--server-model MODEL names one")


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")


def _takes(entry: Mapping[str, Any]) -> list[str]:
    """What a model takes, where the server tells it as OpenRouter does."""
    architecture = entry.get("architecture")
    told = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return [kind for kind in MODALITIES if kind in told] if isinstance(told, list) else []
