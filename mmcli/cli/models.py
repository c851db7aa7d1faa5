"""mmcli models: what the catalogue holds, what of it is here, and how more of it comes here."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import cache, families, ui
from mmcli.catalogue import ModelCard, read_catalogue, user_config
from mmcli.cli import common
from mmcli.cli.models_add import TokenOption, add, remove_entry
from mmcli.cli.models_inspect import inspect
from mmcli.errors import InputError, MissingModel, MmcliError, UsageError, did_you_mean
from mmcli.stages import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmcli.catalogue import Catalogue

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
    if role not in (None, *ROLES):
        raise UsageError(f'"{role}" is no role', did_you_mean(str(role), ROLES) or ", ".join(ROLES))
    cards = [card for card in read_catalogue(config).models.values() if role in (None, card.role)]
    if as_json:
        ui.write_json([_record(card) for card in cards])
        return
    rows = [
        (card.name, card.role, _state(card), _flow(card), ", ".join(card.languages), _megabytes(card), card.license)
        for card in cards
    ]
    ui.table(["model", "role", "state", "takes -> gives", "languages", "MB", "license"], rows)


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
    unknown = {"size_mb": "not known", "revision": "not pinned"} if record["source"].startswith(cache.SCHEME) else {}
    told = {key: value if value not in ("", None) else unknown.get(key) for key, value in record.items()}
    ui.table(["", ""], [(key, _plain(value)) for key, value in told.items() if value not in ("", {}, None, False)])


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item}" for key, item in value.items())
    return str(value)


def _megabytes(card: ModelCard) -> str:
    return "not known" if card.size_mb is None else f"{card.size_mb:g}"


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
        engine = engines.spec_of(card)
        missing = engines.missing_packages(engine)
        if engine.served and store.is_served(card):
            return f"needs {', '.join(missing)}" if missing else "on a server"
        store.locate(card)
    except MissingModel:
        absent = "absent, gated" if card.gated else "absent"
        return "incomplete" if store.snapshot(card) is not None else absent
    except MmcliError as error:
        return str(error)
    return f"needs {', '.join(missing)}" if missing else "installed"


# ---------------------------------------------------------------- fetching, checking, deleting

NamesArgument = Annotated[
    list[str], typer.Argument(metavar="NAME", help="Names of models, hf:ORG/NAME or coqui:KIND/LANGUAGE/DATASET/MODEL.")
]


@app.command()
def pull(
    names: NamesArgument,
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="A branch, tag or commit instead of the model's own."),
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", "--accept-license", help="Take models whose licence sets conditions.")
    ] = False,
    hf_token: TokenOption = None,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Fetch models from the Hugging Face Hub or from Coqui TTS, once; afterwards they need no network.

    They go where other tools look for them too: the hub's ordinary cache, Coqui's own folder. What was interrupted goes
    on where it stopped. A model that needs a vocoder brings its own.
    """
    catalogue = read_catalogue(config)
    cards = [catalogue.models[name] for name in names if name in catalogue.models]
    names = [*names, *(card.vocoder for card in cards if card.vocoder)]

    def fetch(name: str) -> None:
        card = _card(catalogue, name)
        if revision is not None:
            card = dataclasses.replace(card, revision=revision)
        _pull(card, hf_token, accepted=accept_licence, quiet=quiet)

    _each(names, fetch)


def _each(names: Sequence[str], work: Callable[[str], None]) -> None:
    """Do it for each name once; a failure has its line and the others go on."""
    names = list(dict.fromkeys(names))
    failures = []
    for name in names:
        try:
            work(name)
        except MmcliError as error:
            ui.error(error)
            failures.append(error)
    common.finish(len(names), failures)


def _card(catalogue: Catalogue, name: str) -> ModelCard:
    """The entry of a name; for a model of the hub that need not be here, one without role and engine."""
    if name in catalogue.models or not name.startswith(cache.FETCHED):
        return catalogue.model(name)
    if name.startswith(cache.COQUI):
        return ModelCard(name=name, role="", engine="", source=name)
    repo, revision = cache.parse(name)
    return ModelCard(name=name, role="", engine="", source=f"{cache.SCHEME}{repo}", revision=revision)


def _pull(card: ModelCard, token: str | None, *, accepted: bool, quiet: bool, again: bool = False) -> None:
    from mmcli import store
    from mmcli.hub import Hub

    tell = (lambda text: None) if quiet else ui.note
    if store.is_served(card):
        tell(f"{card.name} needs no fetching: it runs on a server")
        return
    if not card.source.startswith(cache.FETCHED):
        tell(f"{card.name} needs no fetching: {store.locate(card)}")
        return
    if not again:
        try:
            tell(f"{card.name} is already here: {store.locate(card)}")
        except MissingModel:
            pass
        else:
            return
    if card.source.startswith(cache.COQUI):
        _pull_release(card, accepted=accepted, tell=tell)
        return
    repo, revision = cache.parse(card.source, card.revision)
    if card.license:  # known before the hub is asked
        _check_licence(card, card.license, f"https://huggingface.co/{repo}", accepted=accepted)
    hub = Hub(token)
    found = hub.describe(repo, revision)
    _check_licence(card, card.license or found.license, found.page, accepted=accepted)
    engine = card.engine
    if not engine:
        family = families.recognise(hub.config(found), found.files)
        engine = family.engine if family is not None else ""
    plan = hub.plan(found, engine)
    with ui.transfer(card.name, plan.bytes) as advance:
        folder = hub.fetch(plan, advance)
    whole = sum(facts.size or 0 for facts in plan.files.values())
    tell(f"{card.name}: {len(plan.files)} files, {ui.size(whole)}, commit {found.commit}: {folder}")
    if not engine:
        tell(f"no engine is known for it; mmcli models add MYNAME {card.name} --role ROLE --engine ENGINE names one")


def _check_licence(card: ModelCard, terms: str, page: str, *, accepted: bool) -> None:
    # Coqui's own word for having read its licence, which its program asks for on a terminal.
    agreed = families.is_coquis(terms) and os.environ.get("COQUI_TOS_AGREED") == "1"
    if not (accepted or agreed or families.is_free(terms)):
        raise UsageError(f"{card.name}: its licence ({terms}) sets conditions, see {page}", "--accept-licence")


def _pull_release(card: ModelCard, *, accepted: bool, tell: Callable[[str], None]) -> None:
    from mmcli import releases

    release = cache.parse_release(card.source, card.revision)
    terms = card.license or releases.license_of(release) or "unknown"
    _check_licence(card, terms, "the page of Coqui TTS", accepted=accepted)
    archive = releases.find(release)
    with ui.transfer(card.name, archive.size) as advance:
        folder = releases.fetch(archive, advance)
    tell(f"{card.name}: {ui.size(archive.size)}, {release.tag or 'the release of its list'}: {folder}")


@app.command()
def remove(
    names: NamesArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Delete pulled models from the cache, where other tools see them too; of models that you added, else their names.

    A folder of yours is never deleted, only its name is taken out of your configuration.
    """
    from mmcli import store

    catalogue = read_catalogue(config)

    def delete(name: str) -> None:
        card = _card(catalogue, name)
        name_only = card.origin == str(user_config()) and store.snapshot(card) is None
        if not name_only:
            store.check_removable(card)
        if not yes:
            if not ui.can_ask():
                raise UsageError(f"{name} is not deleted unasked", f"mmcli models remove {name} --yes")
            if not ui.ask(f"Take {name} out of {card.origin}?" if name_only else f"Delete {name} ({card.source})?"):
                return
        if name_only:
            remove_entry(user_config(), card.name)
            told = f"{name} is taken out of {card.origin}; nothing else is deleted"
        else:
            told = f"{name}: {ui.size(store.remove(card))} freed"
        if not quiet:
            ui.note(told)

    _each(names, delete)


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]", help="Without one: all that are here.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Fetch broken files again.")] = False,
    hf_token: TokenOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Check the files of pulled models against their sizes and hashes; folders of your own have none."""
    from mmcli import store

    catalogue = read_catalogue(config)
    results: list[dict[str, Any]] = []

    def examine(name: str) -> None:
        card = _card(catalogue, name)
        folder = store.snapshot(card)
        if folder is None:
            folder = None if store.is_served(card) else store.locate(card)
            results.append({"model": name, "checked": 0, "broken": [], "folder": str(folder) if folder else None})
            return
        facts = store.expected(folder)
        with ui.transfer(name, sum(store.size(folder / file) or 0 for file in facts)) as advance:
            broken = store.check(folder, advance)
        results.append({"model": name, "checked": len(facts), "broken": broken, "folder": str(folder)})
        if broken and not fix:
            raise InputError(name, f"broken: {', '.join(broken)}", f"mmcli models verify {name} --fix")
        if broken:
            for file in broken:
                store.discard(folder, file)
            # The very commit that is here, whatever its branch has become.
            hub = card.source.startswith(cache.SCHEME)
            pinned = dataclasses.replace(card, revision=folder.name) if hub else card
            _pull(pinned, hf_token, accepted=True, quiet=quiet, again=True)
        store.locate(card)

    here = [card.name for card in catalogue.models.values() if card.source.startswith(cache.FETCHED)]
    chosen = names or [name for name in here if store.snapshot(catalogue.models[name]) is not None]
    if not chosen and not quiet:
        ui.note("no model that was fetched is here; mmcli models pull NAME fetches one")
    try:
        _each(chosen, examine)
    finally:
        if as_json:
            ui.write_json(results)
        else:
            ui.table(["model", "state"], [(result["model"], _verdict(result, fix=fix)) for result in results])


def _verdict(result: Mapping[str, Any], *, fix: bool) -> str:
    if result["broken"]:
        return f"{'was ' if fix else ''}broken: {', '.join(result['broken'])}"
    return "whole" if result["checked"] else "there; no hashes to check it by"


app.command("add")(add)
app.command("inspect")(inspect)
