"""The models and pipelines that mmcli knows: models.toml, then the user's file, then --config, each merged over the last.

It turns TOML into ModelCard and PipelineSpec and finds mistakes in it; of engines and weights it knows nothing. A model
that stands in no file is named by its folder or as hf:ORG/NAME, and its entry is made from its config.json.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcli import cache, families
from mmcli.errors import ConfigError, MissingModel, did_you_mean
from mmcli.languages import language_code
from mmcli.options import OPTIONS
from mmcli.stages import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AUTO = "auto"
"""The pipeline of whatever is the best here; checks.py finds it out."""
MODALITIES = ("audio", "text", "image", "document", "video")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is: one [models.NAME] table."""

    name: str
    role: str
    engine: str
    source: str
    license: str = ""
    revision: str = ""
    gated: bool = False
    """Whether its terms have to be accepted on the hub first."""
    size_mb: float | None = None
    """What is fetched of it, in 10^6 bytes; None where nobody looked."""
    languages: tuple[str, ...] = ("*",)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    vocoder: str = ""
    """Of a model that makes spectrograms: the one that is made for them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the engine's own; the engine says what it knows."""
    origin: str = "models.toml"
    """The file that the entry comes from."""

    @property
    def size(self) -> str:
        """Its size in words."""
        return "size not known" if self.size_mb is None else f"{self.size_mb:g} MB"


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """Which model plays which role and with which options: one [pipelines.NAME] table.

    `origins` tells where each value comes from; its keys are "stt", "options.stt.language" and so on.
    """

    name: str
    models: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, str]

    def with_models(self, models: Mapping[str, str | None], origin: str) -> PipelineSpec:
        """The same pipeline with some models exchanged; None leaves a role as it is."""
        given = {role: name for role, name in models.items() if name is not None}
        return dataclasses.replace(
            self, models={**self.models, **given}, origins={**self.origins, **dict.fromkeys(given, origin)}
        )

    def with_options(self, role: str, options: Mapping[str, Any], origin: str) -> PipelineSpec:
        """The same pipeline with some options of a role set; None leaves an option as it is."""
        given = {key: value for key, value in options.items() if value is not None}
        if not given:
            return self
        merged = {**self.options, role: {**self.options.get(role, {}), **given}}
        origins = {**self.origins, **{f"options.{role}.{key}": origin for key in given}}
        return dataclasses.replace(self, options=merged, origins=origins)


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, ModelCard]
    pipelines: Mapping[str, PipelineSpec]
    log: bool = True
    """Whether conversations are kept."""

    def model(self, name: str, role: str | None = None) -> ModelCard:
        """The entry of that name, or one made for a folder or for `hf:ORG/NAME`, each recognised by its config.json.

        ConfigError with the nearest name where there is none, or where it has another role; MissingModel for a model
        of the hub that is not here.
        """
        card = self.models.get(name) or unlisted(name, role)
        if card is None:
            known = [other.name for other in self.models.values() if role in (None, other.role)]
            raise ConfigError(
                f'there is no model "{name}"', did_you_mean(name, known) or "mmcli models list names those there are"
            )
        if role is not None and card.role != role:
            raise ConfigError(
                f'model "{name}" has the role {card.role}, not {role}', f"mmcli models list --role {role} names others"
            )
        return card

    def pipeline(self, name: str) -> PipelineSpec:
        """The pipeline of that name; ConfigError with the nearest name where there is none."""
        spec = self.pipelines.get(name)
        if spec is None:
            raise ConfigError(
                f'there is no pipeline "{name}"',
                did_you_mean(name, self.pipelines) or "mmcli pipelines list names those there are",
            )
        return spec


def unlisted(name: str, role: str | None = None) -> ModelCard | None:
    """The entry that a folder or a pulled `hf:ORG/NAME` would have, in that role if it can; None where it is neither."""
    if name.startswith(cache.SCHEME):
        repo, revision = cache.parse(name)
        folder = cache.snapshot(repo, revision)
        to_come = cache.read_manifest(folder) if folder is not None else {}
        if folder is None or (families.CONFIG in to_come and not (folder / families.CONFIG).is_file()):
            raise MissingModel(f'model "{name}" is not on this machine', f"mmcli models pull {name}")
        source = f"{cache.SCHEME}{repo}"
    elif name.startswith(cache.COQUI):
        folder, revision, to_come, source = cache.parse_release(name).folder, "", {}, name
        if not folder.is_dir():
            raise MissingModel(f'model "{name}" is not on this machine', f"mmcli models pull {name}")
    elif name.startswith(("http://", "https://")):
        raise ConfigError("the address of a server is no name of a model", f"mmcli models add MYNAME {name}")
    elif "/" in name or Path(name).exists():
        folder, revision, to_come = Path(name).expanduser().absolute(), "", {}
        source = f"path:{folder}"
        if folder.is_file():
            raise ConfigError(f'"{name}" is a file, and a model is a folder with its config.json')
        if not folder.is_dir():
            raise ConfigError(f'there is no folder "{name}"', "mmcli models list names the models that have names")
    else:
        return None
    family = families.recognise_folder(folder, to_come, role)
    if family is None:
        raise ConfigError(
            f'"{name}" is a model of no known family', f"mmcli models add MYNAME {name} --role ROLE --engine ENGINE"
        )
    return ModelCard(
        name=name,
        role=family.role,
        engine=family.engine,
        source=source,
        revision=revision,
        inputs=family.inputs,
        outputs=family.outputs,
        origin="the command line",
    )


def package_data(name: str) -> Path:
    """A file or folder that the wheel carries inside the package and a checkout beside it."""
    installed = Path(__file__).parent / name
    return installed if installed.exists() else Path(__file__).parent.parent / name


def user_config() -> Path:
    """Where the user's own models and pipelines stand."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "mmcli" / "config.toml"


def read_catalogue(config: Path | None = None) -> Catalogue:
    """models.toml, the user's file where there is one, and `config`, merged in this order.

    ConfigError names file, table and key of what is unknown or of the wrong type.
    """
    files = [package_data("models.toml")]
    if user_config().is_file():
        files.append(user_config())
    if config is not None:
        files.append(config)
    models: dict[str, ModelCard] = {}
    pipelines: dict[str, PipelineSpec] = {}
    log = True
    for file in files:
        origin = "models.toml" if file == files[0] else str(file)
        tables = _read_toml(file, origin)
        _known_keys(tables, ("models", "pipelines", "log"), origin, "")
        log = _log(tables, origin, log)
        for name, table in _tables(tables, "models", origin):
            models[name] = _model(name, table, origin, models.get(name))
        for name, table in _tables(tables, "pipelines", origin):
            pipelines[name] = _pipeline(name, table, origin, pipelines.get(name))
    return Catalogue(models, pipelines, log)


def _log(tables: Mapping[str, Any], origin: str, former: bool) -> bool:
    table = tables.get("log", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{origin}: log must be a table, as in [log]")
    _known_keys(table, ("enabled",), origin, "[log]")
    enabled = table.get("enabled", former)
    _check_type(enabled, "bool", f"{origin}: [log] enabled")
    return bool(enabled)


def make_options(role: str, given: Mapping[str, Any], origins: Mapping[str, str]) -> Any:
    """The options of a role as its frozen dataclass; ConfigError for an unknown key or a value of the wrong type."""
    cls = OPTIONS[role]
    types = {item.name: str(item.type) for item in dataclasses.fields(cls)}
    fields = {name: kind for name, kind in types.items() if kind in _ROWS or set(kind.split(" | ")) <= set(_TYPES)}
    values = {}
    for key, value in given.items():
        where = f"{origins.get(f'options.{role}.{key}', 'option')}: {role} option"
        if key not in fields:
            raise ConfigError(f'{where} "{key}" is unknown', did_you_mean(key, fields) or f"known: {', '.join(fields)}")
        # As an option that is not given, but also over one that a configuration gives.
        chosen = None if key == "language" and value == "auto" else value
        if key.endswith("language") and isinstance(chosen, str):
            chosen = language_code(chosen)
        values[key] = _option(chosen, fields[key], f"{where} {key}")
    return cls(**values)


_ROWS = {"tuple[float, ...]": "float", "tuple[int, ...]": "int", "tuple[str, ...]": "str"}


def _option(value: Any, annotation: str, where: str) -> Any:
    """A value as the option has it: rows of numbers as tuples, a bound that is infinite as None, which is none."""
    if annotation in _ROWS:
        if not isinstance(value, list | tuple):
            what = "strings" if _ROWS[annotation] == "str" else "numbers"
            raise ConfigError(f"{where} must be a list of {what}, not {value!r}")
        return tuple(_option(item, _ROWS[annotation], where) for item in value)
    _check_type(value, annotation, where)
    if annotation.startswith("float") and value is not None:
        if math.isfinite(value):
            return float(value)
        if "None" not in annotation or math.isnan(value):
            raise ConfigError(f"{where} must be a number, not {value!r}")
        return None
    return value


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "None": (type(None),),
}


def _check_type(value: Any, annotation: str, where: str) -> None:
    names = [part.strip() for part in annotation.split("|")]
    allowed = [kind for name in names for kind in _TYPES[name]]
    # bool is an int in Python, but `beam_size = true` is a mistake
    if not isinstance(value, tuple(allowed)) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join(name for name in names if name != "None")
        raise ConfigError(f"{where} must be {wanted}, not {value!r}")


def _read_toml(file: Path, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{origin}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{origin}: is not TOML ({error})") from error


def _known_keys(table: Mapping[str, Any], known: Iterable[str], origin: str, where: str) -> None:
    known = list(known)
    for key in table:
        if key not in known:
            place = f"{where} " if where else ""
            raise ConfigError(
                f'{origin}: {place}unknown key "{key}"', did_you_mean(key, known) or f"known: {', '.join(known)}"
            )


def _tables(tables: Mapping[str, Any], kind: str, origin: str) -> Iterable[tuple[str, dict[str, Any]]]:
    entries = tables.get(kind, {})
    if not isinstance(entries, dict) or not all(isinstance(table, dict) for table in entries.values()):
        raise ConfigError(f"{origin}: [{kind}] must hold tables, as in [{kind}.NAME]")
    return entries.items()


_CARD_TYPES = {
    "size_mb": "float",
    "gated": "bool",
    "settings": "table",
    "languages": "list",
    "inputs": "list",
    "outputs": "list",
}


def _model(name: str, table: Mapping[str, Any], origin: str, former: ModelCard | None) -> ModelCard:
    where = f"[models.{name}]"
    known = [item.name for item in dataclasses.fields(ModelCard) if item.name not in ("name", "origin")]
    _known_keys(table, known, origin, where)
    values: dict[str, Any] = {}
    for key, value in table.items():
        kind = _CARD_TYPES.get(key, "str")
        if kind == "list":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{origin}: {where} {key} must be a list of strings, not {value!r}")
            values[key] = tuple(value)
        elif kind == "table":
            if not isinstance(value, dict):
                raise ConfigError(f"{origin}: {where} {key} must be a table, not {value!r}")
            values[key] = value
        else:
            _check_type(value, kind, f"{origin}: {where} {key}")
            values[key] = value
    if former is not None:
        return dataclasses.replace(former, **values, origin=origin)
    for key in ("role", "engine", "source"):
        if key not in values:
            raise ConfigError(f"{origin}: {where} {key} is missing")
    card = ModelCard(name=name, origin=origin, **values)
    _one_of(card.role, ROLES, f"{origin}: {where} role")
    for modality in (*card.inputs, *card.outputs):
        _one_of(modality, MODALITIES, f"{origin}: {where} inputs and outputs")
    return card


def _one_of(value: str, known: Iterable[str], where: str) -> None:
    known = list(known)
    if value not in known:
        raise ConfigError(f'{where}: "{value}" is none of {", ".join(known)}', did_you_mean(value, known))


def _pipeline(name: str, table: Mapping[str, Any], origin: str, former: PipelineSpec | None) -> PipelineSpec:
    where = f"[pipelines.{name}]"
    _known_keys(table, (*ROLES, "options"), origin, where)
    spec = former or PipelineSpec(name, {}, {}, {})
    models = {role: value for role, value in table.items() if role != "options"}
    for role, value in models.items():
        _check_type(value, "str", f"{origin}: {where} {role}")
    spec = spec.with_models(models, origin)
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise ConfigError(f"{origin}: {where} options must be a table, as in [pipelines.{name}.options.stt]")
    _known_keys(options, OPTIONS, origin, f"[pipelines.{name}.options]")
    for role, given in options.items():
        if not isinstance(given, dict):
            raise ConfigError(f"{origin}: [pipelines.{name}.options] {role} must be a table")
        spec = spec.with_options(role, given, origin)
        make_options(role, spec.options[role], spec.origins)
    return spec
