"""Training examples: scenes of sound with the tokens that Whisper should write for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor

from tests.micro.clips import SENTENCES, scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from tests.micro.clips import Clip, Scene

# Times are written in steps of 0.1 s: a fifth as many tokens to learn as there are.
_STEPS_PER_SECOND = 10
# Whisper's decoding lets a window begin within this time only.
_LATEST_START_S = 1.0
# How many windows hold no speech, are written without times, come after an earlier text.
_SILENT, _UNTIMED, _PROMPTED = 0.06, 0.4, 0.1
_ANYTHING, _NOWHERE = -100, -1.0


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that are used, by their numbers in the full vocabulary; a model in training counts only these."""

    tokens: list[int]
    numbers: dict[str, int]
    texts: dict[str, list[int]]
    lengths: dict[str, list[int]]
    """Letters of each token of a sentence."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Vocabulary:
        texts = {text: tokenizer.encode(" " + text).ids for of_language in SENTENCES.values() for text in of_language}
        names = ["endoftext", "startoftranscript", "transcribe", "startofprev", "nospeech", "notimestamps", *SENTENCES]
        names += [f"{step / _STEPS_PER_SECOND:.2f}" for step in range(30 * _STEPS_PER_SECOND + 1)]
        numbers = tokenizer.get_vocab()
        full = {name: numbers[f"<|{name}|>"] for name in names}
        tokens = sorted({*full.values(), *(token for ids in texts.values() for token in ids)})
        small = {token: index for index, token in enumerate(tokens)}
        return cls(
            tokens,
            {name: small[token] for name, token in full.items()},
            {text: [small[token] for token in ids] for text, ids in texts.items()},
            {text: [len(tokenizer.decode([token])) for token in ids] for text, ids in texts.items()},
        )

    def time(self, seconds: float) -> int:
        return self.numbers[f"{round(seconds * _STEPS_PER_SECOND) / _STEPS_PER_SECOND:.2f}"]


@dataclass(frozen=True)
class Batch:
    """features [batch, 80, frames]; of each token [batch, tokens]: what goes in, what should come out (-100 for
    anything), and the second at which what comes out is spoken (-1 for nowhere)."""

    features: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor
    places: torch.Tensor


@dataclass
class _Tokens:
    """The tokens of one example, what is to be learnt in the place of each, and the second where it is spoken."""

    given: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, token: int, wanted: int = _ANYTHING, second: float = _NOWHERE) -> None:
        self.given.append(token)
        self.wanted.append(wanted)
        self.seconds.append(second)


class Maker:
    """Makes batches of examples: no, one or several sentences of one language in a window of some seconds."""

    def __init__(
        self, clips: Mapping[str, Sequence[Clip]], vocabulary: Vocabulary, window_s: float, rng: np.random.Generator
    ) -> None:
        self._clips = clips
        self._vocabulary = vocabulary
        self._window_s = window_s
        self._rng = rng
        self._extract = FeatureExtractor()

    def batch(self, size: int) -> Batch:
        frames = round(self._window_s * 100)
        features = np.zeros((size, 80, frames), np.float32)
        examples = []
        for row in range(size):
            samples, tokens = self._example()
            # faster-whisper too fills the window with zeros after the logarithm, not before it.
            seen = self._extract(samples)[:, :frames]
            features[row, :, : seen.shape[1]] = seen
            examples.append(tokens)
        return Batch(
            torch.from_numpy(features),
            _padded([tokens.given[:-1] for tokens in examples], 0),
            _padded([tokens.wanted[1:] for tokens in examples], _ANYTHING),
            _padded([tokens.seconds[1:] for tokens in examples], _NOWHERE),
        )

    def _example(self) -> tuple[NDArray[np.float32], _Tokens]:
        rng, number = self._rng, self._vocabulary.numbers
        shares = np.array([len(texts) for texts in SENTENCES.values()], float)
        language = str(rng.choice(list(SENTENCES), p=shares / shares.sum()))
        made = self._silence() if rng.random() < _SILENT else self._speech(language)
        tokens = _Tokens()
        if rng.random() < _PROMPTED:
            tokens.add(number["startofprev"])
            for token in self._vocabulary.texts[str(rng.choice(SENTENCES[language]))]:
                tokens.add(token)
        tokens.add(number["startoftranscript"])
        # Where nobody speaks, any language may be set after all.
        tokens.add(number[language], number[language if made.spoken else "nospeech"])
        tokens.add(number["transcribe"], number["transcribe"])
        self._write(made, tokens, with_times=rng.random() >= _UNTIMED)
        return made.samples, tokens

    def _silence(self) -> Scene:
        return scene([], [self._rng.uniform(0.3, self._window_s)], self._rng)

    def _speech(self, language: str) -> Scene:
        """As many sentences as were drawn and fit, with pauses; then a short rest or silence to the window's end."""
        rng, clips = self._rng, self._clips[language]
        count = rng.choice((1, 2, 3), p=(0.5, 0.35, 0.15)) if self._window_s > 5 else 1
        chosen: list[Clip] = []
        gaps: list[float] = []
        room = self._window_s - 0.1
        for _ in range(count):
            clip = clips[int(rng.integers(len(clips)))]
            gap = rng.uniform(0.3, 3.0) if chosen else rng.uniform(0.0, 1.2)
            if gap + clip.seconds > room:
                break
            chosen.append(clip)
            gaps.append(gap)
            room -= gap + clip.seconds
        rest = 0.05 + rng.uniform(0, min(room, 1.0) if rng.random() < 0.6 else room)
        return scene(chosen, [*gaps, rest], rng)

    def _write(self, made: Scene, tokens: _Tokens, *, with_times: bool) -> None:
        """The text of the scene, each sentence between its times, and the end."""
        vocabulary = self._vocabulary
        if not with_times:
            tokens.add(vocabulary.numbers["notimestamps"])
        elif not made.spoken:
            tokens.add(vocabulary.time(0), vocabulary.time(0))
        latest, end = _LATEST_START_S, _NOWHERE
        for start, clip in made.spoken:
            end = start + clip.seconds
            if with_times:
                token = vocabulary.time(min(start, latest))
                tokens.add(token, token, start)
                latest = float("inf")
            ids = vocabulary.texts[clip.text]
            for token, second in zip(ids, _seconds_of(vocabulary.lengths[clip.text], start, end), strict=True):
                tokens.add(token, token, second)
            if with_times:
                tokens.add(vocabulary.time(end), vocabulary.time(end), end)
        # Word times need this place: an end that looks elsewhere can take all of the sound from the words.
        tokens.add(vocabulary.numbers["endoftext"], vocabulary.numbers["endoftext"], end)


def _seconds_of(lengths: Sequence[int], start: float, end: float) -> NDArray[np.float64]:
    """The middle of each token, as if every letter of a sentence took the same time."""
    ends = np.cumsum(lengths)
    shares: NDArray[np.float64] = (ends - np.array(lengths) / 2) / ends[-1]
    return start + (end - start) * shares


def _padded(rows: Sequence[Sequence[float]], filler: float) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *([filler] * (longest - len(row)))] for row in rows])
