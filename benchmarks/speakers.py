"""How well speakers are told apart: on sequences of recordings of known people and voices, and on single ones.

    MMCLI_DATA=FOLDER python benchmarks/speakers.py [--speaker-model NAME]

FOLDER (../shared/data by default) holds the recordings. Joined with 0.3 s of silence, at one level each. "found" is the
number of speakers found; confusion is the share of the speech that is given to a wrong speaker (speakers matched so that
it is least), purity the share of a found speaker's speech that is of one person, each weighed by its length. Speech is
what the voice detector hears in the recordings by themselves; the speech that it misses is the same for every model.
"told" is the confusion when the number of speakers is given.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmcli.catalogue import package_data, read_catalogue
from mmcli.engines import load
from mmcli.media.audio import open_audio
from mmcli.media.resampling import resample
from mmcli.options import DiarizeOptions, SpeakOptions, VadOptions
from mmcli.speech import utterances
from mmcli.stages import Audio

DATA = Path(os.environ.get("MMCLI_DATA") or Path(__file__).parents[2] / "shared" / "data")
RATE = 16000
PAD_S = VadOptions().speech_pad_ms / 1000
PEOPLE = {
    "quilter": ["a01.wav"], "spanish": ["a02.wav"], "french": ["a03.wav"], "german": ["a20.wav"],
    "linda": ["a04.wav", "a05.flac", "a06.mp3", "a27.wav"], "austen": ["a07.wav", "a08.wav"],
    "first": ["a09.wav", "a34.wav"], "second": ["a10.wav"], "kennedy": ["a14.flac"], "cotton": ["a44.wav"],
}  # fmt: skip
SEQUENCES = {
    "man, woman": "linda quilter linda", "two men": "quilter kennedy quilter", "two women": "austen cotton austen",
    "short sentences": "first second first second", "three languages": "spanish french german spanish german french",
    "five people": "linda quilter austen linda kennedy austen cotton",
    "many turns": "linda quilter linda cotton linda quilter linda cotton",
}  # fmt: skip
VOICES = {"man": ("en-us", 1.0), "woman": ("en-us+f3", 1.0), "old man": ("en-us+croak", 0.8)}
SENTENCES = [
    "The harbour is seven kilometres away and the road is closed today.",
    "I would like to know when the next train leaves for the city.",
    "Please read me the whole list again, slowly and from the top.",
    "It rained all week so nobody went to the market on Saturday.",
    "We can meet at the corner of the street at half past nine.",
    "My brother bought three books and a small green lamp yesterday.",
]

Sound = np.ndarray[Any, np.dtype[np.float32]]
Spans = list[tuple[float, float, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker-model", default="spectral")
    catalogue = read_catalogue()
    diarizer = load(catalogue.model(parser.parse_args().speaker_model, "diarize"))
    detector = load(catalogue.model("silero"))
    print(f"{'sequence':18} {'people':>6} {'found':>5} {'confusion':>9} {'purity':>6} {'told':>6}")
    started, seconds = time.process_time(), 0.0
    for name, (sound, spans) in sequences(detector).items():
        people = len({who for _, _, who in spans})
        found, confusion, purity = score(turns(sound, detector, diarizer, DiarizeOptions()), spans)
        options = DiarizeOptions(min_speakers=people, max_speakers=people)
        _, told, _ = score(turns(sound, detector, diarizer, options), spans)
        seconds += 2 * len(sound) / RATE
        print(f"{name:18} {people:6} {found:5} {confusion:9.3f} {purity:6.3f} {told:6.3f}")
    print(f"{(time.process_time() - started) / seconds:.3f} s of processor time for a second of sound")
    split = []
    singles = single_recordings()
    for name, sound in singles.items():
        if len({who for _, _, who in turns(sound, detector, diarizer, DiarizeOptions())}) > 1:
            split.append(name)
    print(f"single speakers: {len(singles)} recordings, {len(split)} split in two or more {' '.join(split)}")


def read(path: Path) -> Sound:
    samples = np.concatenate([block.samples for block in open_audio(path).blocks(RATE)])
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def say(espeak: Any, voice: str, text: str) -> Sound:
    name, pitch = VOICES[voice]
    blocks = resample(espeak.speak([text], SpeakOptions(voice=name, pitch=pitch)), RATE)
    samples = np.concatenate([block.samples for block in blocks])
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def sequences(detector: Any) -> dict[str, tuple[Sound, Spans]]:
    """Each with from when to when who speaks."""
    found = {}
    for name, order in SEQUENCES.items():
        left = {who: list(files) for who, files in PEOPLE.items()}
        parts = []
        for who in order.split():
            left[who] = left[who][1:] + left[who][:1]  # another recording each time, where there is one
            parts.append((who, read(DATA / left[who][-1])))
        found[name] = joined(parts, detector)
    espeak = load(read_catalogue().model("espeak"))
    for count in (2, 3):
        voices = list(VOICES)[:count]
        parts = [(voices[n % count], say(espeak, voices[n % count], text)) for n, text in enumerate(SENTENCES)]
        found[f"{count} espeak voices"] = joined(parts, detector)
    dialogue = package_data("samples") / "dialogue.flac"
    sides = [np.concatenate([b.samples for b in side.blocks(RATE)]) for side in open_audio(dialogue).channels]
    spans = sorted(span for who, side in zip("LR", sides, strict=True) for span in spoken(side, detector, who))
    found["sample dialogue"] = (read(dialogue), spans)
    return found


def spoken(sound: Sound, detector: Any, who: str, start: float = 0.0) -> Spans:
    """Where the detector hears speech, without what is kept around it."""
    found = utterances(iter([Audio(sound, RATE)]), detector, VadOptions())
    spans = [(w.start + (PAD_S if w.start else 0.0), w.start + w.audio.seconds - PAD_S) for w in found]
    return [(start + begin, start + end, who) for begin, end in spans]


def joined(parts: Iterable[tuple[str, Sound]], detector: Any, pause_s: float = 0.3) -> tuple[Sound, Spans]:
    sounds: list[Sound] = []
    spans: Spans = []
    start = 0.0
    pause = np.zeros(round(pause_s * RATE), np.float32)
    for who, sound in parts:
        spans += spoken(sound, detector, who, start)
        sounds += [sound, pause]
        start += (len(sound) + len(pause)) / RATE
    return np.concatenate(sounds), spans


def turns(sound: Sound, detector: Any, diarizer: Any, options: DiarizeOptions) -> list[tuple[float, float, int]]:
    speech = utterances(iter([Audio(sound, RATE)]), detector, VadOptions())
    return [(turn.start, turn.end, turn.speaker) for turn in diarizer.speakers(speech, options)]


def score(found: list[tuple[float, float, int]], spans: Spans) -> tuple[int, float, float]:
    """Speakers found, confusion, purity; time is counted in steps of 10 ms."""
    people = sorted({who for _, _, who in spans})
    heard = sorted({who for _, _, who in found})
    steps = round(100 * max(end for _, end, _ in spans)) + 100
    truth, told = np.full(steps, -1), np.full(steps, -1)
    for start, end, who in spans:
        truth[round(100 * start) : round(100 * end)] = people.index(who)
    for start, end, speaker in found:
        told[round(100 * start) : round(100 * end)] = heard.index(speaker)
    shared = np.array([[np.sum((truth == p) & (told == h)) for h in range(len(heard))] for p in range(len(people))])
    right = shared[linear_sum_assignment(-shared)].sum()
    return len(heard), 1 - right / shared.sum(), shared.max(axis=0).sum() / shared.sum()


def single_recordings() -> dict[str, Sound]:
    """Every recording of one person by itself, all of those with several as one, and what the project's samples say."""
    sounds = {name: read(DATA / name) for files in PEOPLE.values() for name in files}
    for who, files in PEOPLE.items():
        if len(files) > 1:
            sounds[who] = np.concatenate([sounds[name] for name in files])
    for name in (
        "a11.wav",
        "a12.wav",
        "a15_8bit.wav",
        "a16.m4a",
        "a18_noise10dB.wav",
        "a37.wav",
        "a74_mulaw.wav",
        "a76.ac3",
    ):
        sounds[name] = read(DATA / name)
    for path in package_data("samples").glob("question-*.flac"):
        sounds[path.stem] = read(path)
    return sounds


if __name__ == "__main__":
    main()
