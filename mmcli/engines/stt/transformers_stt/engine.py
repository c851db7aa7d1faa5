"""Speech-to-text with the models of transformers: processor and model called directly, windows one by one or in batches."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.engines.options import check_settings, refuse_others
from mmcli.engines.stt.transformers_stt import loading
from mmcli.engines.stt.transformers_stt.families import FAMILIES
from mmcli.engines.stt.transformers_stt.whisper import Whisper
from mmcli.errors import EngineError, UsageError, did_you_mean, one_line
from mmcli.stages import Segment, Word
from mmcli.text import primary
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.options import Runtime, TranscribeOptions
    from mmcli.stages import Window

    Hear = Callable[[list[NDArray[np.float32]]], list[list[Segment]]]

_LOG = logging.getLogger(__name__)
# The engine's own; a family that writes without searching is as fast as it can be anyway.
_HONOURED = ("language", "fast", "batched", "batch_size")
_TASKS = ("transcribe", "translate")
# Shorter than any phone; the first layers of some families need as much to give a frame at all.
_LEAST_S = 0.2


class TransformersTranscriber:
    """Every family of `families.FAMILIES`. Words have times where the family tells them."""

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights. ConfigError for a setting or an architecture that is unknown; else as `loading.load`."""
        folder = store.locate(card)
        name = torch_runtime.known_architecture(card, folder, FAMILIES)
        family = FAMILIES[name]
        check_settings(card, family.settings, name)
        self.fallbacks: list[str] = []
        self._card = card
        self._family = family
        self._loaded = loading.load(card, folder, family, runtime)
        self._lock = threading.Lock()
        self.rate = self._loaded.rate
        self.packs = family.packs
        heads = getattr(self._loaded.model, "generation_config", None)
        mute = name.startswith("Whisper") and getattr(heads, "alignment_heads", None) is None
        self.words = "word_timestamps" in family.honours and not mute

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._loaded.device)

    def transcribe(
        self, windows: Iterable[Window], options: TranscribeOptions, carried: Mapping[str, Any] | None = None
    ) -> Iterator[Segment]:
        """Segments in order, those of a window or batch as soon as it is decoded, within the window's times.

        UsageError for options that the model cannot honour, EngineError where it fails or memory does not suffice.
        """
        size = self._check(options)
        begun = self._family.begin(self._loaded, options, self._language(options))
        if carried is not None and isinstance(begun, Whisper):
            begun.language = carried["language"]
        with closing(_batches(windows, size)) as source:
            for batch in source:
                for window, found in zip(batch, self._hear(begun, batch), strict=True):
                    for segment in found:
                        yield from _placed(segment, window, options)
                batch[-1].done(batch[-1].end, {"language": begun.language} if isinstance(begun, Whisper) else {})

    def _check(self, options: TranscribeOptions) -> int:
        """How many windows are decoded at once."""
        refuse_others(options, (*_HONOURED, *self._family.honours), f'model "{self._card.name}"')
        if options.task not in _TASKS:
            raise UsageError(
                f'the task is {" or ".join(_TASKS)}, not "{options.task}"', did_you_mean(options.task, _TASKS)
            )
        for name in ("beam_size", "batch_size", "max_new_tokens"):
            value = getattr(options, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is at least 1, not {value}")
        if not options.temperature or not all(0 <= value <= 2 for value in options.temperature):
            raise UsageError("--temperature is one number or more from 0 to 2")
        if not options.batched and options.batch_size != type(options)().batch_size:
            raise UsageError("--batch-size needs --batched")
        return options.batch_size if options.batched else 1

    def _language(self, options: TranscribeOptions) -> str | None:
        """What the text is in, as far as the card tells. UsageError for a language that the model cannot be told."""
        known = self._card.languages
        only = known[0] if len(known) == 1 and known != ("*",) else None
        if self._family.languages or options.language is None:
            return only
        code = primary(options.language)
        if code not in known:
            raise UsageError(
                f'model "{self._card.name}" cannot be told the language'
                + ("" if known == ("*",) else f" {options.language}: it understands {', '.join(known)}"),
                "leave out --language, or choose another model with --model",
            )
        return code

    def _hear(self, begun: Hear, batch: list[Window]) -> list[list[Segment]]:
        """The segments of each window; a batch that memory cannot hold is halved."""
        sounds = [_long_enough(window.audio.samples, self.rate) for window in batch]
        try:
            # Some families keep the state of a decoding in the model.
            with torch_runtime.while_running(self._card), self._lock, torch.inference_mode():
                if self._family.masked or len({len(sound) for sound in sounds}) == 1:
                    return begun(sounds)
                return [found for sound in sounds for found in begun([sound])]
        except EngineError as error:
            if error.__cause__ is None or len(batch) == 1 or not torch_runtime.is_memory(error.__cause__):
                raise
            reason = one_line(error.__cause__)
        half = len(batch) // 2
        self.fallbacks.append(f"{self._card.name}: {self.device} batch size {len(batch)} -> {half} ({reason})")
        _LOG.warning(self.fallbacks[-1])
        return self._hear(begun, batch[:half]) + self._hear(begun, batch[half:])


def _batches(windows: Iterable[Window], size: int) -> Generator[list[Window], None, None]:
    """Windows that hold samples, up to `size` at once. Closing it closes them."""
    with closing(closable(windows)) as source:
        held = (window for window in source if len(window.audio.samples))
        while batch := list(islice(held, size)):
            yield batch


def _long_enough(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    lacking = int(_LEAST_S * rate) - len(samples)
    return np.pad(samples, (0, lacking)) if lacking > 0 else samples


def _placed(segment: Segment, window: Window, options: TranscribeOptions) -> Iterator[Segment]:
    """The segment in the source's time, bound by its window; nothing where it lies in padding."""
    last = window.start + window.audio.seconds

    def at(time: float) -> float:
        return min(window.start + time, last)

    if at(segment.start) < last:
        kept = segment.words if options.word_timestamps else ()
        words = tuple(Word(word.text, at(word.start), at(word.end), word.probability) for word in kept)
        yield Segment(at(segment.start), at(segment.end), segment.text, words, segment.language)
