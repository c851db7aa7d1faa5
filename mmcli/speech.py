"""Sound to utterances: where speech begins and ends in a stream, live or from a file, in the same memory for hours.

A frame is what one probability of the VoiceDetector stands for. An utterance begins with a frame at the threshold or
above, and ends where frames below it have lasted for `min_silence_ms`, the first of them below the threshold minus 0.15.
This module knows no engine.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from mmcli.errors import EngineError, UsageError, did_you_mean
from mmcli.options import VadOptions
from mmcli.stages import Audio, Window
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from mmcli.options import TranscribeOptions
    from mmcli.stages import AudioSource, Transcriber, VoiceDetector


WINDOWINGS = ("vad", "sequential")

_LONGEST_S = 30.0
"""Of a window."""
_HYSTERESIS = 0.15
_CUT_SEARCH = 1 / 3
"""The part of a too long utterance, at its end, in which it may be cut."""
_CUT_WIDTH_S = 0.2
"""A pause between words lasts about as long; the stop inside a word is shorter."""


def windows(
    audio: AudioSource, detector: VoiceDetector, stt: Transcriber, vad: VadOptions, options: TranscribeOptions
) -> Generator[Window, None, None]:
    """What a transcriber is given of a recording: speech within the clips, packed where it wants that; or all at once.

    UsageError for options that make no sense.
    """
    clips = clip_pairs(options.clip_timestamps)
    if options.windowing == "sequential":
        return _whole(audio, stt.rate)
    if options.windowing != "vad":
        raise UsageError(
            f'windowing is {" or ".join(WINDOWINGS)}, not "{options.windowing}"',
            did_you_mean(options.windowing, WINDOWINGS),
        )
    check_length(vad, options)
    blocks = audio.blocks(detector.rate)
    if clips:
        blocks = _until(blocks, clips[-1][1])
    speech = clipped(utterances(blocks, detector, vad), clips)
    return pack(speech, apart=[start for start, _ in clips]) if stt.packs else speech


def check_length(vad: VadOptions, options: TranscribeOptions) -> None:
    """UsageError for windows longer than what a transcriber is given."""
    if options.windowing != "sequential" and vad.max_speech_s > _LONGEST_S:
        raise UsageError(
            f"speech is cut at {_LONGEST_S:g} seconds at the latest, not after {vad.max_speech_s:g}",
            "lower the VAD option max_speech_s, or take --windowing sequential",
        )


def _whole(audio: AudioSource, rate: int) -> Generator[Window, None, None]:
    samples = [block.samples for block in (audio.blocks16 or audio.blocks)(rate)]
    yield Window(Audio(np.concatenate(samples) if samples else np.zeros(0, np.float32), rate), 0.0)


def clip_pairs(times: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """start, end, start, ... as pairs; a last end that is left out is the end of the recording. UsageError."""
    pairs = tuple(zip(times[::2], (*times[1::2], float("inf")) if len(times) % 2 else times[1::2], strict=True))
    last = 0.0
    for start, end in pairs:
        if not last <= start < end:
            raise UsageError(
                f"clips are start and end in seconds, one after the other, not {', '.join(f'{t:g}' for t in times)}"
            )
        last = end
    return pairs


def clipped(speech: Iterable[Window], clips: tuple[tuple[float, float], ...]) -> Generator[Window, None, None]:
    """The parts of windows that lie within (start, end) clips in seconds, cut to the sample; all where there are none."""
    with closing(closable(speech)) as source:
        for window in source:
            if not clips:
                yield window
            rate, first = window.audio.rate, round(window.start * window.audio.rate)
            for start, end in clips:
                begin = max(first, round(start * rate))
                stop = min(float(first + len(window.audio.samples)), end * rate)
                if begin < round(stop):
                    samples = window.audio.samples[begin - first : round(stop) - first]
                    yield Window(Audio(samples, rate), begin / rate)


def _until(blocks: Iterable[Audio], end: float) -> Generator[Audio, None, None]:
    """The blocks of the first `end` seconds; the rest is not asked for."""
    seconds = 0.0
    with closing(closable(blocks)) as source:
        for block in source:
            left = end - seconds
            if block.seconds >= left:
                yield Audio(block.samples[: round(left * block.rate)], block.rate)
                return
            seconds += block.seconds
            yield block


def pack(
    speech: Iterable[Window], longest_s: float = _LONGEST_S, apart: Sequence[float] = ()
) -> Generator[Window, None, None]:
    """Neighbouring windows as one while they fit into `longest_s` seconds with the silence that was between them.

    Windows before and after one of the times `apart` are not joined.
    A window comes when the next one does not fit any more or when none follows. Times stay those of the source.
    """
    held: list[Window] = []
    with closing(closable(speech)) as source:
        for window in source:
            too_long = held and window.start + window.audio.seconds - held[0].start > longest_s
            if too_long or (held and any(held[-1].start < time <= window.start for time in apart)):
                yield _joined(held)
                held = []
            held.append(window)
    if held:
        yield _joined(held)


def _joined(parts: list[Window]) -> Window:
    if len(parts) == 1:
        return parts[0]
    rate = parts[0].audio.rate
    starts = [round((part.start - parts[0].start) * rate) for part in parts]
    samples = np.zeros(starts[-1] + len(parts[-1].audio.samples), np.float32)
    for start, part in zip(starts, parts, strict=True):
        samples[start : start + len(part.audio.samples)] = part.audio.samples
    return Window(Audio(samples, rate), parts[0].start)


def utterances(blocks: Iterable[Audio], detector: VoiceDetector, options: VadOptions) -> Generator[Window, None, None]:
    """The stretches of speech in a stream of blocks at `detector.rate`, each as soon as its end is known.

    Windows never overlap, are never longer than `max_speech_s` and start at `window.start` seconds of the stream, which
    times the rate is a whole number of samples. Closing the generator closes the blocks.
    UsageError for options that make no sense, EngineError for blocks of another rate.
    """
    _check(options)
    cutter = _Cutter(detector.rate, detector.frame, options)
    with (
        closing(closable(blocks)) as source,
        closing(closable(detector.probabilities(cutter.keep(source)))) as probabilities,
    ):
        for probability in probabilities:
            window = cutter.hear(probability)
            if window is not None:
                yield window
        window = cutter.flush()
        if window is not None:
            yield window


class _Everything:
    """Takes all sound for speech."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.frame = rate // 50

    def probabilities(self, blocks: Iterable[Audio]) -> Iterator[float]:
        samples = 0
        for block in blocks:
            samples += len(block.samples)
            yield from (1.0 for _ in range(samples // self.frame))
            samples %= self.frame


def contiguous(blocks: Iterable[Audio], rate: int, longest_s: float) -> Generator[Window, None, None]:
    """All of a stream, cut at quiet places into windows of at most `longest_s` seconds (1 to 600)."""
    options = VadOptions(min_speech_ms=0, speech_pad_ms=0, max_speech_s=longest_s)
    return utterances(blocks, _Everything(rate), options)


def _check(options: VadOptions) -> None:
    if not 0 < options.threshold <= 1:
        raise UsageError(f"the VAD threshold is a probability above 0 and up to 1, not {options.threshold:g}")
    for name in ("min_speech_ms", "min_silence_ms", "speech_pad_ms"):
        if getattr(options, name) < 0:
            raise UsageError(f"the VAD option {name} cannot be negative ({getattr(options, name)})")
    if not 1 <= options.max_speech_s <= 600:
        raise UsageError(f"the VAD option max_speech_s is 1 to 600 seconds, not {options.max_speech_s:g}")
    if options.speech_pad_ms > 250 * options.max_speech_s:
        raise UsageError(
            f"the VAD option speech_pad_ms ({options.speech_pad_ms}) is more than a quarter of max_speech_s "
            f"({options.max_speech_s:g} s)"
        )


class _Cutter:
    """The samples that may still be needed, and where in the stream we stand. All positions count samples."""

    def __init__(self, rate: int, frame: int, options: VadOptions) -> None:
        self.rate, self.frame = rate, frame
        self.threshold = options.threshold
        self.end_threshold = max(options.threshold - _HYSTERESIS, 0.01)
        self.min_speech = rate * options.min_speech_ms // 1000
        self.min_silence = rate * options.min_silence_ms // 1000
        self.pad = rate * options.speech_pad_ms // 1000
        self.longest = int(rate * options.max_speech_s)
        self.held = np.zeros(0, np.float32)
        self.held_from = 0
        self.now = 0
        """The end of the last frame judged."""
        self.given = 0
        """The end of the last window."""
        self.begin: int | None = None
        """Where the window of the running utterance begins, padding included; None during silence."""
        self.speech_begin = 0
        self.silence_begin: int | None = None
        self.probabilities: list[float] = []
        """Of the running utterance, up to now."""

    def keep(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        """Hand the blocks on and hold their samples, forgetting those that no window can need any more."""
        for block in blocks:
            if block.rate != self.rate:
                raise EngineError(f"the voice detector hears sound of {self.rate} Hz, not of {block.rate} Hz")
            first = max(self.given, self.now - self.pad) if self.begin is None else self.begin
            self.held = np.concatenate([self.held[first - self.held_from :], block.samples])
            self.held_from = first
            yield block

    def hear(self, probability: float) -> Window | None:
        """Judge the next frame; the window that it ends, if it ends one."""
        start, self.now = self.now, self.now + self.frame
        if self.begin is None:
            if probability >= self.threshold:
                self.begin, self.speech_begin = max(start - self.pad, self.given), start
                self.probabilities = [probability]
            return None
        self.probabilities.append(probability)
        if probability >= self.threshold:
            self.silence_begin = None
        elif self.silence_begin is not None or probability < self.end_threshold:
            self.silence_begin = start if self.silence_begin is None else self.silence_begin
            if self.now - self.silence_begin >= self.min_silence:
                return self._end(self.silence_begin)
        # One frame early, so that the incomplete frame at the end of a stream fits in too.
        return self._cut() if self.now + self.frame - self.begin > self.longest else None

    def flush(self) -> Window | None:
        """The utterance that the end of the stream ends."""
        if self.begin is None:
            return None
        self.now = self.held_from + len(self.held)
        return self._end(self.now if self.silence_begin is None else self.silence_begin)

    def _end(self, speech_end: int) -> Window | None:
        assert self.begin is not None
        begin, self.begin, self.silence_begin = self.begin, None, None
        if speech_end - self.speech_begin < self.min_speech:
            return None
        return self._window(begin, min(speech_end + self.pad, self.now))

    def _cut(self) -> Window:
        assert self.begin is not None
        begin, cut = self.begin, self._quietest()
        if self.silence_begin is not None and self.silence_begin <= cut:
            self.begin = self.silence_begin = None
        else:
            self.begin = self.speech_begin = cut
        self.probabilities = self.probabilities[len(self.probabilities) - (self.now - cut) // self.frame :]
        return self._window(begin, cut)

    def _quietest(self) -> int:
        """The start of the frame in the last third where loudness times probability of speech is least around it."""
        count = min(int(self.longest * _CUT_SEARCH) // self.frame, len(self.probabilities) - 1)
        first = self.now - count * self.frame
        samples = self.held[first - self.held_from : self.now - self.held_from].reshape(count, self.frame)
        loudness = np.sqrt(np.mean(np.square(samples), axis=1))
        # A certain silence still has to be told from a quiet one.
        speech = np.asarray(self.probabilities[-count:]) + 0.01
        width = max(1, round(_CUT_WIDTH_S * self.rate / self.frame)) | 1
        cost = _smooth(loudness, width) * _smooth(speech, width)
        last_best = count - 1 - int(np.argmin(cost[::-1]))
        return first + last_best * self.frame

    def _window(self, begin: int, end: int) -> Window:
        self.given = end
        # A copy: a view would hold on to all the samples around it.
        samples = self.held[begin - self.held_from : end - self.held_from].copy()
        return Window(Audio(samples, self.rate), begin / self.rate)


def _smooth(values: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """The mean over `width` values around each (an odd number); at the ends, of the end value repeated."""
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")
