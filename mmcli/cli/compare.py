"""mmcli compare: the same turn through several pipelines, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.cli import common, decoding
from mmcli.errors import OutputError, UsageError
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmcli.catalogue import Catalogue, PipelineSpec

app = common.command_app()

_TIMES = {
    "load": "load",
    "first_heard": "heard",
    "first_text": "first text",
    "first_audio": "first sound",
    "total": "all",
}
"""Seconds; the first three after loading, the last of everything."""
_SHOWN = 60


@dataclass(slots=True)
class Run:
    """What became of a turn. `memory_mb` is the most that its largest process had in memory at once."""

    pipeline: str
    models: dict[str, str]
    reply: Path | None = None
    heard: str = ""
    answer: str = ""
    error: str | None = None
    code: int = 0
    memory_mb: float = 0.0
    reply_seconds: float = 0.0
    heard_back: str | None = None
    word_error: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def times(self) -> Mapping[str, float]:
        """Seconds by stage and to the first of each kind."""
        times: Mapping[str, float] = self.provenance.get("timings", {})
        return times

    def told(self) -> dict[str, Any]:
        """For machines."""
        return {
            "pipeline": self.pipeline,
            "models": self.models,
            "heard": self.heard,
            "answer": self.answer,
            "error": self.error,
            "exit_code": self.code,
            "timings": dict(self.times),
            "memory_mb": self.memory_mb,
            "reply_seconds": self.reply_seconds,
            "heard_back": self.heard_back,
            "word_error": self.word_error,
            "provenance": self.provenance,
        }


@app.command(cls=decoding.GroupedCommand)
def compare(
    pipelines: Annotated[list[str], typer.Argument(metavar="PIPELINE...", help="Names or .toml files, or auto.")],
    text: Annotated[str, typer.Option("--text", "-t", help="A typed question.")] = "",
    audio: Annotated[str | None, typer.Option("--audio", metavar="FILE", help="A spoken question.")] = None,
    attach: Annotated[
        list[str] | None, typer.Option("--attach", "-a", metavar="FILE|URL", help="As for mmcli run; repeat for more.")
    ] = None,
    to: common.ToOption = None,
    from_: common.FromOption = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="One page with players, spectrograms and times, for a browser."),
    ] = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Run the same turn through several pipelines, and compare texts, times and memory.

    Each runs in a process of its own, one after the other. The word error is that of the spoken reply heard back by the
    embedded recogniser, against the text that it should say: English alone, and figures count as errors.
    """
    if len(pipelines) < 2:
        raise UsageError("there is nothing to compare", "name two pipelines or more")
    if not (text or audio or attach):
        raise UsageError("there is nothing to run on", f"mmcli compare {' '.join(pipelines)} --audio FILE")
    if "-" in (audio, *(attach or [])):
        raise UsageError("standard input can be read only once", "give a file")
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {html}: the name of a page ends in .html")
    given = ["--text", text] if text else []
    given += ["--audio", audio] if audio is not None else []
    given += [word for name in attach or [] for word in ("--attach", name)]
    with tempfile.TemporaryDirectory(prefix="mmcli-compare-") as folder:
        chosen = [_chosen(name, config, Path(folder) / f"{number}.wav") for number, name in enumerate(pipelines)]
        runs = []
        for name, (run, languages) in zip(pipelines, chosen, strict=True):
            more = (["--to", to] if to else []) + (["--from", from_] if from_ else [])
            own = ["--config", str(config)] if config is not None and not name.endswith(".toml") else []
            with ui.waiting(f"{run.pipeline} runs", shown=not quiet):
                _run(run, ["run", name, *given, *own, *(more if languages else [])])
            runs.append(run)
        with ui.waiting("hearing the replies back", shown=not quiet):
            _hear_back(runs)
        if html is not None:
            _write_page(html, runs, text, audio, attach or [])
    if as_json:
        ui.write_json([run.told() for run in runs])
    else:
        _show(runs, quiet=quiet)
    failed = [run for run in runs if run.error is not None]
    if failed:
        raise typer.Exit(failed[0].code if len(failed) == len(runs) else 3)


def _chosen(name: str, config: Path | None, reply: Path) -> tuple[Run, bool]:
    """What is to run, and whether it takes languages. ConfigError where there is no such pipeline."""
    own = None if name.endswith(".toml") else config
    spec, catalogue = common.choose_pipeline(name, own, (), models={}, quiet=True)
    return Run(spec.name, dict(spec.models), reply if _speaks(spec, catalogue) else None), "e2e" in spec.models


def _speaks(spec: PipelineSpec, catalogue: Catalogue) -> bool:
    if "tts" in spec.models:
        return True
    return "e2e" in spec.models and "audio" in catalogue.model(spec.models["e2e"], "e2e").outputs


def _run(run: Run, args: Sequence[str]) -> None:
    """`mmcli run` as a process whose memory is known when it has ended."""
    output = ["--output", str(run.reply)] if run.reply is not None else []
    command = [sys.executable, "-m", "mmcli", *args, *output, "--json", "--quiet"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        run.code = process.returncode = os.waitstatus_to_exitcode(status)
        run.memory_mb = round(usage.ru_maxrss / 1024, 1)  # Linux counts kilobytes
        out.seek(0)
        err.seek(0)
        if run.code:
            lines = err.read().decode(errors="replace").strip().splitlines() or [f"ended with exit code {run.code}"]
            run.error = visible(lines[-1], keep="").removeprefix("mmcli: error: ")
            run.reply = None
            return
        result = json.loads(out.read())
    run.heard, run.answer = result["heard"], result["answer"]
    run.reply_seconds, run.provenance = result["reply_seconds"], result["provenance"]


def _hear_back(runs: Sequence[Run]) -> None:
    """What the embedded recogniser understands of each reply, and how far that is from its text."""
    from mmcli.catalogue import read_catalogue
    from mmcli.media.audio import open_audio
    from mmcli.pipeline import Cascade, build
    from mmcli.text import joined

    spoken = [(run, run.reply) for run in runs if run.reply is not None and run.answer and run.reply_seconds]
    if not spoken:
        return
    catalogue = read_catalogue()
    hearing = build(catalogue.pipeline("embedded"), catalogue, ("vad", "stt"))
    assert isinstance(hearing, Cascade), "the embedded pipeline is a cascade"
    for run, reply in spoken:
        segments = list(hearing.transcribe(open_audio(str(reply))))
        run.heard_back = joined([segment.text.strip() for segment in segments], "en")
        run.word_error = word_error(run.answer, run.heard_back)


def word_error(reference: str, heard: str) -> float | None:
    """Words that are wrong, missing or too many, for each word of the reference; None where that has none.

    Case and punctuation do not count.
    """
    import re

    from rapidfuzz.distance import Levenshtein

    wanted, found = (re.findall(r"[\w']+", text.lower()) for text in (reference, heard))
    return round(Levenshtein.distance(wanted, found) / len(wanted), 4) if wanted else None


def _write_page(file: Path, runs: Sequence[Run], text: str, audio: str | None, attached: Sequence[str]) -> None:
    from mmcli.cli.compare_page import page
    from mmcli.media.files import atomic_path

    try:
        with atomic_path(file) as aside:
            aside.write_text(page(runs, text, audio, attached), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({error.strerror})") from error


def _show(runs: Sequence[Run], *, quiet: bool) -> None:
    columns = ["pipeline", *_TIMES.values(), "memory", "word error", "answer"]
    rows = []
    for run in runs:
        times = [f"{run.times[key]:.2f} s" if key in run.times else "-" for key in _TIMES]
        error = "-" if run.word_error is None else f"{run.word_error:.0%}"
        answer = run.answer or run.heard if run.error is None else f"failed: {run.error}"
        rows.append([run.pipeline, *times, f"{run.memory_mb:.0f} MB", error, _short(answer)])
    ui.table(columns, rows)
    if not quiet:
        for run in runs:
            if run.error is not None:
                ui.note(f"{run.pipeline}: {run.error}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if not ui.is_terminal() or len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
