"""The flags of who speaks, declared once, and the way from them to the options of the role diarize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli.cli.common import model_names
from mmcli.errors import MissingModel, UsageError
from mmcli.options import flag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmcli.catalogue import Catalogue, PipelineSpec


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(*name.split(), help=text, rich_help_panel="Speakers", **more)


Diarize = Annotated[bool | None, _option("--diarize/--no-diarize", "Tell who speaks; the other flags here imply it.")]
By = Annotated[
    str | None,
    _option("--diarize-by", "voice, channel: each is a speaker, or auto: channel where that shows.", metavar="WAY"),
]
Model = Annotated[
    str | None,
    _option(
        "--speaker-model",
        "What tells voices apart [the best that is installed].",
        metavar="NAME",
        autocompletion=model_names("diarize"),
    ),
]
Count = Annotated[int | None, _option("--speakers", "How many there are.", metavar="N")]
Least = Annotated[int | None, _option("--min-speakers", "At least so many [1].", metavar="N")]
Most = Annotated[int | None, _option("--max-speakers", "At most so many.", metavar="N")]
Names = Annotated[
    str | None, _option("--speaker-names", "In the order in which they begin, with commas.", metavar="NAME,...")
]

_FLAGS = ("diarize_by", "speaker_model", "speakers_count", "min_speakers", "max_speakers", "speaker_names")


def is_asked(given: Mapping[str, Any]) -> bool:
    """Whether the flags ask who speaks. UsageError where one asks and another refuses."""
    asked = [name for name in _FLAGS if given[name] is not None]
    if given["diarize"] is False and asked:
        raise UsageError(f"--no-diarize and {_flag(asked[0])} cannot both be given")
    return bool(given["diarize"] or asked)


def names(given: Mapping[str, Any]) -> list[str] | None:
    """What speakers shall be called. UsageError."""
    if given["speaker_names"] is None:
        return None
    called = [name.strip() for name in given["speaker_names"].split(",")]
    if not all(called) or len(set(called)) < len(called):
        raise UsageError("--speaker-names are different names with commas between them", 'as in "Anna,Ben"')
    return called


def with_speakers(
    spec: PipelineSpec, catalogue: Catalogue, given: Mapping[str, Any], formats: Sequence[str]
) -> PipelineSpec:
    """The pipeline with a model that tells speakers apart where flags ask for one; without it where they refuse it."""
    wanted = is_asked(given)
    if given["diarize"] is False:
        return _without(spec)
    if wanted:
        name = given["speaker_model"] or spec.models.get("diarize") or _best(catalogue)
        spec = spec.with_models({"diarize": name}, "flag").with_options("diarize", _options(given), "flag")
    if "rttm" in formats and "diarize" not in spec.models:
        raise UsageError("-f rttm tells who speaks when", "give --diarize too")
    return spec


def roles(spec: PipelineSpec) -> tuple[str, ...]:
    """What of a pipeline transcribes."""
    return ("vad", "diarize", "stt") if "diarize" in spec.models else ("vad", "stt")


def _flag(name: str) -> str:
    return "--speakers" if name == "speakers_count" else flag(name)


def _best(catalogue: Catalogue) -> str:
    from mmcli.checks import best_model

    name = best_model(catalogue, "diarize")
    if name is None:
        raise MissingModel("no model that tells speakers apart is installed", "mmcli models list --role diarize")
    return name


def _without(spec: PipelineSpec) -> PipelineSpec:
    import dataclasses

    return dataclasses.replace(
        spec,
        models={role: name for role, name in spec.models.items() if role != "diarize"},
        options={role: values for role, values in spec.options.items() if role != "diarize"},
    )


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    count = given["speakers_count"]
    for name in ("min_speakers", "max_speakers"):
        if count is not None and given[name] is not None:
            raise UsageError(f"--speakers and {_flag(name)} cannot both be given")
    return {
        "by": given["diarize_by"],
        "min_speakers": count if count is not None else given["min_speakers"],
        "max_speakers": count if count is not None else given["max_speakers"],
        "names": names(given),
    }
