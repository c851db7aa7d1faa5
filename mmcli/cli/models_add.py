"""mmcli models add: a folder, a model of the hub or one on a server gets a name in the user's own configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import cache, families, ui
from mmcli.catalogue import MODALITIES, ModelCard, read_catalogue, user_config
from mmcli.cli import common
from mmcli.cli.models_served import SERVED_BY, of_server
from mmcli.errors import ConfigError, InputError, OutputError, UsageError, did_you_mean
from mmcli.languages import language_code
from mmcli.stages import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable

TokenOption = Annotated[
    str | None,
    typer.Option("--hf-token", metavar="TOKEN", help="Access token of the hub; without it HF_TOKEN is used."),
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What a model of each role takes and gives, where its family is not known.
_FLOW: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "vad": (("audio",), ()),
    "diarize": (("audio",), ()),
    "stt": (("audio",), ("text",)),
    "backbone": (("text",), ("text",)),
    "tts": (("text",), ("audio",)),
    "vocoder": ((), ("audio",)),
    "e2e": (("audio",), ("text", "audio")),
}


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it shall be called.")],
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|hf:ORG/NAME|URL", help="Where it is; http://HOST/v1 is a server.")
    ],
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help=f"{', '.join(ROLES)}; else its config.json tells.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="ENGINE", help="What runs it; else its config.json tells.")
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", help="A branch, tag or commit; it is pinned to the commit."),
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option("--language", "-l", metavar="CODE", help="ISO 639-1 code; repeat for more.")
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", "--license", metavar="SPDX", help="Its licence.")] = None,
    server_model: Annotated[
        str | None,
        typer.Option("--server-model", metavar="MODEL", help="Its name on the server, where that has several."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="KIND", help=f"What it takes: {', '.join(MODALITIES)}; repeat for more."),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option("--api-key-env", metavar="VARIABLE", help="Where the server's key is, if not in OPENAI_API_KEY."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an entry of that name.")] = False,
    hf_token: TokenOption = None,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Give a name to a model in a folder, on the hub or on a server, in your own configuration file.

    Of a model on the hub only config.json is fetched; `mmcli models pull NAME` brings the rest. A server is asked which
    models it has; its key is never written down.
    """
    known = read_catalogue(config).models
    if not _NAME.fullmatch(name) or name.endswith(".toml"):
        raise UsageError(f'"{name}" is no name for a model', "letters, digits, dots, hyphens and underscores make one")
    if name in known and not force:
        raise UsageError(f'there is a model "{name}" already, in {known[name].origin}', "--force replaces it")
    for kind in inputs or ():
        if kind not in MODALITIES:
            raise UsageError(
                f'"{kind}" is nothing that a model takes', did_you_mean(kind, MODALITIES) or ", ".join(MODALITIES)
            )
    if source.startswith(("http://", "https://")):
        settings = {"model": server_model, "api_key_env": api_key_env}
        role = role or _role_of(engine) or "backbone"
        engine = engine or SERVED_BY.get(role)
        table = of_server(name, source, role, engine, settings)
    elif server_model or api_key_env:
        raise UsageError(
            f"--{'server-model' if server_model else 'api-key-env'} is for a server", "name its http://HOST/v1"
        )
    elif source.startswith(cache.SCHEME):
        table = _of_hub(source, revision, engine, hf_token)
    else:
        table = _of_folder(source, engine)
    family = table.pop("family", None)
    table["role"] = role or _role_of(engine) or (family.role if family is not None else None)
    table["engine"] = engine or (family.engine if family is not None else None)
    if not table["role"] or not table["engine"]:
        raise ConfigError(f"{source}: is a model of no known family", "tell --role ROLE and --engine ENGINE")
    if family is not None and (family.role, family.engine) == (table["role"], table["engine"]):
        table["inputs"], table["outputs"] = list(family.inputs), list(family.outputs)
    elif table["role"] in _FLOW:
        takes, gives = map(list, _FLOW[table["role"]])
        table["inputs"], table["outputs"] = table.get("inputs") or takes, gives
    table["inputs"] = inputs or table.get("inputs")
    table["languages"] = list(map(language_code, language or ["*"]))
    table["license"] = licence or table.get("license", "")
    _check_engine(name, table, given=engine is not None or role is not None)
    write_entry(user_config(), name, table)
    if not quiet:
        pull = f"; mmcli models pull {name} fetches it" if source.startswith(cache.SCHEME) else ""
        ui.note(f"{name} is {table['role']} with {table['engine']}, written to {user_config()}{pull}")


def _role_of(engine: str | None) -> str | None:
    from mmcli.engines import ENGINES

    return ENGINES[engine].role if engine in ENGINES else None


def _check_engine(name: str, table: dict[str, Any], *, given: bool) -> None:
    from mmcli.engines import spec_of

    if table["role"] not in ROLES:
        raise ConfigError(f'"{table["role"]}" is no role', did_you_mean(table["role"], ROLES) or ", ".join(ROLES))
    if given:
        spec_of(ModelCard(name, table["role"], table["engine"], table["source"], origin="the command line"))


def _of_folder(source: str, engine: str | None) -> dict[str, Any]:
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise InputError(source, "there is no such folder", "name a folder, or hf:ORG/NAME")
    names = families.file_names(folder)
    family = families.recognise(families.read_config(folder), names)
    _check_whole(source, engine or (family.engine if family is not None else ""), names)
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return {"family": family, "source": f"path:{folder}", "size_mb": _megabytes(size)}


def _of_hub(source: str, revision: str | None, engine: str | None, token: str | None) -> dict[str, Any]:
    from mmcli.hub import Hub

    hub = Hub(token)
    found = hub.describe(*cache.parse(source, revision or ""))
    family = families.recognise(hub.config(found), found.files)
    plan = hub.plan(found, engine or (family.engine if family is not None else ""))
    size = sum(facts.size or 0 for facts in plan.files.values())
    return {
        "family": family,
        "source": f"{cache.SCHEME}{found.repo}",
        "revision": found.commit,
        "license": found.license,
        "size_mb": _megabytes(size),
    }


def _check_whole(source: str, engine: str, names: list[str]) -> None:
    gaps = families.lacking(engine, names)
    if gaps:
        raise InputError(source, f"has no {' and no '.join(gaps)}, which {engine} needs")


def _megabytes(size: int) -> float:
    return round(size / 1e6, 1)


def write_entry(file: Path, name: str, table: dict[str, Any]) -> None:
    """Put [models.NAME] into a configuration file, in place of one of that name; all else stays as it is, comments too.

    OutputError where the file cannot be written.
    """
    import tomlkit

    def put(models: Any) -> None:
        entry = tomlkit.table()
        for key in ("role", "engine", "source", "revision", "license", "size_mb", "languages", "inputs", "outputs"):
            if table.get(key) not in (None, ""):
                entry[key] = table[key]
        if table.get("settings"):
            entry["settings"] = tomlkit.inline_table()
            entry["settings"].update(table["settings"])
        models[name] = entry

    _edit(file, put)


def remove_entry(file: Path, name: str) -> None:
    """Take [models.NAME] out of a configuration file; all else stays as it is. OutputError as `write_entry`."""
    _edit(file, lambda models: models.remove(name))


def _edit(file: Path, change: Callable[[Any], None]) -> None:
    """Change the table [models] of a configuration file in place."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from mmcli.media.files import atomic_path

    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8")) if file.is_file() else tomlkit.document()
        change(document.setdefault("models", tomlkit.table(is_super_table=True)))
        text = tomlkit.dumps(document).lstrip()
    except TOMLKitError as error:
        raise OutputError(f"{file}: cannot be extended ({error})", "write the entry by hand") from error
    with atomic_path(file) as aside:
        aside.write_text(text, encoding="utf-8")
