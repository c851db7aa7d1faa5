"""mmcli pipelines: what they are made of, where each value comes from, whether they would run."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import AUTO, PipelineSpec, make_options, read_catalogue
from mmcli.cli import common

app = common.command_app()

NameArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name, a .toml file with one, or auto.")]


@app.callback(no_args_is_help=True)
def _pipelines() -> None:
    """The pipelines that mmcli knows."""


@app.command("list")
def list_pipelines(
    as_json: common.JsonOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """List the pipelines with their models and whether they would run."""
    from mmcli.checks import best_installed, ready

    catalogue = read_catalogue(config)
    specs = {AUTO: best_installed(catalogue), **catalogue.pipelines}
    rows = [(spec.name, dict(spec.models), ready(spec, catalogue)) for spec in specs.values()]
    if as_json:
        ui.write_json([{"name": name, "models": models, "installed": ready} for name, models, ready in rows])
        return
    ui.table(
        ["pipeline", "models", "state"],
        [
            (name, ", ".join(f"{r} {m}" for r, m in models.items()), "installed" if ready else "not ready")
            for name, models, ready in rows
        ],
    )


@app.command()
def show(
    name: NameArgument,
    as_json: common.JsonOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Show every value of a pipeline and where it comes from."""
    spec, _ = common.choose_pipeline(name, config, (), models={}, quiet=True)
    values = _resolved(spec)
    if as_json:
        ui.write_json({key: {"value": value, "origin": origin} for key, (value, origin) in values.items()})
        return
    ui.table(["key", "value", "origin"], [(key, _toml(value), origin) for key, (value, origin) in values.items()])


def _resolved(spec: PipelineSpec) -> dict[str, tuple[Any, str]]:
    values: dict[str, tuple[Any, str]] = {}
    for role, model in spec.models.items():
        values[role] = (model, spec.origins[role])
    for role in spec.models:
        options = dataclasses.asdict(make_options(role, spec.options.get(role, {}), spec.origins))
        for key, value in options.items():
            place = f"options.{role}.{key}"
            values[place] = (value, spec.origins.get(place, "default"))
    return values


def _toml(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


@app.command()
def check(
    name: NameArgument,
    as_json: common.JsonOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Check that the stages of a pipeline fit each other and that everything they need is installed.

    Told are modalities, spectrograms, languages and licences, each with what mends it.

    Nothing is loaded; a server is asked whether it has the model. The exit code is that of the first fault.
    """
    from mmcli.checks import advise, reach
    from mmcli.checks import check as findings_of

    spec, catalogue = common.choose_pipeline(name, config, (), models={}, quiet=True)
    findings = findings_of(spec, catalogue)
    if all(finding.error is None for finding in findings):
        findings += [*advise(spec, catalogue), *reach(spec, catalogue)]
    if as_json:
        faults = [
            {"role": f.role, "text": f.text, "error": str(f.error) if f.error is not None else None} for f in findings
        ]
        ui.write_json({"pipeline": spec.name, "findings": faults})
    else:
        ui.table(
            ["role", "", "finding"],
            [(f.role, "fault" if f.error is not None else "ok", str(f.error or f.text)) for f in findings],
        )
    for finding in findings:
        if finding.error is not None:
            raise typer.Exit(finding.error.exit_code)
