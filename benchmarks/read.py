"""How many questions about written text the reader answers, and how often it claims something about plain photos.

    python benchmarks/read.py [FOLDER]

FOLDER (else MMCLI_DATA, else ../shared/data) holds pictures and ANSWERS.tsv: picture, question, and a regular
expression that a right answer matches. Each question is asked as it is written and in lower case without punctuation,
as speech recognition gives it. Pictures whose answers are written in them count as "text", the others as "photo": there
the only right answer of a reader is that nothing of it is written.
"""

from __future__ import annotations

import csv
import os
import re
import sys
import time
from pathlib import Path

from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions
from mmcli.stages import Conversation, Message

ROOT = Path(__file__).parent.parent
TEXT = {"i04", "i05", "i06", "i08", "i09", "i10", "i11", "i12", "i26", "i48"}
REFUSALS = ("not written", "Nothing is written", "no printed code", "does not say")


def spoken(question: str) -> str:
    return re.sub(r"[^\w\s'-]", "", question).lower()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MMCLI_DATA") or ROOT.parent / "shared" / "data")
    with (folder / "ANSWERS.tsv").open(encoding="utf-8") as file:
        asked = [row[:3] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
    card = next(card for card in read_catalogue().models.values() if card.engine == "reader")
    reader = load(card)
    images = {name: open_image(folder / name) for name, _, _ in asked if not name.endswith(".mov")}
    counts = {"text": [0, 0], "photo": [0, 0]}
    print(f"{'picture':<16} {'kind':<6} {'right':<6} {'s':>5}  question -> answer")
    for name, question, expected in asked:
        if name not in images:
            continue
        kind = "text" if name[:3] in TEXT else "photo"
        for text in (question, spoken(question)):
            start = time.perf_counter()
            message = Message("user", (images[name], text))
            answer = "".join(reader.answer(Conversation((message,)), AnswerOptions()))
            refused = any(words in answer for words in REFUSALS)
            right = refused if kind == "photo" else not refused and bool(re.search(expected, answer, re.IGNORECASE))
            counts[kind][0] += right
            counts[kind][1] += 1
            seconds = time.perf_counter() - start
            print(f"{name:<16} {kind:<6} {'yes' if right else 'NO':<6} {seconds:5.2f}  {text} -> {answer[:150]!r}")
    for kind, (right, of) in counts.items():
        print(f"{kind}: {right} of {of} ({100 * right / max(1, of):.0f} %)")


if __name__ == "__main__":
    main()
