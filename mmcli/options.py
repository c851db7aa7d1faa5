"""How to run a stage this time: one frozen dataclass for each role, as TOML and flags fill it in.

What a model *is* stands in its catalogue entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class VadOptions:
    """Where speech is cut into utterances."""

    threshold: float = 0.5
    """Probability from which a frame counts as speech; it ends below this minus 0.15."""
    min_speech_ms: int = 100
    """Shorter bursts are noise."""
    min_silence_ms: int = 500
    """A pause that ends an utterance."""
    speech_pad_ms: int = 300
    """Kept before and after an utterance."""
    max_speech_s: float = 30.0
    """A longer utterance is cut at its quietest place."""


@dataclass(frozen=True, slots=True)
class DiarizeOptions:
    """Who speaks when."""

    by: str = "auto"
    """channel: each channel is a speaker. voice: speakers differ in their voices. auto: channel where that shows."""
    min_speakers: int = 1
    max_speakers: int | None = None
    names: tuple[str, ...] = ()
    """What speakers are called, in the order in which they begin to speak; SPEAKER_00, SPEAKER_01, ... beyond."""


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """How to hear. From `task` on, an engine that cannot honour an option refuses it; None turns a threshold off."""

    language: str | None = None
    """ISO 639-1 code; None lets the model decide."""
    word_timestamps: bool = False
    fast: bool = False
    """Trade accuracy for speed."""
    clip_timestamps: tuple[float, ...] = ()
    """start, end, start, end, ... in seconds; the last end may be left out. Nothing outside is heard."""
    windowing: str = "vad"
    """vad: speech is cut out of the stream. sequential: the model goes through the whole recording by itself."""
    vad_filter: bool = False
    """Sequential: leave out what is no speech."""
    vad_parameters: tuple[tuple[str, float], ...] = ()
    """Sequential: the fields of VadOptions that were given, filled in from those of the role vad."""
    task: str = "transcribe"
    """transcribe, or translate: into English."""
    beam_size: int = 5
    best_of: int = 5
    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    temperature: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Tried in turn until a result passes the thresholds."""
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    prompt_reset_on_temperature: float = 0.5
    initial_prompt: str | None = None
    prefix: str | None = None
    hotwords: str | None = None
    suppress_blank: bool = True
    suppress_tokens: tuple[int, ...] = (-1,)
    without_timestamps: bool | None = None
    max_initial_timestamp: float = 1.0
    prepend_punctuations: str = "\"'“¿([{-"
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"
    multilingual: bool = False
    """Detect the language of each window."""
    max_new_tokens: int | None = None
    hallucination_silence_threshold: float | None = None
    """With word timestamps: leave out silence of this many seconds around what looks imagined."""
    language_detection_threshold: float = 0.5
    language_detection_segments: int = 1
    """Windows that otherwise vote on the language."""
    batched: bool = False
    """Decode many windows at once, none knowing the text before it."""
    batch_size: int = 8


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how exactly the models of a pipeline compute; an engine takes of it what it has a use for."""

    device: str = "auto"
    """auto | cpu | cuda | cuda:N | balanced: over all cards, for models of transformers. Only auto may end elsewhere."""
    compute_type: str = "auto"
    """auto: the fastest on that device | default: as the weights are stored | int8 | float16 | bfloat16 | float32 | ..."""
    threads: int = 0
    """On the CPU, in all, but one at least for each that works side by side; 0 lets the engine decide."""
    workers: int = 1
    """What an engine that can works on side by side, such as windows of a recording; 0 lets the engine decide."""
    ahead: bool = False
    """With one worker: whether an engine may prepare meanwhile what comes next, and load while that is made ready."""
    quantize: str | None = None
    """int8 | int4: weights are made smaller while they load."""
    attention: str | None = None
    """Which way of computing attention, by the library's name for it."""
    trust_remote_code: bool = False
    """Whether a folder's own code may run; the model's catalogue entry has to allow it too."""


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How to answer. From `temperature` on, None is the model's own way, and an engine that cannot honour one refuses it."""

    max_new_tokens: int = 1024
    """Upper bound of the answer's length, in tokens of the model (words where it has none)."""
    temperature: float | None = None
    """0 always takes the likeliest token."""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    """Above 1 avoids what was said."""
    seed: int | None = None
    """Makes sampling repeatable on the same machine."""
    stop: tuple[str, ...] = ()
    """The answer ends before any of these."""
    schema: str | None = None
    """A JSON schema as JSON; the answer is a document that it allows."""
    detail: str | None = None
    """low | high | the most pixels of a side: how finely pictures are looked at."""


@dataclass(frozen=True, slots=True)
class ConverseOptions(AnswerOptions):
    """How one model from speech to speech answers."""

    target_language: str | None = None
    """ISO 639-1 code of the answer, for models that translate (`--to`)."""
    source_language: str | None = None
    """That of typed text, for models that have to be told (`--from`)."""
    speaker: str | None = None
    """With whose voice it speaks: a name or number of the model's own, or a file that stands for a voice."""


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What is looked at of what is given beside a question, and how."""

    pages: str | None = None
    """Of documents, as in 1-3,7; `image` among them shows pages as pictures even where they have text."""
    frames: int | None = None
    """Pictures of a video, evenly spread; without it and fps, those where the scene changes, 8 at most."""
    fps: float | None = None
    """Pictures of a video for each of its seconds."""
    ground: bool = False
    """Whether the text that is recognised in pictures is told with its place, too."""
    allow_private_addresses: bool = False
    """Whether addresses of this machine and of private networks may be fetched from."""


@dataclass(frozen=True, slots=True)
class SpeakOptions:
    voice: str | None = None
    language: str | None = None
    """ISO 639-1 code; None is the voice's own."""
    speed: float = 1.0
    """1 is the voice's own pace, 2 twice as fast."""
    pitch: float = 1.0
    """1 is the voice's own pitch, 2 an octave higher."""
    seed: int | None = None
    """Makes a voice that draws at random speak alike each time on the same machine; others do so anyway."""
    speaker_wav: tuple[str, ...] = ()
    """Recordings of the voice to speak with, for models that can take one over."""


@dataclass(frozen=True, slots=True)
class VocoderOptions:
    """A vocoder has nothing to choose; which one it is stands in the pipeline."""


def flag(name: str) -> str:
    """The flag of an option by its field's name."""
    return f"--{name.replace('_', '-')}"


OPTIONS: dict[str, type[Any]] = {
    "vad": VadOptions,
    "diarize": DiarizeOptions,
    "stt": TranscribeOptions,
    "backbone": AnswerOptions,
    "tts": SpeakOptions,
    "vocoder": VocoderOptions,
    "e2e": ConverseOptions,
    "runtime": Runtime,
    "attachments": AttachOptions,
}
