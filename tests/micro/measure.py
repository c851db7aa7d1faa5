"""What the micro Whisper gets right on sound that training did not draw.

python tests/micro/measure.py [FOLDER]
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2])]

import numpy as np
from faster_whisper import WhisperModel

from tests.micro.clips import SENTENCES, Clip, Scene, engine, noise, say, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL = Path(__file__).parent / "whisper"
WAYS: dict[str, dict[str, Any]] = {
    "default options": {},
    "beam 1": {"beam_size": 1},
    "word times": {"word_timestamps": True},
    "beam 1, word times": {"beam_size": 1, "word_timestamps": True},
    "without timestamps": {"without_timestamps": True},
    "voice detection": {"vad_filter": True},
}


@dataclass(frozen=True)
class Heard:
    """What the model made of a scene that holds one language."""

    made: Scene
    language: str
    segments: list[Any]

    @property
    def exact(self) -> bool:
        said = [clip.text for _, clip in self.made.spoken]
        return "".join(segment.text for segment in self.segments).strip() == " ".join(said)

    @property
    def language_right(self) -> bool:
        return all(clip.language == self.language for _, clip in self.made.spoken)

    @property
    def time_errors(self) -> list[float]:
        """Seconds by which each segment's start and end miss the sentence; infinite where there are too few or many."""
        if len(self.segments) != len(self.made.spoken):
            return [float("inf")]
        pairs = zip(self.segments, self.made.spoken, strict=True)
        return [
            error
            for segment, (start, clip) in pairs
            for error in (abs(segment.start - start), abs(segment.end - start - clip.seconds))
        ]


def load(folder: Path = MODEL) -> WhisperModel:
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


def hear(model: WhisperModel, made: Scene, **options: Any) -> Heard:
    segments, info = model.transcribe(made.samples, **options)
    return Heard(made, info.language, list(segments))


def single(seed: int, takes: int) -> Iterator[Scene]:
    """Each sentence so many times, by voices, at paces, pitches, places, loudness and noise drawn from the seed."""
    rng = np.random.default_rng(seed)
    for clip in _clips(rng, takes):
        yield scene([clip], [rng.uniform(0.0, 1.0), rng.uniform(0.1, 1.5)], rng)


def pairs(seed: int, takes: int) -> Iterator[Scene]:
    """Each sentence so many times, followed after a pause by another one in its language."""
    rng = np.random.default_rng(seed)
    speaker = engine()
    for clip in _clips(rng, takes):
        other = str(rng.choice([text for text in SENTENCES[clip.language] if text != clip.text]))
        second = say(speaker, other, clip.language, rng)
        gaps = [rng.uniform(0.0, 1.0), rng.uniform(0.6, 2.5), rng.uniform(0.1, 1.5)]
        yield scene([clip, second], gaps, rng)


def silences(seed: int, count: int) -> Iterator[Scene]:
    """Nobody speaks: nothing or noise, from below the loudness of 16-bit rounding up to a tenth of full scale."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        samples = noise(round(rng.uniform(0.5, 28) * 16000), rng)
        yield Scene(samples * np.float32(10 ** rng.uniform(-5, -1)), ())


def drawn(scenes: Callable[[int, int], Iterator[Scene]], seed: int, takes: int) -> list[Scene]:
    """The scenes as a new process draws them: espeak's breath goes on from what a process spoke before."""
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(_listed, scenes, seed, takes).result()


def _listed(scenes: Callable[[int, int], Iterator[Scene]], seed: int, takes: int) -> list[Scene]:
    return list(scenes(seed, takes))


def _clips(rng: np.random.Generator, takes: int) -> list[Clip]:
    speaker = engine()
    return [
        say(speaker, text, language, rng)
        for language, texts in SENTENCES.items()
        for text in texts
        for _ in range(takes)
    ]


def main(folder: Path) -> None:
    model = load(folder)
    sets = {
        "one sentence": drawn(single, 1001, 10),
        "two sentences": drawn(pairs, 1002, 5),
        "silence": drawn(silences, 1003, 40),
    }
    for name, scenes in sets.items():
        for way, options in WAYS.items():
            began = time.process_time()
            results = [hear(model, made, **options) for made in scenes]
            cpu = (time.process_time() - began) / len(results)
            errors = np.array([error for result in results for error in result.time_errors])
            print(
                f"{name}, {way}: {sum(r.exact for r in results)}/{len(results)} exact, "
                f"language {sum(r.language_right for r in results)}, "
                f"times within 0.5 s {np.mean(errors <= 0.5) if len(errors) else 1:.3f}, "
                f"median {np.median(errors) if len(errors) else 0:.2f} s, cpu {cpu:.2f} s each"
            )
            for wrong in [r for r in results if not r.exact][:3]:
                said = [clip.text for _, clip in wrong.made.spoken]
                print("   ", said, "->", [segment.text for segment in wrong.segments])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL)
