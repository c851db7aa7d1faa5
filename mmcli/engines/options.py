"""What engines of the same role have in common in how they take their options. This module knows no engine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mmcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Done before an engine is asked: speech is cut out of the stream.
_DONE_FOR_IT = {"clip_timestamps", "vad_filter", "vad_parameters"}


def refuse_others(options: Any, honoured: Iterable[str], who: str) -> None:
    """UsageError for an option that was given another value than its default and that `who` cannot honour."""
    known = {*honoured, *_DONE_FOR_IT}
    for field in dataclasses.fields(options):
        if field.name not in known and getattr(options, field.name) != field.default:
            raise UsageError(
                f"{who} has no use for --{field.name.replace('_', '-')}",
                "leave it out, or choose another model with --model",
            )
