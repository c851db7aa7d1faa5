"""mmcli models inspect: the anatomy of a checkpoint, from its configuration and the headers of its weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import cache, ui
from mmcli.catalogue import read_catalogue
from mmcli.cli import common
from mmcli.errors import ConfigError, InputError, MissingModel, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_SIDE = 100_000
# Parts of one row stand beside each other, rows one below the other.
_ROWS = (
    ("vision encoder", "audio encoder", "text encoder"),
    ("projector",),
    ("backbone",),
    ("output head", "speech generator", "acoustic model"),
    ("codec", "vocoder"),
)
_LABELS = {
    "image_size": "pictures of {} px",
    "patch_size": "patches of {} px",
    "merge_size": "{0} x {0} patches merged",
    "layers": "{} layers",
    "hidden_size": "{} wide",
    "heads": "{} heads",
    "kv_heads": "{} for keys and values",
    "head_size": "{} wide each",
    "vocabulary": "vocabulary of {}",
    "context": "context of {}",
    "sliding_window": "window of {}",
    "experts": "{} experts",
    "queries": "{} queries",
    "mel_bands": "{} mel bands",
    "sampling_rate": "{} Hz",
    "hop_length": "hop of {}",
    "fft_length": "FFT of {}",
    "window_length": "frames of {}",
    "positions": "{} positions",
    "codebooks": "{} codebooks",
    "rope": "rope scaled by {}",
    "tied": "tied {}",
    "kind": "{}",
}


def inspect(
    name: Annotated[str, typer.Argument(metavar="NAME|FOLDER|hf:ID", help="A model that is on this machine.")],
    images: Annotated[
        list[str] | None,
        typer.Option("--image", "-a", metavar="FILE", help="Tell what this picture costs; repeat for more."),
    ] = None,
    sizes: Annotated[
        list[str] | None, typer.Option("--size", metavar="WxH", help="Tell what a picture of so many pixels costs.")
    ] = None,
    detail: Annotated[
        str | None,
        typer.Option("--detail", metavar="low|high|N", help="How finely pictures are looked at; N pixels of a side."),
    ] = None,
    as_json: common.JsonOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Draw what a model is made of, what pictures cost it, and what memory it needs.

    Only config.json and the headers of the weights are read, so it takes no time and needs no PyTorch.
    """
    from mmcli.anatomy.checkpoint import read
    from mmcli.anatomy.report import report

    wanted = [*map(_picture, images or ()), *map(_size, sizes or ())]
    document = {"model": name, **report(read(_folder(name, config)), wanted, detail)}
    if as_json:
        ui.write_json(document)
        return
    _draw(document)


def _folder(name: str, config: Path | None) -> Path:
    """Where the model lies; MissingModel, ConfigError or UsageError for one that does not lie here."""
    from mmcli import store

    card = read_catalogue(config).models.get(name)
    if card is not None:
        if store.is_served(card):
            raise UsageError(f"{name} runs on a server, and nothing of it is here to be inspected")
        return store.locate(card)
    if name.startswith(cache.SCHEME):
        folder = cache.snapshot(*cache.parse(name))
        if folder is None:
            raise MissingModel(f'model "{name}" is not on this machine', f"mmcli models pull {name}")
        gone = [file for file in cache.read_manifest(folder) if not (folder / file).is_file()]
        if gone:
            raise MissingModel(
                f'model "{name}" is not whole: {", ".join(gone[:3])} is missing', f"mmcli models pull {name}"
            )
        return folder
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser().absolute()
    if Path(name).exists():
        raise InputError(name, "is a file", "name the folder that it lies in")
    if "/" in name:
        raise ConfigError(f'there is no folder "{name}"', "mmcli models list names the models that have names")
    raise ConfigError(
        f'there is no model "{name}"',
        did_you_mean(name, read_catalogue(config).models) or "mmcli models list names those there are",
    )


def _picture(name: str) -> tuple[str, int, int]:
    from mmcli.media.image import open_image

    picture = open_image(name)
    return picture.source, picture.width, picture.height


def _size(text: str) -> tuple[str, int, int]:
    found = re.fullmatch(r"(\d{1,6})[x×,](\d{1,6})", text.strip().lower())
    if found is None or not all(0 < int(n) <= _MAX_SIDE for n in found.groups()):
        raise UsageError(f'"{text}" is no size of a picture', "write --size WIDTHxHEIGHT, as in --size 1024x768")
    return f"{found[1]}x{found[2]}", int(found[1]), int(found[2])


# ---------------------------------------------------------------- drawing


def _draw(document: Mapping[str, Any]) -> None:
    ui.heading(_title(document))
    parts = {part["role"]: (part["role"], _lines(part)) for part in document["parts"]}
    rows = [[parts.pop(role) for role in row if role in parts] for row in _ROWS]
    ui.flow([row for row in rows if row] + [[other] for other in parts.values()])
    for adapter in document["adapters"]:
        ui.heading([_adapter(adapter)])
    if document["images"]:
        ui.table(["image", "tokens", "context left", "how"], [_image(row) for row in document["images"]])
        ui.heading([""])
    memory = document["memory"]
    if memory["precisions"]:
        places = [place["place"] for place in memory["places"]]
        table = [
            [row["precision"], ui.size(row["weights"]), _whole(row), *(row["fits"][place] for place in places)]
            for row in memory["precisions"]
        ]
        heads = [f"{place['place']}, {ui.size(place['free'])} free" for place in memory["places"]]
        ui.table(["memory", "weights", "whole context", *heads], table)
    ui.heading(_remarks(document))


def _title(document: Mapping[str, Any]) -> list[str]:
    what = document["architecture"] or document["model_type"] or "a model"
    count = f"{ui.count(document['parameters'])} parameters, " if document["parameters"] is not None else ""
    bits = f", quantised to {document['quantized_bits']} bits" if document["quantized_bits"] else ""
    lines = [
        f"{document['model']}: {what}",
        f"{count}{ui.size(document['bytes'])} {_mix(document['dtypes'])}{bits}".rstrip(),
    ]
    how = [document["layout"], document["meeting"]]
    layers = document["cross_attention_layers"]
    if layers:
        how.append(f"in {len(layers)} layers ({_ranges(layers)})")
    lines.append(", ".join(item for item in how if item))
    return lines


def _ranges(numbers: Sequence[int]) -> str:
    """3, 8, 13-20"""
    runs: list[list[int]] = []
    for each in numbers:
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _mix(dtypes: Mapping[str, int]) -> str:
    return ", ".join(dtypes)


def _lines(part: Mapping[str, Any]) -> list[str]:
    weight = f"{ui.count(part['parameters'])} parameters, {ui.size(part['bytes'])} {_mix(part['dtypes'])}".rstrip()
    values = [(key, value) for key, value in part["facts"].items() if key in _LABELS]
    words = [_LABELS[key].format(value) for key, value in values]
    kinds = part["facts"].get("layer_kinds", {})
    words += [f"{count} of {kind.replace('_', ' ')}" for kind, count in kinds.items()]
    inside = ", ".join(f"{name} {ui.count(number)}" for name, number in list(part["inside"].items())[:4] if number)
    return [line for line in (", ".join(words), weight if part["bytes"] else "", inside) if line]


def _adapter(adapter: Mapping[str, Any]) -> str:
    rank = f" of rank {adapter['rank']}" if adapter["rank"] else ""
    base = f", for {adapter['base']}" if adapter["base"] else ""
    return f"adapter {adapter['name']}: {adapter['kind']}{rank}, {ui.count(adapter['parameters'])} parameters{base}"


def _image(row: Mapping[str, Any]) -> list[str]:
    name = (
        row["image"]
        if row["image"] == f"{row['width']}x{row['height']}"
        else f"{row['image']} {row['width']}x{row['height']}"
    )
    left = row["context_left"]
    return [
        name,
        "not known" if row["tokens"] is None else str(row["tokens"]),
        "" if left is None else str(left),
        row["how"],
    ]


def _whole(row: Mapping[str, Any]) -> str:
    return "not known" if row["needed_whole_context"] is None else ui.size(row["needed_whole_context"])


def _remarks(document: Mapping[str, Any]) -> list[str]:
    memory = document["memory"]
    lines = [document["unread"]] if document["unread"] else []
    if memory["cache_per_1000_tokens"] is not None:
        whole = memory["cache_whole_context"]
        text = f"1000 tokens of context take {ui.size(memory['cache_per_1000_tokens'])}"
        lines.append(
            text + (f", all {memory['context']} take {ui.size(whole)}" if whole is not None else "") + ", at 16 bits"
        )
    if memory["precisions"]:
        lines.append(f"needed is the weights, the cache, and an allowance of {memory['allowance']}")
    return lines
