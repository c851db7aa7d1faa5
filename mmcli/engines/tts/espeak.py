"""Speech from espeak-ng: a hundred languages, a few milliseconds to the first sound, nothing to download."""

from __future__ import annotations

import bisect
import math
import re
from typing import TYPE_CHECKING

from mmcli.engines.options import check_settings, refuse_others
from mmcli.engines.tts import libespeak
from mmcli.errors import UsageError, did_you_mean
from mmcli.stages import Audio, Voice, Word
from mmcli.text import primary, utterances

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.options import SpeakOptions

DEFAULT_VOICE = "en-us"

_WORDS_PER_MINUTE = 175
_MIN_WORDS_PER_MINUTE, _MAX_WORDS_PER_MINUTE = 80, 450
# Measured over five voices: 68 steps of espeak's pitch (0..99, 50 is the voice's own) are an octave, when its pitch
# range grows with it. The ends of the scale are 0.6 and 1.65.
_STEPS_PER_OCTAVE = 68
_MIN_PITCH, _MAX_PITCH = 0.6, 1.6
# About half a minute of speech, made in some 40 ms; control characters go too, as espeak takes commands after one.
# Bounds the memory that a text without any full stop takes.
_MAX_CHARACTERS = 500
_WRITTEN, _DASH = re.compile(r"\S+"), re.compile(r"[-–—/*•·]+")
_LIST = "mmcli speak --list-voices names them"


class Espeak:
    """Every sentence is made whole, which takes a thousandth of its duration, and given in blocks of up to 0.1 s."""

    rate = libespeak.RATE

    def __init__(self, card: ModelCard) -> None:
        check_settings(card)
        voices, variants = libespeak.list_voices()
        self._voices = _by_name(voices)
        self._variants = {_file_name(variant).lower(): _file_name(variant) for variant in variants}

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """Sound at 22050 Hz.

        UsageError at once, not with the first block, for a voice, language, speed or pitch that espeak does not have.
        """
        refuse_others(options, ("voice", "language", "speed", "pitch", "seed"), "espeak")
        return self._speak(sentences, self._find(options.voice, options.language), _prosody(options))

    def _speak(self, sentences: Iterable[str], voice: str, prosody: libespeak.Prosody) -> Iterator[Audio]:
        for sentence in sentences:
            for piece in utterances(sentence, _MAX_CHARACTERS):
                blocks, events = libespeak.synthesize(piece, voice, prosody)
                yield from _told(blocks, _words(piece, events, sum(map(len, blocks)) / self.rate))

    def voices(self) -> tuple[Voice, ...]:
        """One voice for each language and dialect, then the variants, which any of them can take: "en-us+f3"."""
        return (
            *(Voice(name, voice.languages[0][0], voice.name) for name, voice in self._voices.items()),
            *(
                Voice(f"+{variant}", "*", f"for any voice: {DEFAULT_VOICE}+{variant}")
                for variant in self._variants.values()
            ),
        )

    def _find(self, voice: str | None, language: str | None) -> str:
        """The identifier, with its variant, of what the user calls a voice, a language or both."""
        called, plus, variant = (voice or "").partition("+")
        if called:
            # "fr" and "en" are languages with several voices, but good names too.
            name = _tag(called) if _tag(called) in self._voices else self._speaker_of(_tag(called))
            if name is None:
                raise UsageError(f'espeak has no voice "{called}"', did_you_mean(_tag(called), self._voices) or _LIST)
            if language and primary(language) not in {primary(tag) for tag, _ in self._voices[name].languages}:
                raise UsageError(f'espeak\'s voice "{name}" does not speak the language "{language}"', "leave one out")
        else:
            wanted = language or DEFAULT_VOICE
            name = self._speaker_of(_tag(wanted)) or self._speaker_of(primary(wanted))
            if name is None:
                raise UsageError(f'espeak has no language "{wanted}"', self._nearest_language(wanted))
        identifier = self._voices[name].identifier
        if not plus:
            return identifier
        file = self._variants.get(variant.lower())
        if file is None:
            hint = did_you_mean(variant.lower(), self._variants)
            raise UsageError(f'espeak has no variant "{variant}"', hint or _LIST)
        return f"{identifier}+{file}"

    def _speaker_of(self, tag: str) -> str | None:
        """The name of the best voice for a language: the default voice where it speaks it, else espeak's first choice."""
        speakers = {
            name: priority
            for name, voice in self._voices.items()
            for spoken, priority in voice.languages
            if spoken == tag
        }
        return DEFAULT_VOICE if DEFAULT_VOICE in speakers else min(speakers, key=speakers.__getitem__, default=None)

    def _nearest_language(self, wanted: str) -> str:
        """A hint for a language given by its English name or mistyped."""
        for voice in self._voices.values():
            if voice.name.partition(" (")[0].lower() == wanted.lower():
                return f'did you mean "{primary(voice.languages[0][0])}"?'
        tags = sorted({tag for voice in self._voices.values() for tag, _ in voice.languages})
        return did_you_mean(_tag(wanted), tags) or _LIST


def _words(text: str, events: Iterable[libespeak.WordEvent], end: float) -> list[Word]:
    """What is written between spaces, each from its first event to that of the next one.

    A number or an address has several events; what has none is not spoken. The event of a word that follows a lone dash
    may point at the dash.
    """
    written = list(_WRITTEN.finditer(text))
    starts: dict[int, float] = {}
    for event in events:
        here = bisect.bisect_right(written, event.position, key=lambda word: word.start()) - 1
        if here >= 0 and event.position < written[here].end():
            here += _DASH.fullmatch(written[here][0]) is not None and here + 1 < len(written)
            starts.setdefault(here, event.start)
    ends = [*list(starts.values())[1:], end][: len(starts)]
    return [
        Word(written[index][0], start, max(start, end))
        for (index, start), end in zip(starts.items(), ends, strict=True)
    ]


def _told(blocks: Iterable[NDArray[np.float32]], words: Sequence[Word]) -> Iterator[Audio]:
    """The blocks, each with the words that begin in it."""
    seconds, done = 0.0, 0
    for samples in blocks:
        after = seconds + len(samples) / libespeak.RATE
        upto = bisect.bisect_left(words, after, key=lambda word: word.start)
        here = words[done:upto]
        done = max(done, upto)
        moved = tuple(Word(word.text, word.start - seconds, word.end - seconds) for word in here)
        yield Audio(samples, libespeak.RATE, moved)
        seconds = after


def _tag(text: str) -> str:
    return text.strip().lower().replace("_", "-")


def _file_name(voice: libespeak.VoiceFile) -> str:
    return voice.identifier.rpartition("/")[2]


def _by_name(voices: Iterable[libespeak.VoiceFile]) -> dict[str, libespeak.VoiceFile]:
    """Voices by their first language tag; where two share it, the second one by its file."""
    names: dict[str, libespeak.VoiceFile] = {}
    for voice in voices:
        tag = voice.languages[0][0]
        names[_file_name(voice).lower() if tag in names else tag] = voice
    return names


def _prosody(options: SpeakOptions) -> libespeak.Prosody:
    words_per_minute = _WORDS_PER_MINUTE * options.speed
    if not _MIN_WORDS_PER_MINUTE <= words_per_minute <= _MAX_WORDS_PER_MINUTE:
        raise UsageError(
            f"espeak's speed goes from {_MIN_WORDS_PER_MINUTE / _WORDS_PER_MINUTE:.2f} "
            f"to {_MAX_WORDS_PER_MINUTE / _WORDS_PER_MINUTE:.2f}, not {options.speed:g}"
        )
    if not _MIN_PITCH <= options.pitch <= _MAX_PITCH:
        raise UsageError(f"espeak's pitch goes from {_MIN_PITCH} to {_MAX_PITCH}, not {options.pitch:g}")
    return libespeak.Prosody(
        words_per_minute=round(words_per_minute),
        pitch=round(50 + _STEPS_PER_OCTAVE * math.log2(options.pitch)),
        pitch_range=round(50 * options.pitch),
    )
