"""What engines of the same role have in common in how they take their options. This module knows no engine."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from mmcli.errors import ConfigError, UsageError, did_you_mean
from mmcli.options import flag
from mmcli.text import primary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mmcli.catalogue import ModelCard
    from mmcli.options import Runtime, TranscribeOptions

# Done before an engine is asked: speech is cut out of the stream.
_DONE_FOR_IT = {"clip_timestamps", "vad_filter", "vad_parameters"}
BALANCED = "balanced"
"""The device of a model that is spread over all cards."""
# Libraries crash where the system gives them no more.
_MOST_THREADS = 1024


def check_settings(card: ModelCard, known: Collection[str] = (), who: str = "") -> None:
    """ConfigError for a setting of a model's entry that `who`, else its engine, does not know."""
    for key in card.settings:
        if key not in known:
            who = who or card.engine
            raise ConfigError(
                f'{card.origin}: [models.{card.name}] unknown setting "{key}"',
                did_you_mean(key, known) or (f"{who} knows {', '.join(known)}" if known else f"{who} has no settings"),
            )


def refuse_others(options: Any, honoured: Iterable[str], who: str) -> None:
    """UsageError for an option that was given another value than its default and that `who` cannot honour."""
    known = {*honoured, *_DONE_FOR_IT}
    for field in dataclasses.fields(options):
        if field.name not in known and getattr(options, field.name) != field.default:
            raise UsageError(
                f"{who} has no use for {flag(field.name)}",
                "leave it out, or choose another model with --model",
            )


def check_runtime(runtime: Runtime) -> None:
    """UsageError for a device that none is called, or no sensible number of threads or workers."""
    if re.fullmatch(rf"auto|cpu|cuda(:\d+)?|{BALANCED}", runtime.device, re.ASCII) is None:
        raise UsageError(f'the device is auto, cpu, cuda or cuda:N, not "{runtime.device}"')
    for name, number in (("threads", runtime.threads), ("workers", runtime.workers)):
        if not 0 <= number <= _MOST_THREADS:
            raise UsageError(f"--{name} is from 0 to {_MOST_THREADS}, not {number}")


def written_in(options: TranscribeOptions, spoken: str | None) -> str | None:
    """The language of the text of what is spoken in a language."""
    return "en" if options.task == "translate" else spoken


def known_language(options: TranscribeOptions, codes: Collection[str], model: str) -> str | None:
    """The language as one of the codes that a model knows, None where it has to be detected. UsageError for another."""
    if options.language is None:
        return None
    code = primary(options.language)
    if code not in codes:
        raise UsageError(
            f'model "{model}" knows no language "{options.language}"',
            "languages are codes, such as en, de or zh, or English names",
        )
    if options.multilingual:
        raise UsageError("--multilingual detects the language of each window", "leave out --language")
    return code
