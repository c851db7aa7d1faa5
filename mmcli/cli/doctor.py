"""mmcli doctor: what this machine has and what is missing, found out without importing anything heavy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from mmcli import __version__, machine, ui
from mmcli.catalogue import user_config
from mmcli.cli import common
from mmcli.errors import MissingPackage

app = common.command_app()

# What each extra brings, in the user's words.
EXTRAS = {
    "vlm": "PyTorch and transformers, for vision-language and language models",
    "tts": "Coqui TTS, for neural voices",
    "ray": "Ray, for folders on several machines",
    "all": "all of these",
}
_CPU_FLAGS = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "sve")


@app.command()
def doctor(as_json: common.JsonOption = False, debug: common.DebugOption = False) -> None:
    """What this machine has, and what is missing.

    Python, packages, processors, graphics cards, sound devices, memory, disk, and what each extra would add.
    """
    report = examine()
    if as_json:
        ui.write_json(report)
        return
    for section, values in report.items():
        ui.write(f"{section}\n")
        for key, value in values.items():
            ui.write(f"  {key:<24} {value}\n")


def examine() -> dict[str, dict[str, str]]:
    """What there is to know, by section."""
    return {
        "program": _program(),
        "machine": _machine(),
        "sound": _sound(),
        "engines": _engines(),
        "packages": _packages(None),
        "extras": {name: _extra(name, about) for name, about in EXTRAS.items()},
    }


def _program() -> dict[str, str]:
    found = shutil.which("mmcli")
    ours = Path(sys.argv[0]).resolve()
    values = {"mmcli": __version__, "python": f"{platform.python_version()} ({sys.executable})"}
    config = user_config()
    values["configuration"] = f"{config}{'' if config.is_file() else ' (none yet)'}"
    if found is not None and ours.name in ("mmcli", "mm-cli") and Path(found).resolve().parent != ours.parent:
        values["warning"] = f"another mmcli comes first on PATH: {found}; mm-cli is this one too"
    return values


def _machine() -> dict[str, str]:
    cache = user_config().parent
    while not cache.exists():
        cache = cache.parent
    disk = shutil.disk_usage(cache)
    total, free = (size / 1e9 for size in machine.memory())
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, {' '.join(_cpu_flags()) or 'no vector units'}",
        "gpu": "; ".join(f"{gpu.name}, {gpu.total >> 20} MiB, {gpu.driver}" for gpu in machine.gpus()) or "none found",
        "memory": f"{free:.1f} of {total:.1f} GB free",
        "disk": f"{disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB free at {cache}",
    }


def _cpu_flags() -> list[str]:
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", machine.read("/proc/cpuinfo"), re.MULTILINE)
    present = line.group(1).split() if line is not None else []
    return [flag for flag in _CPU_FLAGS if flag in present]


def _sound() -> dict[str, str]:
    from mmcli.media.playback import devices

    try:
        microphone, loudspeaker = devices()
    except MissingPackage as error:
        return {"portaudio": str(error)}
    return {"microphone": microphone or "none", "loudspeaker": loudspeaker or "none"}


def _engines() -> dict[str, str]:
    from mmcli.engines import ENGINES, missing_packages

    values = {}
    for name, spec in ENGINES.items():
        missing = missing_packages(spec)
        mend = f"pip install 'mmcli[{spec.extra}]'" if spec.extra else "pip install mmcli"
        state = f"needs {', '.join(missing)}: {mend}" if missing else "ready"
        values[f"{spec.role} {name}"] = f"{state} ({spec.about})"
    return values


def _requirements(extra: str | None) -> list[str]:
    """The distributions that mmcli asks for, of the core or of one extra."""
    names = []
    for line in importlib.metadata.requires("mmcli") or []:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        of = re.search(r"extra == ['\"]([^'\"]+)['\"]", line)
        if name is not None and (of.group(1) if of is not None else None) == extra:
            names.append(name.group(0))
    return names


def _packages(extra: str | None) -> dict[str, str]:
    values: dict[str, str] = {}
    for name in _requirements(extra):
        try:
            values[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            values[name] = "missing"
    return values


def _extra(name: str, about: str) -> str:
    found: dict[str, Any] = _packages(name)
    missing = [package for package, version in found.items() if version == "missing"]
    state = f"pip install 'mmcli[{name}]' brings {', '.join(missing)}" if missing else "installed"
    return f"{about}: {state}"
