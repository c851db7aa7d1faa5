"""Make all samples anew: python samples/make.py [FOLDER]. Needs the development extra: pip install -e '.[dev]'.

Pictures, document and sound come out the same every time, so what is committed can be compared with what this makes.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from pictures import PICTURES
from report import write_report
from sounds import write_sounds

HERE = Path(__file__).parent


def make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        draw().save(folder / name, optimize=True)
    write_report(folder / "report.pdf")
    write_sounds(folder, tomllib.loads((HERE / "samples.toml").read_text(encoding="utf-8")))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
