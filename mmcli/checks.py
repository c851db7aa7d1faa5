"""What can be known of a pipeline before anything loads: whether its stages fit, and what of it is installed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmcli import engines, families, store
from mmcli.catalogue import AUTO, PipelineSpec, make_options
from mmcli.errors import ConfigError, MissingPackage, MmcliError
from mmcli.languages import language_code
from mmcli.speech import check_length
from mmcli.text import primary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcli.catalogue import Catalogue, ModelCard

# Options that belong to no role.
SHARED_OPTIONS = ("runtime", "attachments")
CASCADE = ("vad", "diarize", "stt", "backbone", "e2e", "tts", "vocoder")
_WITH_E2E = ("vad", "e2e", "tts", "vocoder")
# Speakers are told apart only where that is asked for.
_UNASKED = ("vad", "stt", "backbone", "tts")
DEFAULT_DETECTOR = "silero"
DEFAULT_VOCODER = "griffin-lim"
# What comes with mmcli itself is for trying pipelines.
_FAKE = "embedded:mmcli"

# What goes into and comes out of each role, whatever else a model can take.
_FLOW: dict[str, tuple[str | None, str | None]] = {
    "vad": ("audio", None),
    "diarize": ("audio", None),
    "stt": ("audio", "text"),
    "backbone": ("text", "text"),
    "tts": ("text", "audio"),
    "vocoder": (None, "audio"),
    "e2e": ("audio", None),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check of a pipeline found about one role; `error` is None where all is well."""

    role: str
    text: str
    error: MmcliError | None = None


def check(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """Everything that can be known before a model loads: names, roles, what flows, options, what is installed."""
    spec = with_vocoder(with_detector(spec), catalogue)
    findings = [_check_shape(spec)]
    for role, name in spec.models.items():
        try:
            card = catalogue.model(name, role)
            engines.spec_of(card)
            _check_flow(role, card)
            options = make_options(role, spec.options.get(role, {}), spec.origins)
            if role == "stt":
                check_length(make_options("vad", spec.options.get("vad", {}), spec.origins), options)
            check_installed(card)
        except MmcliError as error:
            findings.append(Finding(role, name, error))
        else:
            where = "on a server" if store.is_served(card) else f"{card.size}, {card.license}"
            findings.append(Finding(role, f"{name}: {card.engine}, {where}"))
    if all(finding.error is None for finding in findings) and {"e2e", "tts"} <= spec.models.keys():
        findings += _check_voice(spec, catalogue)
    if all(finding.error is None for finding in findings) and {"tts", "vocoder"} & spec.models.keys():
        findings += _check_mel(spec, catalogue)
    for role in spec.options:
        if role not in (*spec.models, *SHARED_OPTIONS):
            lost = ConfigError(f'{_origin(spec, role)}: pipeline "{spec.name}" has options for {role}, but no {role}')
            findings.append(Finding(role, "options without a model", lost))
    return findings


def reach(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """Whether the servers that a pipeline asks answer, and list its models. They are asked."""
    findings = []
    for role, name in with_vocoder(spec, catalogue).models.items():
        try:
            card = catalogue.model(name, role)
            if engines.spec_of(card).served and store.is_served(card):
                findings.append(Finding(role, engines.load(card).server.reach()))
        except MmcliError as error:
            findings.append(Finding(role, name, error))
    return findings


def advise(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """What would run and may still not be wanted: languages that a model lacks, licences that forbid some uses."""
    cards = {role: catalogue.model(name, role) for role, name in with_vocoder(spec, catalogue).models.items()}
    findings = []
    for role, card in cards.items():
        asked = spec.options.get(role, {}).get("language")
        if isinstance(asked, str) and asked != AUTO and not _speaks(card, asked):
            mend = f"mmcli models list --role {role} names others"
            text = f'model "{card.name}" knows {", ".join(card.languages)}, and the option language asks for {asked}'
            findings.append(Finding(role, text, ConfigError(text, mend)))
        if families.is_noncommercial(card.license):
            findings.append(Finding(role, f"{card.license}: not for commercial use; take another model for that"))
    findings += _check_tongues(spec, cards)
    return findings


def _speaks(card: ModelCard, language: str) -> bool:
    return "*" in card.languages or primary(language_code(language)) in card.languages


def _check_tongues(spec: PipelineSpec, cards: Mapping[str, ModelCard]) -> list[Finding]:
    """Whether the voice knows the language in which it gets its text, as far as that is known."""
    voice = cards.get("tts")
    if voice is None:
        return []
    target = spec.options.get("e2e", {}).get("target_language")
    if isinstance(target, str) and not _speaks(voice, target):
        text = f'the answer is in {target}, and model "{voice.name}" speaks {", ".join(voice.languages)}'
        return [Finding("tts", text, ConfigError(text, "mmcli models list --role tts names others"))]
    writer = cards.get("backbone") or cards.get("e2e") or cards.get("stt")
    if writer is None or "*" in (*writer.languages, *voice.languages) or {*writer.languages} & {*voice.languages}:
        return []
    text = f'model "{writer.name}" writes {", ".join(writer.languages)}, model "{voice.name}" speaks {", ".join(voice.languages)}'
    return [Finding("tts", text, ConfigError(text, "mmcli models list --role tts names others"))]


def with_detector(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline with the default voice detector where it hears and names none."""
    if {"stt", "e2e"} & spec.models.keys() and "vad" not in spec.models:
        return spec.with_models({"vad": DEFAULT_DETECTOR}, "default")
    return spec


def with_vocoder(spec: PipelineSpec, catalogue: Catalogue) -> PipelineSpec:
    """The pipeline with the vocoder that its tts needs, if it needs one.

    That of "MODEL+VOCODER", else the pipeline's own, else that of the model's entry, else Griffin-Lim, which understands
    all but a scale of the model's own. ConfigError for two at the same place.
    """
    name = spec.models.get("tts")
    if name is None:
        return spec
    flagged = {role: spec.origins.get(role) == "flag" for role in ("tts", "vocoder")}
    if flagged["tts"] and not flagged["vocoder"]:  # what the file named was for another model
        spec = replace(spec, models={role: model for role, model in spec.models.items() if role != "vocoder"})
    model, plus, vocoder = name.rpartition("+")
    if plus and name not in catalogue.models and not Path(name).expanduser().is_dir():
        if "vocoder" in spec.models and flagged["vocoder"] == flagged["tts"]:
            raise ConfigError(f'"{name}" names a vocoder, and so does "{spec.models["vocoder"]}"', "leave one out")
        own = {"vocoder": vocoder} if "vocoder" not in spec.models else {}
        spec = spec.with_models({"tts": model, **own}, spec.origins["tts"])
    if "vocoder" in spec.models:
        return spec
    try:
        card = catalogue.model(spec.models["tts"], "tts")
        made = engines.mel_facts(card)
        if made is None or (made.own_scale and not card.vocoder):
            return spec
    except MmcliError:  # which `check` tells
        return spec
    return spec.with_models({"vocoder": card.vocoder or DEFAULT_VOCODER}, card.origin if card.vocoder else "default")


def _check_voice(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """Whether a voice has something to say: what one model from speech to speech writes, and does not speak itself."""
    card = catalogue.model(spec.models["e2e"], "e2e")
    if "audio" not in card.outputs:
        return []
    mend = f'take out tts, or let [models.{card.name}] give outputs = ["text"] alone'
    return [Finding("tts", spec.models["tts"], ConfigError(f'model "{card.name}" speaks by itself', mend))]


def _check_mel(spec: PipelineSpec, catalogue: Catalogue) -> list[Finding]:
    """Whether the tts has a vocoder where it needs one, and this understands its spectrograms."""
    from mmcli.mel import differences

    if "tts" not in spec.models:
        lost = ConfigError(f'pipeline "{spec.name}" has a vocoder, but no tts', "give it a tts")
        return [Finding("vocoder", spec.models["vocoder"], lost)]
    acoustic = catalogue.model(spec.models["tts"], "tts")
    name = spec.models.get("vocoder")
    try:
        made = engines.mel_facts(acoustic)
        if name is None:
            if made is not None:
                raise ConfigError(
                    f'model "{acoustic.name}" makes spectrograms in a scale of its own and has no vocoder',
                    "name the one that was trained with it: --vocoder NAME",
                )
            return []
        if made is None:
            raise ConfigError(f'model "{acoustic.name}" makes sound by itself', "leave out the vocoder")
        unlike = differences(made, engines.mel_facts(catalogue.model(name, "vocoder")))
        if unlike:
            fits = "name the one that was trained with it" if made.own_scale else "griffin-lim fits all"
            raise ConfigError(
                f'vocoder "{name}" does not fit model "{acoustic.name}": {", ".join(unlike)}',
                f"mmcli models list --role vocoder names others, {fits}",
            )
    except MmcliError as error:
        return [Finding("vocoder" if name else "tts", name or acoustic.name, error)]
    return []


def _origin(spec: PipelineSpec, role: str) -> str:
    return next((origin for key, origin in spec.origins.items() if key.startswith(f"options.{role}.")), spec.name)


def _check_shape(spec: PipelineSpec) -> Finding:
    roles = set(spec.models)
    error = None
    others = ", ".join(sorted(roles.difference(_WITH_E2E)))
    if "e2e" in roles and others:
        error = ConfigError(f'pipeline "{spec.name}": e2e hears and answers by itself', f"take out {others}")
    elif not roles & {"stt", "backbone", "tts", "e2e"}:
        error = ConfigError(f'pipeline "{spec.name}" names no model', "give it stt, backbone, tts or e2e")
    return Finding("shape", " -> ".join(r for r in CASCADE if r in roles), error)


def _check_flow(role: str, card: ModelCard) -> None:
    if role == "e2e" and not {"text", "audio"} & set(card.outputs):
        raise ConfigError(
            f'model "{card.name}" gives neither text nor audio, as e2e must',
            f"{card.origin} lists {', '.join(card.outputs) or 'nothing'}",
        )
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
