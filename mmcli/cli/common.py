"""Options that several commands share, declared once, and the way from a name to a pipeline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import AUTO, Catalogue, PipelineSpec, make_options, read_catalogue
from mmcli.errors import ConfigError, MmcliError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mmcli.stages import Attachment, Turn


def command_app() -> typer.Typer:
    """An empty Typer app as every command's file has one."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


def _debug(value: bool) -> None:
    if value:
        os.environ["MMCLI_DEBUG"] = "1"


def _pipeline_names(incomplete: str) -> list[str]:
    return [name for name in (AUTO, *read_catalogue().pipelines) if name.startswith(incomplete)]


def model_names(role: str) -> Any:
    """A completer for the models of a role."""

    def complete(incomplete: str) -> list[str]:
        models = read_catalogue().models.values()
        return [card.name for card in models if card.role == role and card.name.startswith(incomplete)]

    return complete


def _model_option(role: str, what: str) -> Any:
    return typer.Option("--model", "-m", metavar="NAME", help=what, autocompletion=model_names(role))


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="MMCLI_CONFIG", help="More models and pipelines, merged last."),
]
DebugOption = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show tracebacks.")]
PipelineOption = Annotated[
    str,
    typer.Option(
        "--pipeline",
        "-p",
        metavar="NAME|FILE",
        help="The pipeline whose models are used; auto takes the best models that are installed.",
        autocompletion=_pipeline_names,
    ),
]
SttModelOption = Annotated[str | None, _model_option("stt", "The model that hears.")]
BackboneModelOption = Annotated[str | None, _model_option("backbone", "The model that answers.")]
TtsModelOption = Annotated[str | None, _model_option("tts", "The model that speaks.")]
VocoderOption = Annotated[
    str | None,
    typer.Option(
        "--vocoder",
        metavar="NAME|FOLDER",
        help="What makes a spectrogram model's sound, instead of its own vocoder.",
        autocompletion=model_names("vocoder"),
    ),
]
SpeakerWavOption = Annotated[
    list[str] | None,
    typer.Option("--speaker-wav", metavar="FILE", help="A recording of the voice to take over; repeat for more."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notes on standard error.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
LanguageOption = Annotated[
    str | None, typer.Option("--language", "-l", metavar="CODE", help="ISO 639-1 code, English name, or auto.")
]
FastOption = Annotated[bool | None, typer.Option("--fast", help="Hear faster and less well.")]
VoiceOption = Annotated[
    str | None, typer.Option("--voice", metavar="NAME", help="A voice of the model, or a file that is one.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="CODE", help="The language to translate into, for e2e models that can.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="CODE", help="That of the typed text, for e2e models that translate.")
]
SpeedOption = Annotated[float | None, typer.Option("--speed", help="1 is the voice's own pace.")]
PitchOption = Annotated[float | None, typer.Option("--pitch", help="1 is the voice's own pitch.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Draw the same at random each time.")]
VadThresholdOption = Annotated[
    float | None, typer.Option("--vad-threshold", min=0.0, max=1.0, help="Probability from which sound is speech.")
]
VadSpeechOption = Annotated[
    int | None, typer.Option("--vad-min-speech-duration-ms", min=0, help="Shorter bursts are noise.")
]
VadMaxSpeechOption = Annotated[
    float | None,
    typer.Option(
        "--vad-max-speech-duration-s", min=1.0, help="Longer speech is cut; at most 30, more with sequential."
    ),
]
VadSilenceOption = Annotated[
    int | None, typer.Option("--vad-min-silence-duration-ms", min=0, help="A pause that ends an utterance.")
]
VadPadOption = Annotated[
    int | None, typer.Option("--vad-speech-pad-ms", min=0, help="Kept before and after an utterance.")
]


def choose_pipeline(
    name: str, config: Path | None, roles: tuple[str, ...], *, models: dict[str, str | None], quiet: bool = False
) -> tuple[PipelineSpec, Catalogue]:
    """The named pipeline with the models exchanged that flags name; `auto` takes the best that is installed.

    A name that ends in .toml is a file with one pipeline, read like --config. From then on what models tell while they
    load and run, such as a device that they cannot use, goes to standard error.
    """
    _show_warnings(quiet)
    if name.endswith(".toml"):
        return _pipeline_of_file(Path(name), config, models)
    catalogue = read_catalogue(config)
    if name != AUTO:
        return _exchange(catalogue.pipeline(name), models), catalogue
    from mmcli.checks import best_installed

    spec = best_installed(catalogue)
    embedded = [
        spec.models[role]
        for role in roles
        if role in spec.models
        and models.get(role) is None
        and catalogue.model(spec.models[role]).source.startswith("embedded:")
    ]
    if embedded and not quiet:
        ui.note(f"using {', '.join(embedded)}, which needs no download; `mmcli models list` names others")
    return _exchange(spec, models), catalogue


def _show_warnings(quiet: bool) -> None:
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ui.note(record.getMessage())

    logger = logging.getLogger("mmcli")
    logger.handlers[:] = [logging.NullHandler() if quiet else Notes()]
    logger.propagate = False


def _exchange(spec: PipelineSpec, models: dict[str, str | None]) -> PipelineSpec:
    return spec.with_models(models, "flag")


def _pipeline_of_file(file: Path, config: Path | None, models: dict[str, str | None]) -> tuple[PipelineSpec, Catalogue]:
    if config is not None:
        raise UsageError(f"--config {config} and the pipeline file {file} cannot both be given")
    catalogue = read_catalogue(file)
    own = [spec for spec in catalogue.pipelines.values() if str(file) in spec.origins.values()]
    if len(own) != 1:
        names = ", ".join(spec.name for spec in own) or "none"
        raise ConfigError(
            f"{file}: holds {len(own)} pipelines ({names}), not one", f"name one: --config {file} --pipeline NAME"
        )
    return _exchange(own[0], models), catalogue


def expanded(names: Iterable[str]) -> list[str]:
    """The attachments that names, patterns and folders of a command line stand for."""
    names = list(names)
    if names.count("-") > 1:
        raise UsageError("standard input can be attached only once")
    from mmcli.media.names import expand

    return expand(names)


def opener(spec: PipelineSpec) -> Callable[[str], Attachment]:
    """What opens and checks an attachment, with the options that the pipeline has for them."""
    from mmcli.media.attachments import check_options, open_attachment

    options = make_options("attachments", spec.options.get("attachments", {}), spec.origins)
    check_options(options)
    return lambda name: open_attachment(name, options)


def all_of(turn: Turn) -> list[Attachment]:
    """The attachments of a turn and of its examples."""
    return [*turn.attachments, *(attachment for attachment, _ in turn.examples)]


def check_flags(turn: Turn, flags: Mapping[str, Any]) -> None:
    """UsageError for a flag about documents or videos where none is given."""
    from mmcli.stages import Document, Video

    given = all_of(turn)
    wants = {"pages": (Document, "documents"), "frames": (Video, "videos"), "fps": (Video, "videos")}
    for flag, (kind, word) in wants.items():
        if flags[flag] is not None and not any(isinstance(attachment, kind) for attachment in given):
            raise UsageError(f"--{flag} is for {word}, and none is attached")


def finish(total: int, failures: list[MmcliError]) -> None:
    """End a run over many items: silent where all went well, the one error where there was one item, else exit 1 or 3."""
    if not failures:
        return
    if total == len(failures):
        raise typer.Exit(failures[0].exit_code if total == 1 else 1)
    ui.note(f"{len(failures)} of {total} failed")
    raise typer.Exit(3)
