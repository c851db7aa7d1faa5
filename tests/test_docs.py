"""README, CHANGELOG, --help and models.toml tell the same story."""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmcli import __version__
from mmcli.catalogue import read_catalogue
from mmcli.cli import COMMANDS, app
from mmcli.media.subtitles import FORMATS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_readme_fits_and_names_every_command_extra_and_pipeline() -> None:
    assert README.count("\n") <= 250
    for command in COMMANDS:
        assert f"mmcli {command}" in README, command
    for extra in _project()["optional-dependencies"]:  # type: ignore[attr-defined]
        assert f"`{extra}`" in README or f"mmcli[{extra}]" in README, extra
    assert "make demo" in README
    assert "make test" in README
    for name in FORMATS:
        assert name in README


def test_the_file_map_is_the_tree() -> None:
    block = re.search(r"```text\n(pyproject\.toml.*?)```", README, re.DOTALL)
    assert block is not None, "README has no file map"
    named = [line.split()[0].rstrip("/") for line in block.group(1).splitlines() if line.strip()]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    inside = {"/".join(name.split("/")[1:2]) for name in tracked if name.startswith("mmcli/")}
    missing = (top | inside) - set(named) - {"__init__.py", "__main__.py", ".gitignore"}
    assert not missing
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "mmcli" / name).exists(), name


def test_the_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__}" in changelog or "## Unreleased" in changelog


@pytest.mark.parametrize("command", COMMANDS)
def test_the_short_help_is_the_first_line_of_the_commands_own(command: str) -> None:
    module, short = COMMANDS[command]
    own = typer.main.get_command(importlib.import_module(module).app)
    assert own.help is not None
    assert own.help.splitlines()[0] == short


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(command: str) -> None:
    own = typer.main.get_command(importlib.import_module(COMMANDS[command][0]).app)
    for each in getattr(own, "commands", {command: own}).values():
        assert each.help
        for parameter in each.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{command} {parameter.name}"


def test_every_flag_of_the_readme_exists() -> None:
    used: dict[str, set[str]] = {}
    for line in re.findall(r"^(?:\$ )?mmcli (.*)$", README, re.MULTILINE):
        words = line.split("#")[0].split()
        used.setdefault(words[0], set()).update(word.split("=")[0] for word in words if re.match(r"--?[a-z]", word))
    for command, flags in used.items():
        text = CliRunner().invoke(app, [command, "--help"]).output if command in COMMANDS else ""
        known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
        for sub in re.findall(r"^  ([a-z]+) ", text, re.MULTILINE):
            known |= set(
                re.findall(r"(?<![\w-])--?[a-z][a-z-]*", CliRunner().invoke(app, [command, sub, "--help"]).output)
            )
        assert flags <= known, f"{command}: {flags - known}"


def test_every_model_and_pipeline_of_the_readme_exists() -> None:
    catalogue = read_catalogue()
    for name in re.findall(r"(?:--model|-m) (\S+)", README):
        assert name in catalogue.models, name
    for name in re.findall(r"mmcli run ([a-z0-9-]+) ", README):
        assert name in catalogue.pipelines, name


def test_nothing_of_the_workshop_is_told() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        if name.startswith(("tests/", "benchmarks/")) or Path(name).suffix not in (".py", ".md", ".toml", ".txt"):
            continue
        assert "../shared" not in (ROOT / name).read_text(encoding="utf-8"), name
