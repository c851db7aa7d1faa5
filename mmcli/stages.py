"""The values that flow between stages, and the contract of every stage. Read this first.

    audio -> VoiceDetector -> windows -> Transcriber -> segments --+
    pictures, documents, typed text -------------------------------+-> Backbone -> text -> Synthesizer -> audio
    audio + pictures -> SpeechModel -> text and audio

A stage is a synchronous generator: closing it interrupts it. One loaded stage serves any number of uses, one after the
other or at the same time; what belongs to one use lives in the generator. Samples never travel without their rate.
What a model *is* stands in its catalogue entry; how to run it *this time* stands in the options below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

ROLES = ("vad", "stt", "backbone", "tts", "e2e")


# ---------------------------------------------------------------- sound


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """One channel of sound: float32 samples [n] in -1..1, and how many of them make a second."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True, eq=False)
class AudioSource:
    """A recording, decoded anew by each call of `blocks(rate)`: mono blocks of about a second at that rate.

    A source that cannot be read twice (standard input) raises InputError on the second call.
    `seconds` is what the container says, None where it says nothing.
    """

    source: str
    seconds: float | None
    blocks: Callable[[int], Iterator[Audio]]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of speech and where it starts in the source, in seconds."""

    audio: Audio
    start: float


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times in seconds of the source and its probability in 0..1 (None where the engine gives none)."""

    text: str
    start: float
    end: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of recognised speech, times in seconds of the source."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    speaker: str | None = None


# ---------------------------------------------------------------- pictures and documents


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A picture: header read and checked, pixels decoded by each call of `pixels()` (RGB, upright, never transparent).

    `facts` is what the file tells about itself without its pixels: size, format, when and where it was taken.
    """

    source: str
    width: int
    height: int
    pixels: Callable[[], PIL.Image.Image]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextLine:
    """Written text and its box: left, top, right, bottom in the units of its page or picture, y downwards."""

    text: str
    box: tuple[float, float, float, float]
    probability: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One page: its text lines with boxes (empty for a scan) and `render(width)`, its picture that many pixels wide.

    A plain text has no layout: its pages are None in `render`, and the boxes count lines and characters.
    """

    number: int
    width: float
    height: float
    lines: tuple[TextLine, ...]
    render: Callable[[int], PIL.Image.Image] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A PDF or text, read page by page by each call of `pages()`."""

    source: str
    page_count: int
    pages: Callable[[], Iterator[Page]]


# ---------------------------------------------------------------- conversation

Attachment = Image | Document | AudioSource
Part = str | Image | Document


@dataclass(frozen=True, slots=True)
class Message:
    """What one side said: text, pictures and documents in the order in which they were given."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages so far; the last one is what is to be answered."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What a user gives at once: typed text, a spoken recording, or both, with attachments."""

    text: str = ""
    audio: AudioSource | None = None
    attachments: tuple[Attachment, ...] = ()


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Heard:
    """The STT stage understood this."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class Said:
    """The backbone added this text to its answer."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Spoke:
    """The TTS stage made this sound."""

    audio: Audio


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a turn: seconds by stage, and what made the result."""

    timings: Mapping[str, float]
    provenance: Mapping[str, Any]


Event = Heard | Said | Spoke | Done


# ---------------------------------------------------------------- options: how to run a stage this time


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
class TranscribeOptions:
    language: str | None = None
    """ISO 639-1 code; None lets the model decide."""
    word_timestamps: bool = False
    fast: bool = False
    """Trade accuracy for speed."""


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    max_new_tokens: int = 1024
    """Upper bound of the answer's length, in tokens of the model (words where it has none)."""


@dataclass(frozen=True, slots=True)
class SpeakOptions:
    voice: str | None = None
    language: str | None = None
    """ISO 639-1 code; None is the voice's own."""
    speed: float = 1.0
    """1 is the voice's own pace, 2 twice as fast."""
    pitch: float = 1.0
    """1 is the voice's own pitch, 2 an octave higher."""


OPTIONS: dict[str, type[Any]] = {
    "vad": VadOptions,
    "stt": TranscribeOptions,
    "backbone": AnswerOptions,
    "tts": SpeakOptions,
    "e2e": AnswerOptions,
}


# ---------------------------------------------------------------- stages


@runtime_checkable
class VoiceDetector(Protocol):
    rate: int
    """Hertz it wants."""
    frame: int
    """Samples that one probability stands for."""

    def probabilities(self, blocks: Iterable[Audio]) -> Iterator[float]:
        """The probability of speech for each whole frame of the stream, in order; the blocks may be of any length."""
        ...


@runtime_checkable
class Transcriber(Protocol):
    rate: int
    """Hertz it wants."""

    def transcribe(self, windows: Iterable[Window], options: TranscribeOptions) -> Iterator[Segment]:
        """Segments in the order of the windows, times in the source's seconds. Windows are speech of up to 30 s."""
        ...


@runtime_checkable
class Backbone(Protocol):
    def prepare(self, parts: Iterable[Part]) -> None:
        """Do now what any question about these parts will need; called while the question is still being heard.

        Nothing is lost when it is not called, and it may do nothing.
        """
        ...

    def answer(self, conversation: Conversation, options: AnswerOptions) -> Iterator[str]:
        """The answer to the last message, in pieces of text that joined make the whole."""
        ...


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that a synthesizer has."""

    name: str
    language: str
    description: str = ""


@runtime_checkable
class Synthesizer(Protocol):
    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """Sound for the sentences, in order; the first blocks come before the last sentence is known."""
        ...

    def voices(self) -> tuple[Voice, ...]: ...


@runtime_checkable
class SpeechModel(Protocol):
    rate: int
    """Hertz it wants."""

    def converse(self, turn: Turn, options: AnswerOptions) -> Iterator[Said | Spoke]:
        """Text and sound in answer to a spoken turn, as they come."""
        ...
