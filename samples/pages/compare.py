"""Draws compare.png: the page of `mmcli compare` as a browser shows it. Needs chromium.

python samples/pages/compare.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import PIL.Image

HERE = Path(__file__).parent
PIPELINES = ("embedded", "fake")
WIDTH, HEIGHT = 1000, 1300
COLOURS = 48


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "compare.html", Path(folder) / "compare.png"
        asked = ["--audio", str(HERE.parent / "question-receipt.flac"), "-a", str(HERE.parent / "receipt.png")]
        subprocess.run([sys.executable, "-m", "mmcli", "compare", *PIPELINES, *asked, "--html", str(page)], check=True)
        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quiet),
                *(f"--user-data-dir={folder}/profile", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"),
                *(f"--screenshot={shot}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
        )
        picture = PIL.Image.open(shot).convert("RGB").quantize(COLOURS)
        picture.save(HERE / "compare.png", optimize=True)


if __name__ == "__main__":
    main()
