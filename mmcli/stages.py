"""The values that flow between stages, and the contract of every stage. Read this first.

    audio -> VoiceDetector -> windows -> Transcriber -> segments --+   (a Diarizer names who speaks)
    pictures, documents, typed text -------------------------------+-> Backbone -> text -> Synthesizer -> audio
    audio + pictures -> SpeechModel -> text and/or audio                Synthesizer, or Acoustic -> mel -> Vocoder

A stage is a synchronous generator: closing it interrupts it. One loaded stage serves any number of uses, one after the
other or at the same time; what belongs to one use lives in the generator. Samples never travel without their rate.
What a model *is* stands in its catalogue entry; how to run it *this time* stands in options.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    from mmcli.mel import Mel, MelFacts
    from mmcli.options import AnswerOptions, ConverseOptions, DiarizeOptions, SpeakOptions, TranscribeOptions
    from mmcli.places import Region

ROLES = ("vad", "diarize", "stt", "backbone", "tts", "vocoder", "e2e")


# ---------------------------------------------------------------- sound


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """One channel of sound: float32 samples [n] in -1..1, and how many of them make a second."""

    samples: NDArray[np.float32]
    rate: int
    words: tuple[Word, ...] = ()
    """Those that begin in it where a voice tells them, in seconds from its start; the last may outlast it."""

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
    blocks16: Callable[[int], Iterator[Audio]] | None = None
    """The same in steps of 16 bits, mixed and resampled by libav, as Whisper's own tools decode a file."""
    channels: tuple[AudioSource, ...] = ()
    """Each channel alone, where there are several and the source can be read again."""


def _nobody_asks(seconds: float, carried: Mapping[str, Any]) -> None:
    """For windows of which nothing is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of speech and where it starts in the source, in seconds.

    A transcriber calls `done(seconds, carried)` when all segments that begin before that second of the source have been
    taken from it: after a window, after a batch of them, or inside a long one. `carried` is what it takes along to what
    follows, as values that JSON holds.
    """

    audio: Audio
    start: float
    done: Callable[[float, Mapping[str, Any]], None] = _nobody_asks

    @property
    def end(self) -> float:
        return self.start + self.audio.seconds


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times in seconds of the source and its probability in 0..1 (None where the engine gives none)."""

    text: str
    start: float
    end: float
    probability: float | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Decoding:
    """What Whisper tells about how it came to a segment.

    `seek` is where the 30 s that it looked at begin, in hundredths of a second of the source; `avg_logprob` is per token.
    """

    tokens: tuple[int, ...]
    seek: int
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of recognised speech, times in seconds of the source; `language` is that of the text."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    speaker: str | None = None
    decoding: Decoding | None = None
    flags: tuple[str, ...] = ()
    """What makes it doubtful, in the words of media/quality.py."""


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """From when to when, in seconds of the source, a speaker speaks. `speaker` is a number without meaning but being one."""

    start: float
    end: float
    speaker: int


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


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """Moving pictures: each call of `frames()` decodes the chosen ones anew, as (seconds, RGB picture) in order of time.

    `seconds` is how long it lasts, None where the container says nothing. `sound` is its sound track, None without one.
    """

    source: str
    seconds: float | None
    width: int
    height: int
    frames: Callable[[], Iterator[tuple[float, PIL.Image.Image]]]
    sound: AudioSource | None = None


Attachment = Image | Document | Video | AudioSource
Part = str | Image | Document | Video | AudioSource


@dataclass(frozen=True, slots=True)
class Message:
    """What one side said: text, pictures, documents, videos and sound in the order in which they were given."""

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
    """What a user gives at once: typed text, a spoken recording, or both, with attachments.

    `{1}` in the typed text is the place of the first attachment, and so on; those that it does not name come before it.
    """

    text: str = ""
    audio: AudioSource | None = None
    attachments: tuple[Attachment, ...] = ()
    system: str = ""
    """What the answering model is told before anything else."""
    examples: tuple[tuple[Attachment, str], ...] = ()
    """Attachments with the right answers, each told as a turn before this one: the question about it, and the answer."""
    history: tuple[tuple[Turn, str], ...] = ()
    """The turns before this one with their answers, oldest first. Their own system, examples and history do not count."""


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
class Usage:
    """What an answer took, in tokens of the model; `cached` of the prompt's were known from before and not read again."""

    prompt: int
    answer: int
    cached: int = 0
    finish: Literal["stop", "length"] = "stop"
    """length: the answer was cut off at the most tokens that it may have."""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a turn: seconds by stage, what made the result, what the backbone says of its answer, the places in it."""

    timings: Mapping[str, float]
    provenance: Mapping[str, Any]
    usage: Usage | None = None
    regions: tuple[Region, ...] = ()


Event = Heard | Said | Spoke | Done


# ---------------------------------------------------------------- stages


@runtime_checkable
class VoiceDetector(Protocol):
    rate: int  # hertz that it wants
    frame: int
    """Samples that one probability stands for."""

    def probabilities(self, blocks: Iterable[Audio]) -> Iterator[float]:
        """The probability of speech for each whole frame of the stream, in order; the blocks may be of any length."""
        ...


@runtime_checkable
class Diarizer(Protocol):
    rate: int  # hertz that it wants

    def speakers(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        """Who speaks when, in order of time and never two at once. The windows are speech of one recording, in order."""
        ...


@runtime_checkable
class Transcriber(Protocol):
    rate: int  # hertz that it wants
    packs: bool
    """Whether it wants neighbouring utterances together in one window, as long as they fit."""
    words: bool
    """Whether it can tell the times of words."""

    def transcribe(
        self, windows: Iterable[Window], options: TranscribeOptions, carried: Mapping[str, Any] | None = None
    ) -> Iterator[Segment]:
        """Segments in the order of the windows, times in the source's seconds. Windows are speech of up to 30 s.

        `carried` is what an earlier use with the same options gave to the last `done`: it goes on as that one would have.
        """
        ...


@runtime_checkable
class Backbone(Protocol):
    def prepare(self, parts: Iterable[Part]) -> None:
        """Do now what any question about these parts will need; called while the question is still being heard.

        Nothing is lost when it is not called, and it may do nothing.
        """
        ...

    def answer(self, conversation: Conversation, options: AnswerOptions) -> Iterator[str | Region | Usage]:
        """The answer to the last message in pieces of text; last, where known, the regions that it names, and Usage."""
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
        """Sound for the sentences, in order; one is taken only when all sound of the one before has been given."""
        ...

    def voices(self) -> tuple[Voice, ...]: ...


@runtime_checkable
class Acoustic(Protocol):
    """Text to spectrogram; with a Vocoder it is a Synthesizer (engines/tts/joined.py)."""

    facts: MelFacts

    def check(self, options: SpeakOptions) -> None:
        """UsageError for options that it cannot honour."""
        ...

    def spectrogram(self, text: str, options: SpeakOptions) -> Mel:
        """One sentence at the pace of the options."""
        ...

    def voices(self) -> tuple[Voice, ...]: ...


@runtime_checkable
class Vocoder(Protocol):
    facts: MelFacts | None
    """What it understands; None is anything."""

    def vocode(self, mel: Mel) -> Audio:
        """Sound of a spectrogram with these facts, of at least one frame."""
        ...


@runtime_checkable
class SpeechModel(Protocol):
    rate: int  # hertz that it wants
    alone: bool
    """Whether each utterance is answered by itself, as a translator does; else all that is said is one question."""
    longest_s: float  # seconds of one recording in a message; what is longer comes in several
    most_s: float  # seconds of all recordings in one message

    def converse(self, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
        """Text and sound in answer to the last message, as they come; last, where it is known, Usage."""
        ...
