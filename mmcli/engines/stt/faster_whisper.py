"""Whisper through faster-whisper and CTranslate2: a folder of theirs, or one of transformers that is converted once.

Windows are decoded one by one, each told the text before it, or many at once. `windowing = "sequential"` hands the
one window that then comes, the whole recording, to faster-whisper's own loop.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli import store
from mmcli.engines.options import check_settings, known_language, written_in
from mmcli.engines.stt import whisper_loading as loading
from mmcli.engines.stt.whisper_conversion import converted
from mmcli.engines.stt.whisper_settings import check, library_options, sequential_options
from mmcli.engines.stt.whisper_windows import at_once, groups, segment_of, within
from mmcli.errors import EngineError, MmcliError, UsageError, one_line
from mmcli.text import primary
from mmcli.threads import Ahead, closable, later, side_by_side

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.stt.whisper_loading import Loaded
    from mmcli.options import Runtime, TranscribeOptions
    from mmcli.stages import Segment, Window

_log = logging.getLogger(__name__)

# What a prompt keeps of the text before: half of Whisper's 448 positions, less the token that begins it.
_PROMPT_TOKENS = 223


class FasterWhisper:
    """Every Whisper model. Text keeps the space that Whisper begins a segment with; times are to 20 ms."""

    rate = loading.RATE
    packs = True
    words = True

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights; `fallbacks` says what had to be given up for that, and later for decoding.

        ConfigError for a setting, as there are none; else what `whisper_loading.load` and `converted` raise. With
        `runtime.ahead` they go on loading while speech is already looked for, and the first use raises that.
        """
        check_settings(card)
        self.fallbacks: list[str] = []
        self._name = card.name
        self._runtime = runtime
        self._lock = threading.Lock()
        place = loading.first_place(runtime)
        self._folder = converted(card.name, store.locate(card))
        self._place = place
        """Where it is, or will be once it is loaded."""
        self._loading = later(lambda: self._load(place))
        if not runtime.ahead:
            self._loading.result()

    @property
    def _loaded(self) -> Loaded:
        return self._loading.result()

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return self._place.device

    @property
    def workers(self) -> int:
        """How many windows, or recordings, it hears side by side with gain."""
        return self._loaded.workers

    def transcribe(
        self, windows: Iterable[Window], options: TranscribeOptions, carried: Mapping[str, Any] | None = None
    ) -> Iterator[Segment]:
        """Segments in order, those of a window as soon as they are decoded, within the window's times.

        The language and the tokens of the text before are carried on. A use that goes on with them gives what one
        unbroken use would have; with `windowing = "sequential"` only nearly so, as faster-whisper counts its windows,
        and the loudness that it compares with, from where the sound that it is given begins.
        UsageError for options that the model cannot honour, EngineError or MissingPackage where nothing is left to
        step down to.
        """
        check(options)
        # Speech is looked for while the weights still load, or the language is found out.
        with closing(Ahead(windows, max(1, options.batch_size // 2) if options.batched else 1)) as source:
            language = self._known_language(options)
            self._check_tokens(options)
            before = _Before(self._encode(options.initial_prompt), options)
            if carried is not None:
                before.tokens, before.begun = list(carried["tokens"]), True
                language = language if options.multilingual else carried["language"]
            if options.windowing == "sequential":
                heard = self._sequential(source, language, before, options)
            else:
                told = self._with_language(source, language, options)
                heard = self._batched(told, options) if options.batched else self._one_by_one(told, before, options)
            # The windows end first, so that what waits for the next one does so no longer.
            with closing(heard), closing(source):
                yield from heard

    # ---------------------------------------------------------------- the ways through a recording

    def _one_by_one(
        self, windows: Iterable[tuple[Window, str]], before: _Before, options: TranscribeOptions
    ) -> Generator[Segment, None, None]:
        given = library_options(options)
        # What is told the text before has to wait for it.
        count = 1 if options.condition_on_previous_text else self.workers

        def encode(told: tuple[Window, str]) -> tuple[Window, str]:
            # What is lacking here is lacking at its decoding too, which steps down.
            with suppress(RuntimeError, MemoryError, ValueError):
                self._loaded.model.encode_ahead(told[0].audio.samples)
            return told

        def decode(job: tuple[int, tuple[Window, str]]) -> tuple[Window, dict[str, Any], list[Segment]]:
            number, (window, language) = job
            told = before if options.condition_on_previous_text or number == 0 else _Before([], options, begun=True)
            with closing(self._decode(window.audio.samples, given | {"language": language}, told)) as found:
                heard = [
                    within(window, segment_of(segment, window.start + offset, written_in(options, language)))
                    for segment, offset in found
                ]
            told.end()
            return window, told.carried(language), heard

        early = self._loaded.ahead if count == 1 else 0

        def numbered() -> Iterator[tuple[int, tuple[Window, str]]]:
            with closing(closable(side_by_side(encode, windows, early) if early else windows)) as encoded:
                yield from enumerate(encoded)

        with closing(side_by_side(decode, numbered(), count)) as decoded:
            for window, carried, segments in decoded:
                yield from segments
                window.done(window.end, carried)

    def _batched(
        self, windows: Iterable[tuple[Window, str]], options: TranscribeOptions
    ) -> Generator[Segment, None, None]:
        given = library_options(options) | {"initial_prompt": options.initial_prompt}

        def decode(job: tuple[list[Window], str]) -> tuple[list[Window], str, list[Segment]]:
            group, language = job
            heard = []
            left = group
            while left:
                loaded = self._loaded
                size = min(len(left), loaded.place.batch or len(left))
                try:
                    found = at_once(loaded.model, left[:size], given | {"language": language, "batch_size": size})
                except (RuntimeError, MemoryError, ValueError) as error:
                    self._step_down(loaded, error, size)
                    continue
                text_in = written_in(options, language)
                heard += [within(window, segment_of(segment, window.start, text_in)) for window, segment in found]
                left = left[size:]
            return group, language, [segment for segment in heard if segment.text.strip()]

        count = max(self.workers, self._loaded.ahead)
        with closing(side_by_side(decode, groups(windows, options.batch_size, count), count)) as decoded:
            for group, language, segments in decoded:
                yield from segments
                group[-1].done(group[-1].end, {"language": language, "tokens": []})

    def _sequential(
        self, windows: Iterable[Window], language: str | None, before: _Before, options: TranscribeOptions
    ) -> Generator[Segment, None, None]:
        given = sequential_options(options) | {"language": language}
        for window in windows:
            if options.clip_timestamps:
                given["clip_timestamps"] = _later(given["clip_timestamps"], window.start)
                if not given["clip_timestamps"]:
                    return
            with closing(self._decode(window.audio.samples, given, before, batched=options.batched)) as found:
                for segment, offset in found:
                    # That of the speech even where it is translated, as in the files of whisper-ctranslate2.
                    yield segment_of(segment, window.start + offset, before.language)
                    window.done(window.start + offset + float(segment.end), before.carried(before.language))
            window.done(window.end, before.carried(before.language))

    def _decode(
        self, samples: NDArray[np.float32], given: dict[str, Any], before: _Before, *, batched: bool = False
    ) -> Generator[tuple[Any, float], None, None]:
        """The library's segments, and the seconds to add to their times. After a step down it goes on where it was."""
        offset = end = 0.0
        while round(offset * loading.RATE) < len(samples):
            loaded = self._loaded
            if batched and loaded.place.batch:
                given = given | {"batch_size": min(given["batch_size"], loaded.place.batch)}
            if not batched:
                given = given | {"initial_prompt": before.prompt or None}
                given["prefix"] = None if before.begun else given["prefix"]
            engine = loading.BatchedInferencePipeline(loaded.model) if batched else loaded.model
            try:
                segments, info = engine.transcribe(samples[round(offset * loading.RATE) :], **given)
                given = given if given.get("multilingual") else given | {"language": info.language}
                before.language = info.language
                with closing(segments):
                    for segment in segments:
                        end = offset + float(segment.end)
                        before.add(segment)
                        yield segment, offset
                before.begun = True
                return
            except (RuntimeError, MemoryError, ValueError) as error:
                self._step_down(loaded, error, given["batch_size"] if batched else 1)
            if "clip_timestamps" in given:
                given = given | {"clip_timestamps": _later(given["clip_timestamps"], end - offset)}
                if not given["clip_timestamps"]:
                    return
            offset = end

    # ---------------------------------------------------------------- languages and prompts

    def _known_language(self, options: TranscribeOptions) -> str | None:
        """The language as Whisper's code, None where it has to be detected. UsageError where the model has it not."""
        languages = self._loaded.languages
        code = None if options.language is None else primary(options.language)
        if not languages:
            if code not in (None, "en") or options.task == "translate" or options.multilingual:
                raise UsageError(f'model "{self._name}" understands English only', "take one without .en in its name")
            return "en"
        return known_language(options, languages, self._name)

    def _with_language(
        self, windows: Iterator[Window], language: str | None, options: TranscribeOptions
    ) -> Iterator[tuple[Window, str]]:
        """Each window with its language: the known one, that of the first windows, or its own."""
        if options.multilingual:
            for window in windows:
                yield window, self._detect([window], options)
            return
        first: list[Window] = []
        if language is None:
            first = list(islice(windows, options.language_detection_segments))
            if not first:
                return
            language = self._detect(first, options)
        for window in chain(first, windows):
            yield window, language

    def _detect(self, windows: list[Window], options: TranscribeOptions) -> str:
        while True:
            loaded = self._loaded
            features = [loaded.model.spectrogram(window.audio.samples) for window in windows]
            try:
                language, _, _ = loaded.model.detect_language(
                    features=np.concatenate(features, axis=1),
                    language_detection_segments=len(windows),
                    language_detection_threshold=options.language_detection_threshold,
                )
                return str(language)
            except (RuntimeError, MemoryError, ValueError) as error:
                self._step_down(loaded, error)

    def _encode(self, text: str | None) -> list[int]:
        """A prompt as tokens, as faster-whisper encodes it."""
        if text is None:
            return []
        return list(self._loaded.model.hf_tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids)

    def _check_tokens(self, options: TranscribeOptions) -> None:
        size = self._loaded.model.hf_tokenizer.get_vocab_size()
        for token in options.suppress_tokens:
            if not -1 <= token < size:
                raise UsageError(f"--suppress-tokens: there is no token {token}", f"they go from 0 to {size - 1}")

    # ---------------------------------------------------------------- where it computes

    def _load(self, place: loading.Place) -> Loaded:
        while True:
            self._place = place
            try:
                return loading.load(self._name, self._folder, place, self._runtime)
            except (RuntimeError, MemoryError) as error:
                place = self._next(place, error)

    def _next(self, place: loading.Place, error: Exception, batch: int = 1) -> loading.Place:
        lower = loading.step_down(place, error, self._runtime, batch)
        if lower is None:
            raise loading.lacking(self._name, error) from error
        self.fallbacks.append(f"{self._name}: {loading.told(place, lower, error, batch)}")
        _log.warning(self.fallbacks[-1])
        return lower

    def _step_down(self, failed: Loaded, error: Exception, batch: int = 1) -> None:
        """Go to a lower place after a lack, unless another use has done so since. EngineError for any other failure."""
        if isinstance(error, MmcliError):
            raise error
        with self._lock:
            if self._loaded is not failed:
                return
            if not loading.is_lack(error, failed.place):
                if "max_new_tokens" in str(error):
                    raise UsageError(
                        "prompt and --max-new-tokens together are more than the 448 tokens that Whisper has"
                    )
                raise EngineError(f'model "{self._name}" failed: {one_line(error)}') from error
            place = self._next(failed.place, error, batch)
            # Who comes from now on waits for it.
            made: Future[Loaded] = Future()
            self._loading = made
            try:
                if replace(place, batch=None) == replace(failed.place, batch=None):
                    made.set_result(replace(failed, place=place))
                else:
                    # First, as both may not fit. What still computes with it fails, and goes on with the next one.
                    loading.let_go(failed)
                    made.set_result(self._load(place))
            except BaseException as lack:
                made.set_exception(lack)
                # Another recording may take less.
                self._loading = later(lambda: self._load(failed.place))
                raise


class _Before:
    """What goes along from window to window: the tokens of the text before, forgotten as Whisper forgets them."""

    def __init__(self, prompt: list[int], options: TranscribeOptions, *, begun: bool = False) -> None:
        self.tokens = prompt[-_PROMPT_TOKENS:]
        self.begun = begun
        """Whether anything was decoded; a prefix is for the beginning."""
        self.language = ""
        """What the library decoded with last."""
        self._options = options
        self._last: Any = None

    @property
    def prompt(self) -> list[int]:
        return self.tokens if self._options.condition_on_previous_text or not self.begun else []

    def carried(self, language: str) -> dict[str, Any]:
        return {"language": language, "tokens": [int(token) for token in self.prompt]}

    def add(self, segment: Any) -> None:
        if self._last is not None and segment.seek != self._last.seek:
            self._judge()
        self.tokens = [*self.tokens, *segment.tokens][-_PROMPT_TOKENS:]
        self._last, self.begun = segment, True

    def end(self) -> None:
        """The window is over."""
        self._judge()
        self._last = None

    def _judge(self) -> None:
        options, last = self._options, self._last
        reset = last is not None and last.temperature > options.prompt_reset_on_temperature
        if reset or not options.condition_on_previous_text:
            self.tokens = []


def _later(clips: list[float], seconds: float) -> list[float]:
    """Clips counted from `seconds` on, without those that are over."""
    pairs = zip(clips[::2], (*clips[1::2], float("inf")) if len(clips) % 2 else clips[1::2], strict=True)
    left = [time - seconds for pair in pairs if pair[1] > seconds for time in pair]
    return [max(time, 0.0) for time in left if time != float("inf")]
