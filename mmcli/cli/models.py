"""mmcli models: what the catalogue holds and what of it is here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import read_catalogue
from mmcli.cli import common
from mmcli.errors import MmcliError
from mmcli.stages import ROLES

if TYPE_CHECKING:
    from mmcli.catalogue import ModelCard

app = common.command_app()


@app.callback(no_args_is_help=True)
def _models() -> None:
    """The models that mmcli knows."""


RoleOption = Annotated[str | None, typer.Option("--role", metavar="ROLE", help=f"Only these: {', '.join(ROLES)}.")]


@app.command("list")
def list_models(
    role: RoleOption = None,
    as_json: common.JsonOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """List the models, with what each takes and gives and whether it is installed."""
    cards = [card for card in read_catalogue(config).models.values() if role in (None, card.role)]
    if as_json:
        ui.write_json([_record(card) for card in cards])
        return
    rows = [
        (card.name, card.role, _flow(card), ", ".join(card.languages), f"{card.size_mb:g}", card.license, _state(card))
        for card in cards
    ]
    ui.table(["model", "role", "takes -> gives", "languages", "MB", "license", "state"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    as_json: common.JsonOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Show everything that is known of a model."""
    record = _record(read_catalogue(config).model(name))
    if as_json:
        ui.write_json(record)
        return
    ui.table(["", ""], [(key, _plain(value)) for key, value in record.items() if value not in ("", {}, None)])


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item}" for key, item in value.items())
    return str(value)


def _flow(card: ModelCard) -> str:
    return f"{', '.join(card.inputs)} -> {', '.join(card.outputs) or '-'}"


def _record(card: ModelCard) -> dict[str, Any]:
    from mmcli import store

    try:
        folder: str | None = str(store.locate(card))
    except MmcliError:
        folder = None
    return {**dataclasses.asdict(card), "state": _state(card), "folder": folder}


def _state(card: ModelCard) -> str:
    from mmcli import engines, store

    try:
        missing = engines.missing_packages(engines.spec_of(card))
        store.locate(card)
    except MmcliError as error:
        return str(error)
    return f"needs {', '.join(missing)}" if missing else "installed"
