"""Whisper as transformers decodes it: segments by timestamp tokens, words by attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.models.whisper.tokenization_whisper import LANGUAGES, _combine_tokens_into_words

from mmcli.engines.options import known_language, written_in
from mmcli.engines.stt.transformers_stt.generation import search
from mmcli.errors import UsageError
from mmcli.stages import Segment, Word
from mmcli.text import primary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmcli.engines.stt.transformers_stt.loading import Loaded
    from mmcli.options import TranscribeOptions

OPTIONS = (
    *("task", "temperature", "logprob_threshold", "no_speech_threshold", "multilingual"),
    *("prepend_punctuations", "append_punctuations"),
)
# The library counts compression in tokens, not in letters: this is its counterpart of Whisper's 2.4.
_COMPRESSION = 1.35
# What is left of a window after a pass that ended inside it, and is worth another one.
_LEAST_REST_S = 0.2


class Whisper:
    """What hears one recording; the language of its first window is that of all, unless `multilingual`."""

    def __init__(self, loaded: Loaded, options: TranscribeOptions, language: str | None) -> None:
        """UsageError for a language or task that the model has not, and for words where it has no alignment heads."""
        self._loaded = loaded
        self._options = options
        config = loaded.model.generation_config
        self._codes = {
            str(token).strip("<|>"): int(id) for token, id in (getattr(config, "lang_to_id", None) or {}).items()
        }
        self.language = self._known_language()
        """Of all windows; None until it is known."""
        if options.word_timestamps and getattr(config, "alignment_heads", None) is None:
            raise UsageError(
                f'model "{loaded.card.name}" has no alignment heads, so its words have no times',
                "leave out --word-timestamps, or choose another model with --model",
            )
        self._begin: int = loaded.tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1

    def __call__(self, sounds: list[NDArray[np.float32]]) -> list[list[Segment]]:
        languages = self._languages(sounds)
        if self._options.word_timestamps and len(sounds) > 1:
            # The library aligns sounds of different lengths by a way through numpy that is going away.
            return [self._hear([sound], [code])[0] for sound, code in zip(sounds, languages, strict=True)]
        return self._hear(sounds, languages)

    def _hear(self, sounds: list[NDArray[np.float32]], languages: list[str | None]) -> list[list[Segment]]:
        found: list[list[Segment]] = [[] for _ in sounds]
        rest = [(index, 0) for index in range(len(sounds))]
        while rest:
            passes = self._pass([sounds[index][offset:] for index, offset in rest], [languages[i] for i, _ in rest])
            left = []
            for (index, offset), (segments, end_s) in zip(rest, passes, strict=True):
                found[index] += [_shifted(segment, offset / self._loaded.rate) for segment in segments]
                then = offset + round(end_s * self._loaded.rate)
                if offset < then < len(sounds[index]) - _LEAST_REST_S * self._loaded.rate:
                    left.append((index, then))
            rest = left
        return found

    def _known_language(self) -> str | None:
        options, name = self._options, self._loaded.card.name
        code = None if options.language is None else primary(options.language)
        if not self._codes:
            if code not in (None, "en") or options.task == "translate" or options.multilingual:
                raise UsageError(f'model "{name}" understands one language only', "leave out --language and --task")
            return None
        return known_language(options, self._codes, name)

    def _languages(self, sounds: list[NDArray[np.float32]]) -> list[str | None]:
        if not self._codes:
            return [None] * len(sounds)
        if self.language is not None:
            return [self.language] * len(sounds)
        asked = sounds if self._options.multilingual else sounds[:1]
        names = {id: code for code, id in self._codes.items()}
        given = self._features(asked)
        ids = self._loaded.model.detect_language(input_features=given["input_features"]).tolist()
        if self._options.multilingual:
            return [names[id] for id in ids]
        self.language = names[ids[0]]
        return [self.language] * len(sounds)

    def _features(self, sounds: list[NDArray[np.float32]]) -> dict[str, Any]:
        values = self._loaded.processor.feature_extractor(
            sounds, sampling_rate=self._loaded.rate, return_tensors="pt", return_attention_mask=True
        )
        return {name: self._loaded.place(value) for name, value in values.items()}

    def _given(self, languages: list[str | None]) -> dict[str, Any]:
        options = self._options
        given = search(options)
        del given["do_sample"]
        given["temperature"] = tuple(options.temperature)
        if len(options.temperature) > 1:
            given["compression_ratio_threshold"] = _COMPRESSION
            given["logprob_threshold"] = options.logprob_threshold
        if options.no_speech_threshold is not None and options.logprob_threshold is not None:
            given |= {
                "no_speech_threshold": options.no_speech_threshold,
                "logprob_threshold": options.logprob_threshold,
            }
        if self._codes:
            given |= {"task": options.task, "language": languages}
        return given

    def _pass(
        self, sounds: list[NDArray[np.float32]], languages: list[str | None]
    ) -> list[tuple[list[Segment], float]]:
        """For each sound the segments of one decoding, and the second at which the next one has to go on."""
        made = self._loaded.model.generate(
            **self._features(sounds),
            **self._given(languages),
            return_timestamps=True,
            return_segments=True,
            return_token_timestamps=self._options.word_timestamps,
            force_unique_generate_call=True,
        )
        return [
            self._row(segments, len(sound) / self._loaded.rate, language)
            for segments, sound, language in zip(made["segments"], sounds, languages, strict=True)
        ]

    def _row(self, parts: list[Any], seconds: float, language: str | None) -> tuple[list[Segment], float]:
        segments = []
        for part in parts:
            start, end = (min(float(part[edge]), seconds) for edge in ("start", "end"))
            tokens = part["tokens"].tolist()
            text = self._loaded.tokenizer.decode([id for id in tokens if id < self._begin], skip_special_tokens=True)
            if text.strip() and end > start:
                words = self._words(part, tokens, language, (start, seconds)) if self._options.word_timestamps else ()
                segments.append(Segment(start, end, text, words, written_in(self._options, language)))
        # Two timestamps at the end: what follows the last one is still to be heard.
        last = parts[-1]["tokens"].tolist() if parts else []
        goes_on = len(last) > 1 and all(id >= self._begin for id in last[-2:])
        return segments, float(parts[-1]["end"]) if goes_on else seconds

    def _words(
        self, part: Any, tokens: list[int], language: str | None, bounds: tuple[float, float]
    ) -> tuple[Word, ...]:
        times = [min(max(float(time), bounds[0]), bounds[1]) for time in part["token_timestamps"]]
        kept = [index for index, id in enumerate(tokens) if id < self._loaded.tokenizer.eos_token_id]
        texts, _, groups = _combine_tokens_into_words(
            self._loaded.tokenizer,
            [tokens[index] for index in kept],
            LANGUAGES.get(language or "en", "english"),
            self._options.prepend_punctuations,
            self._options.append_punctuations,
        )
        words = []
        for text, group in zip(texts, groups, strict=True):
            if text.strip():
                # A token's time is where it ends, and the next one begins.
                first, last = kept[group[0]], kept[group[-1]]
                start = times[first - 1] if first else bounds[0]
                words.append(Word(text, start, max(start, times[last])))
        return tuple(words)


def _shifted(segment: Segment, by: float) -> Segment:
    words = tuple(Word(word.text, word.start + by, word.end + by, word.probability) for word in segment.words)
    return Segment(segment.start + by, segment.end + by, segment.text, words, segment.language)
