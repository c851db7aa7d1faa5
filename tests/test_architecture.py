"""The shape of the program: light start, one-way imports, small files, engines named in one place."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmcli.engines import ENGINES

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "mmcli").rglob("*.py"))
HEAVY = ("torch", "transformers", "numpy", "onnxruntime", "openai", "PIL", "av", "rich", "faster_whisper", "rapidocr")


def _modules_after(*args: str) -> set[str]:
    program = (
        "import sys, json\n"
        "from mmcli.cli import run\n"
        f"run({list(args)!r})\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return set(json.loads(out.splitlines()[-1]))


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["transcribe", "--help"], ["pipelines", "list", "--json"], ["models", "list"]]
)
def test_start_up_imports_nothing_heavy(args: list[str]) -> None:
    light = HEAVY if args[0].startswith("-") else tuple(name for name in HEAVY if name in ("torch", "transformers"))
    assert not _modules_after(*args) & set(light)


def test_the_doctor_imports_no_torch() -> None:
    assert not _modules_after("doctor", "--json") & {"torch", "transformers", "onnxruntime", "faster_whisper", "av"}


def test_imports_run_one_way() -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


def test_files_and_functions_stay_small() -> None:
    for source in SOURCES:
        text = source.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"{source} is longer than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 60 or source.parent.name == "cli", f"{source}: {node.name} has {length} lines"


def test_only_the_table_names_the_modules_of_engines() -> None:
    targets = {spec.target.partition(":")[0] for spec in ENGINES.values()}
    assert len({spec.target for spec in ENGINES.values()}) == len(ENGINES)
    for source in SOURCES:
        module = ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                own = any(module.startswith(target) for target in targets if node.module.startswith(target))
                assert node.module not in targets or own, f"{source} imports {node.module}"


def test_nothing_is_printed_but_by_the_user_interface() -> None:
    # output.py sends sound, __main__.py flushes, sphinx_worker.py is a process that talks to its parent,
    # transcribe.py asks whether a terminal is there
    allowed = {"ui.py", "output.py", "__main__.py", "sphinx_worker.py", "transcribe.py"}
    for source in SOURCES:
        if source.name not in allowed:
            assert "sys.stdout" not in source.read_text(encoding="utf-8"), source


def test_every_module_says_what_it_is() -> None:
    for source in SOURCES:
        if source.read_text(encoding="utf-8").strip():
            assert ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))), source
