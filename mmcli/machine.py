"""The memory and the graphics cards of this machine, found out without importing anything."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card; `total` and `free` are bytes of its memory."""

    name: str
    total: int
    free: int
    driver: str


def memory() -> tuple[int, int]:
    """Bytes in all, and those that a new program could have."""
    values = {
        key: int(value) * 1024 for key, value in re.findall(r"^(\w+):\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    }
    return values.get("MemTotal", 0), values.get("MemAvailable", 0)


def gpus() -> list[Gpu]:
    """The cards that nvidia-smi lists."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    cards = []
    for line in lines:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 4 and fields[1].isdecimal() and fields[2].isdecimal():
            cards.append(Gpu(fields[0], int(fields[1]) << 20, int(fields[2]) << 20, fields[3]))
    return cards


def read(file: str) -> str:
    """A file of the kernel's; "" where there is none."""
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
