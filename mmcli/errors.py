"""The error tree. Every error is one line for the user: what went wrong, why, and the command that mends it.

    MmcliError              1   the work could not be done
    ├── InputError          1   a file, picture or recording that cannot be read
    │   └── ContextOverflow 1   a question with all that goes with it, for which the model has no room
    ├── OutputError         1   a result that cannot be written
    ├── EngineError         1   a model failed on good input
    ├── UsageError          2   wrong flags, or flags that do not go together
    │   └── ConfigError     2   a key, table or value in a TOML file; a pipeline whose stages do not fit
    ├── SomeFailed          3   some of the items failed, the others are done
    └── MissingError        4   a model or a package is not here
        ├── MissingPackage  4
        └── MissingModel    4

The number is the exit code. An interrupted command exits with 130.
Foreign exceptions are translated where they arise (an engine, media/); nothing above catches them again.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

INTERRUPTED = 130


class MmcliError(Exception):
    """What went wrong and, in `mend`, the command or change that mends it."""

    exit_code = 1

    def __init__(self, problem: str, mend: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.problem}; {self.mend}" if self.mend else self.problem


class InputError(MmcliError):
    """A file that cannot be read. `source` is what the user calls it."""

    def __init__(self, source: str, problem: str, mend: str | None = None) -> None:
        super().__init__(f"{source}: {problem}", mend)
        self.source = source


class ContextOverflow(InputError):
    """A question that, with all that goes with it, is longer than the model's context."""


class OutputError(MmcliError):
    """A result that cannot be written."""


class EngineError(MmcliError):
    """A model that failed on good input."""


class UsageError(MmcliError):
    """Flags or arguments that make no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A mistake in a TOML file, or stages that do not fit each other."""


class SomeFailed(MmcliError):
    """Raised at the end of a run over many items, after each failure has had its own line."""

    exit_code = 3


class MissingError(MmcliError):
    """Something that has to be installed or pulled first."""

    exit_code = 4


class MissingPackage(MissingError):
    """A Python package or system library that is not installed."""


class MissingModel(MissingError):
    """A model whose weights are not on this machine."""


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """'did you mean "x"?' for the nearest known name, or None."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else None


def one_line(error: BaseException) -> str:
    """What an error of somebody else's code says, on one line of a bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__
