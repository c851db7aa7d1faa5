"""Word error rate and speed of the speech recognition that comes with mmcli, on recordings with known words.

    MMCLI_DATA=FOLDER python benchmarks/words.py [--fast] [FILE ...]

FOLDER (../shared/data by default) holds recordings and MANIFEST.tsv with the columns file, kind and
transcript-or-answers. Of it: English, one voice, no added noise. The words are compared in lower case, without
punctuation, hyphens as spaces. "cpu/s" is the processor time of the whole process tree for a second of sound.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import resource
import time
from pathlib import Path

import jiwer

from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.media.audio import open_audio
from mmcli.options import TranscribeOptions, VadOptions
from mmcli.speech import utterances

DATA = Path(os.environ.get("MMCLI_DATA") or Path(__file__).parents[2] / "shared" / "data")


def normal(text: str) -> str:
    """Lower case, no punctuation but the apostrophe within a word, hyphens as spaces."""
    return " ".join(re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ")).split())


def references(folder: Path) -> dict[str, str]:
    """File name to words: English, with one plain transcript, without noise that was mixed in."""
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {
            row["file"]: normal(row["transcript-or-answers"])
            for row in rows
            if row["kind"].startswith("audio/en")
            and "one speaker per channel" not in row["kind"]
            and "noise" not in row["kind"]
            and "[" not in row["transcript-or-answers"]
        }


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("files", nargs="*", help="only these files of the folder")
    arguments = parser.parse_args()
    words = {name: text for name, text in references(DATA).items() if name in (arguments.files or [name])}
    if not words:
        parser.error(f"{DATA} has no such recording")
    catalogue = read_catalogue()
    detector, recognizer = load(catalogue.model("silero")), load(catalogue.model("pocketsphinx"))
    options = TranscribeOptions(fast=arguments.fast)
    heard, sound = {}, 0.0
    cpu_before, began = cpu_seconds(), time.perf_counter()
    print(f"{'file':16} {'errors':>7} {'words':>6} {'wall/s':>7}  heard")
    for name, reference in words.items():
        source = open_audio(DATA / name)
        seconds = sum(block.seconds for block in source.blocks(detector.rate))
        start = time.perf_counter()
        windows = utterances(source.blocks(detector.rate), detector, VadOptions())
        heard[name] = normal(" ".join(segment.text for segment in recognizer.transcribe(windows, options)))
        took = time.perf_counter() - start
        sound += seconds
        result = jiwer.process_words(reference, heard[name])
        errors = result.substitutions + result.deletions + result.insertions
        print(f"{name:16} {errors:7} {len(reference.split()):6} {took / seconds:7.2f}  {heard[name]}", flush=True)
    wall = time.perf_counter() - began
    del recognizer  # its processes end, and their time is known
    cpu = cpu_seconds() - cpu_before
    rate = jiwer.wer(list(words.values()), [heard[name] for name in words])
    count = sum(len(reference.split()) for reference in words.values())
    print(f"\n{len(words)} recordings, {sound:.1f} s, {count} words, {'--fast' if arguments.fast else 'default'}:")
    print(f"word error rate {rate:.3f}, wall/s {wall / sound:.2f}, cpu/s {cpu / sound:.2f}")


if __name__ == "__main__":
    main()
