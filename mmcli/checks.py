"""What can be known of a pipeline before anything loads: whether its stages fit, and what of it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmcli import engines, store
from mmcli.catalogue import AUTO, PipelineSpec, make_options
from mmcli.errors import ConfigError, MissingPackage, MmcliError

if TYPE_CHECKING:
    from mmcli.catalogue import Catalogue, ModelCard

# Options that belong to no role.
SHARED_OPTIONS = ("runtime", "attachments")
CASCADE = ("vad", "diarize", "stt", "backbone", "tts")
# Speakers are told apart only where that is asked for.
_UNASKED = ("vad", "stt", "backbone", "tts")
DEFAULT_DETECTOR = "silero"
# What comes with mmcli itself is for trying pipelines.
_FAKE = "embedded:mmcli"

# What goes into and comes out of each role, whatever else a model can take.
_FLOW: dict[str, tuple[str | None, str | None]] = {
    "vad": ("audio", None),
    "diarize": ("audio", None),
    "stt": ("audio", "text"),
    "backbone": ("text", "text"),
    "tts": ("text", "audio"),
    "e2e": ("audio", "text"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check of a pipeline found about one role; `error` is None where all is well."""

    role: str
    text: str
    error: MmcliError | None = None


def check(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """Everything that can be known before a model loads: names, roles, what flows, options, what is installed."""
    spec = with_detector(spec)
    findings = [_check_shape(spec)]
    for role, name in spec.models.items():
        try:
            card = catalogue.model(name, role)
            engines.spec_of(card)
            _check_flow(role, card)
            make_options(role, spec.options.get(role, {}), spec.origins)
            check_installed(card)
        except MmcliError as error:
            findings.append(Finding(role, name, error))
        else:
            where = "on a server" if store.is_served(card) else f"{card.size_mb:g} MB, {card.license}"
            findings.append(Finding(role, f"{name}: {card.engine}, {where}"))
    for role in spec.options:
        if role not in (*spec.models, *SHARED_OPTIONS):
            lost = ConfigError(f'{_origin(spec, role)}: pipeline "{spec.name}" has options for {role}, but no {role}')
            findings.append(Finding(role, "options without a model", lost))
    return findings


def reach(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """Whether the servers that a pipeline asks answer, and list its models. They are asked."""
    findings = []
    for role, name in spec.models.items():
        try:
            card = catalogue.model(name, role)
            if engines.spec_of(card).served and store.is_served(card):
                findings.append(Finding(role, engines.load(card).server.reach()))
        except MmcliError as error:
            findings.append(Finding(role, name, error))
    return findings


def with_detector(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline with the default voice detector where it hears and names none."""
    if "stt" in spec.models and "vad" not in spec.models:
        return spec.with_models({"vad": DEFAULT_DETECTOR}, "default")
    return spec


def _origin(spec: PipelineSpec, role: str) -> str:
    return next((origin for key, origin in spec.origins.items() if key.startswith(f"options.{role}.")), spec.name)


def _check_shape(spec: PipelineSpec) -> Finding:
    roles = set(spec.models)
    error = None
    if "e2e" in roles and roles != {"e2e"}:
        others = ", ".join(sorted(roles - {"e2e"}))
        error = ConfigError(f'pipeline "{spec.name}": e2e goes from speech to speech by itself', f"take out {others}")
    elif not roles & {"stt", "backbone", "tts", "e2e"}:
        error = ConfigError(f'pipeline "{spec.name}" names no model', "give it stt, backbone, tts or e2e")
    return Finding("shape", " -> ".join(r for r in (*CASCADE, "e2e") if r in roles), error)


def _check_flow(role: str, card: ModelCard) -> None:
    takes, gives = _FLOW[role]
    for what, has, word in ((takes, card.inputs, "take"), (gives, card.outputs, "give")):
        if what is not None and what not in has:
            raise ConfigError(
                f'model "{card.name}" does not {word} {what}, as {role} must', f"{card.origin} lists {', '.join(has)}"
            )


def check_installed(card: ModelCard) -> None:
    """MissingPackage or MissingModel where something of a model is not here; ConfigError where its entry is wrong."""
    engine = engines.spec_of(card)
    for package in engines.missing_packages(engine):
        extra = f"mmcli[{engine.extra}]" if engine.extra else "mmcli"
        raise MissingPackage(f'model "{card.name}" needs the Python package {package}', f"pip install '{extra}'")
    if not (engine.served and store.is_served(card)):
        store.locate(card)


def is_fake(card: ModelCard) -> bool:
    """Whether a model is only there for trying pipelines."""
    return card.source == _FAKE


def ready(spec: PipelineSpec, catalogue: Catalogue) -> bool:
    """Whether the pipeline could run now."""
    return all(finding.error is None for finding in check(spec, catalogue))


def best_installed(catalogue: Catalogue) -> PipelineSpec:
    """The pipeline `auto`: the user's own of that name, else the first model of each role that is installed.

    The catalogue lists the models of a role from the best to the least. A role of which nothing is installed is left out:
    the fakes stand in for nothing.
    """
    if AUTO in catalogue.pipelines:
        return catalogue.pipelines[AUTO]
    spec = PipelineSpec(AUTO, {}, {}, {})
    for role in _UNASKED:
        spec = spec.with_models({role: best_model(catalogue, role)}, "the best that is installed")
    return spec


def best_model(catalogue: Catalogue, role: str) -> str | None:
    """The name of the first model of a role that is installed."""
    cards = (card for card in catalogue.models.values() if card.role == role and not is_fake(card))
    return next((card.name for card in cards if _installed(card)), None)


def _installed(card: ModelCard) -> bool:
    try:
        check_installed(card)
    except MmcliError:
        return False
    # What is said leaves this machine only where the user names a server's model.
    return not store.is_served(card)
