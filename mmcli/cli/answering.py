"""The flags of answering and of what is given beside a question, declared once, and the way from them to options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli.errors import UsageError

if TYPE_CHECKING:
    from mmcli.catalogue import PipelineSpec

_ANSWERING, _ATTACHING, _COMPUTING = "Answering", "What is given", "Computing"


def _option(names: str, text: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names.split(), help=text, rich_help_panel=panel, **more)


System = Annotated[
    str | None, _option("--system -s", "What the model is told before all else.", _ANSWERING, metavar="TEXT")
]
Temperature = Annotated[float | None, _option("--temperature", "0 takes the likeliest text.", _ANSWERING, min=0.0)]
TopP = Annotated[
    float | None, _option("--top-p", "Sample of the likeliest tokens of this share.", _ANSWERING, min=0.0, max=1.0)
]
TopK = Annotated[int | None, _option("--top-k", "Sample of so many likeliest tokens.", _ANSWERING, min=0)]
MinP = Annotated[
    float | None,
    _option("--min-p", "Sample of tokens at least so likely as this share of the likeliest.", _ANSWERING, min=0, max=1),
]
RepetitionPenalty = Annotated[
    float | None, _option("--repetition-penalty", "Above 1 avoids what was said.", _ANSWERING, min=0.0)
]
Seed = Annotated[int | None, _option("--seed", "Makes sampling repeatable.", _ANSWERING)]
Stop = Annotated[
    list[str] | None,
    _option("--stop", "The answer ends before this text; repeat for more.", _ANSWERING, metavar="TEXT"),
]
MaxTokens = Annotated[
    int | None,
    _option("--max-tokens --max-new-tokens", "Longest answer, in tokens or words [1024].", _ANSWERING, min=1),
]
Schema = Annotated[
    str | None,
    _option(
        "--schema",
        'The answer is JSON of this form: a JSON schema, a file with one, or fields as in "name, age int".',
        _ANSWERING,
        metavar="FILE|JSON|FIELDS",
    ),
]
SchemaMulti = Annotated[
    str | None,
    _option("--schema-multi", "The same for a list of such.", _ANSWERING, metavar="FILE|JSON|FIELDS"),
]
Draw = Annotated[
    Path | None,
    _option(
        "--draw",
        "The first picture with the places that the answer names drawn on it, as png, jpg or webp.",
        _ANSWERING,
        metavar="FILE",
    ),
]
Detail = Annotated[
    str | None,
    _option(
        "--detail", "How finely pictures are looked at; N pixels of a side at most.", _ANSWERING, metavar="low|high|N"
    ),
]
Usage = Annotated[bool, _option("--usage -u", "Tokens and times on standard error, after the answer.", _ANSWERING)]
NoStream = Annotated[bool, _option("--no-stream", "Show the answer when it is whole.", _ANSWERING)]

Attach = Annotated[
    list[str] | None,
    _option(
        "--attach -a",
        "A picture, PDF, text, recording or video, a folder or pattern of such, or an address; {1} in the question is "
        "the place of the first one. Repeat for more, or name more files.",
        _ATTACHING,
        metavar="FILE|URL|-",
    ),
]
PagesOption = Annotated[
    str | None,
    _option("--pages", "Of documents, as in 1-3,7; image shows pages as pictures.", _ATTACHING, metavar="LIST|image"),
]
Frames = Annotated[
    int | None,
    _option("--frames", "Pictures of a video, evenly spread [up to 8, where the scene changes].", _ATTACHING),
]
Fps = Annotated[float | None, _option("--fps", "Pictures of a video for each second.", _ATTACHING)]
Ground = Annotated[
    bool | None, _option("--ground", "Tell the model the text found in pictures, with its places.", _ATTACHING)
]
PrivateAddresses = Annotated[
    bool | None,
    _option("--allow-private-addresses", "Fetch from this machine and private networks, too.", _ATTACHING),
]

DType = Annotated[
    str | None,
    _option(
        "--dtype --compute-type",
        "auto, default (as stored), float32, float16, bfloat16.",
        _COMPUTING,
        metavar="TYPE",
    ),
]
Quantize = Annotated[
    str | None, _option("--quantize", "Make weights smaller while they load.", _COMPUTING, metavar="int8|int4")
]
Attention = Annotated[
    str | None, _option("--attention", "Way of computing attention, by the library's name.", _COMPUTING, metavar="NAME")
]
TrustRemoteCode = Annotated[
    bool | None,
    _option("--trust-remote-code", "Run a model folder's own code, where its entry allows it.", _COMPUTING),
]


def with_flags(spec: PipelineSpec, flags: Mapping[str, Any]) -> PipelineSpec:
    """The pipeline with the options that the flags of answering give. UsageError for those that make no sense."""
    role = "e2e" if "e2e" in spec.models else "backbone"
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
    answering = {name: flags[name] for name in names}
    answering |= {
        "max_new_tokens": flags["max_tokens"],
        "stop": tuple(flags["stop"]) if flags["stop"] else None,
        "schema": _schema(flags["schema"], flags["schema_multi"]),
        "detail": _detail(flags["detail"]),
    }
    attaching = {name: flags[name] for name in ("pages", "frames", "fps", "ground", "allow_private_addresses")}
    computing = {name: flags[name] for name in ("device", "threads", "quantize", "attention", "trust_remote_code")}
    _check_computing(flags)
    spec = spec.with_options(role, answering, "flag").with_options("attachments", attaching, "flag")
    return spec.with_options("runtime", {**computing, "compute_type": flags["dtype"]}, "flag")


def _schema(one: str | None, several: str | None) -> str | None:
    if one is not None and several is not None:
        raise UsageError("--schema and --schema-multi do not go together")
    text = one if one is not None else several
    if text is None:
        return None
    from mmcli.schema import parse_schema

    return parse_schema(text, several=several is not None)


def _detail(value: str | None) -> str | None:
    if value is not None and value not in ("low", "high") and not (value.isdecimal() and int(value) > 0):
        raise UsageError(f"--detail is low, high or a number of pixels, not {value}")
    return value


def _check_computing(flags: Mapping[str, Any]) -> None:
    if flags["quantize"] not in (None, "int8", "int4"):
        raise UsageError(f"--quantize is int8 or int4, not {flags['quantize']}")
