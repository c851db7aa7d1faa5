"""The commands, one file each, loaded when they are called: thin shells that parse, call and render."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

# Name -> module that holds its `app`, and the line that --help shows without importing it.
COMMANDS: dict[str, tuple[str, str]] = {
    "transcribe": ("mmcli.cli.transcribe", "Write down what is said in audio and video files."),
    "ask": ("mmcli.cli.ask", "Ask a question about pictures, PDFs, texts, recordings and videos."),
    "chat": ("mmcli.cli.chat", "Talk with a model by typing, about pictures and documents too."),
    "speak": ("mmcli.cli.speak", "Speak a text."),
    "run": ("mmcli.cli.run", "Run a whole pipeline once, on files."),
    "compare": (
        "mmcli.cli.compare",
        "Run the same turn through several pipelines, and compare texts, times and memory.",
    ),
    "demo": ("mmcli.cli.demo", "Ask aloud about a picture and hear the answer."),
    "log": ("mmcli.cli.log", "Conversations that were kept: list, search, export, remove them."),
    "models": ("mmcli.cli.models", "The models that mmcli knows."),
    "pipelines": ("mmcli.cli.pipelines", "The pipelines that mmcli knows."),
    "doctor": ("mmcli.cli.doctor", "What this machine has, and what is missing."),
}


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called, and none of them for --help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(COMMANDS[cmd_name][0]).app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names: Any = dict.fromkeys(COMMANDS)
        self.commands = names  # Typer looks at the names alone, for "did you mean"
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(value: bool) -> None:
    if value:
        from mmcli import __version__

        typer.echo(f"mmcli {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # --word_timestamps and --word-timestamps are the same
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Voice and vision assistant pipelines on the command line: transcribe, ask about pictures, speak."""


def run(args: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code; errors are one line on standard error."""
    from mmcli import ui

    try:
        code = app(args=args, prog_name="mmcli", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends
        return ui.report(error)
    return code if isinstance(code, int) else 0


__all__ = ["COMMANDS", "app", "run"]
