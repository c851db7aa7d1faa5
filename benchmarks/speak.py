"""Speaking: the whole command beside a call of the engine, the first sound beside the whole, the cost of a sentence, memory.

`--sized` measures the whole command beside Coqui's own `tts`, with models of the published sizes and random weights (sized_coqui.py);
`--model FOLDER --vocoder FOLDER` with others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXT = (
    "The museum opens at nine in the morning. It closes at six. Tickets are sold at the door. Children pay nothing. "
    "The old town lies behind the river. A bus leaves every ten minutes. Bring a map and some water. "
    "Lunch is served in the garden. The guide speaks four languages. See you on Sunday."
)
WORDS_A_PAGE = 300
MMCLI = [sys.executable, "-m", "mmcli", "speak"]


def seconds(command: list[str], **more: object) -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)  # type: ignore[call-overload]
    return time.perf_counter() - started


def medians(runs: int, *commands: list[str]) -> list[float]:
    """The commands in turn, after one run each for the caches."""
    for command in commands:
        seconds(command)
    times = [[seconds(command) for command in commands] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def against_coqui(folder: Path, model: str, vocoder: str | None, runs: int) -> None:
    """The same text with the same weights by Coqui's own command."""
    text = TEXT.split(". ", maxsplit=1)[0] + "."
    own = [*MMCLI, text, "-m", model, *(["--vocoder", vocoder] if vocoder else []), "-o", str(folder / "a.wav"), "-q"]
    peer = [str(Path(sys.executable).with_name("tts")), "--text", text, "--out_path", str(folder / "b.wav")]
    peer += ["--model_path", str(weights(model)), "--config_path", f"{model}/config.json"]
    if vocoder:
        peer += ["--vocoder_path", str(weights(vocoder)), "--vocoder_config_path", f"{vocoder}/config.json"]
    ours, theirs = medians(runs, own, peer)
    names = " + ".join(Path(name).name for name in (model, vocoder) if name)
    print(f"whole command   mmcli {ours:.2f} s, tts {theirs:.2f} s: {ours / theirs:.2f}   {names}", flush=True)


def weights(folder: str) -> Path:
    """The one file of weights of a folder."""
    return next(path for path in Path(folder).iterdir() if path.suffix in (".pth", ".pt"))


def first_sound(runs: int) -> None:
    """When the first sound of ten sentences comes, and when all of it is there; both from a warm voice on."""
    from mmcli import engines
    from mmcli.catalogue import read_catalogue
    from mmcli.media.prose import Paragraph
    from mmcli.options import SpeakOptions
    from mmcli.speaking.script import script

    tts = engines.load(read_catalogue().model("espeak", "tts"))
    for block in tts.speak((said.text for said in script([Paragraph("Warm. Up.")])), SpeakOptions()):
        del block
    shares = []
    for _ in range(runs):
        started = time.perf_counter()
        times = [
            time.perf_counter() - started
            for _ in tts.speak((s.text for s in script([Paragraph(TEXT)])), SpeakOptions())
        ]
        shares.append((times[0] / times[-1], times[0], times[-1]))
    share, first, whole = statistics.median_low(shares)
    print(f"ten sentences   first sound {first * 1000:.1f} ms, all {whole * 1000:.1f} ms: {share:.2f}")


def cost_of_a_sentence() -> None:
    """What mmcli adds to the engine: the same sentences narrated and given to the fake voice directly."""
    from mmcli import engines
    from mmcli.catalogue import read_catalogue
    from mmcli.media.prose import Paragraph
    from mmcli.options import SpeakOptions
    from mmcli.speaking.script import script
    from mmcli.speaking.sound import Narration, narrate
    from mmcli.text import sentences

    tts = engines.load(read_catalogue().model("fake-tts"))
    texts = list(sentences([TEXT])) * 50
    list(narrate(tts, script([Paragraph(texts[0])]), Narration(SpeakOptions())))
    times = []
    for run in (
        lambda: tts.speak(texts, SpeakOptions()),
        lambda: narrate(tts, script(map(Paragraph, texts)), Narration(SpeakOptions())),
    ):
        started = time.perf_counter()
        for _ in run():
            pass
        times.append(time.perf_counter() - started)
    print(
        f"a sentence      {(times[1] - times[0]) / len(texts) * 1000:.2f} ms more than the engine alone ({len(texts)} sentences)"
    )


def memory(folder: Path) -> None:
    """Peak memory of the whole command for a short and a long text, espeak to a FLAC file, without times and with."""
    sentence = TEXT + "\n\n"
    for pages, more in ((2, []), (200, []), (200, ["--timings", "srt"]), (200, ["--timings", "json"])):
        text = folder / f"{pages}.txt"
        text.write_text(sentence * (pages * WORDS_A_PAGE // len(sentence.split())))
        command = [*MMCLI, "-i", str(text), "-o", str(folder / "a.flac"), "-m", "espeak", "-q", *more]
        with subprocess.Popen(command) as process:
            started = time.perf_counter()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - started
        print(f"{pages:>3} pages       peak {used.ru_maxrss // 1024} MB, {took:.1f} s   {' '.join(more)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", help="a folder with a checkpoint of Coqui TTS")
    parser.add_argument("--vocoder", help="and one of a vocoder")
    parser.add_argument("--sized", action="store_true", help="build such folders and take them")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mmcli-benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.model:
            against_coqui(folder, given.model, given.vocoder, given.runs)
        first_sound(given.runs)
        cost_of_a_sentence()
        memory(folder)
        # Last: the memory of this process would count as that of the processes it starts.
        if given.sized:
            import sized_coqui

            cache = given.cache / "coqui"
            against_coqui(folder, str(sized_coqui.voice("vits", cache)), None, given.runs)
            acoustic, vocoder = sized_coqui.voice("fast_pitch", cache), sized_coqui.hifi_gan(cache)
            against_coqui(folder, str(acoustic), str(vocoder), given.runs)


if __name__ == "__main__":
    main()
