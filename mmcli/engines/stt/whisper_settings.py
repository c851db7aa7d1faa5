"""Our options as faster-whisper takes them, after they were found to make sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmcli.engines.options import refuse_others
from mmcli.errors import UsageError, did_you_mean
from mmcli.options import flag

if TYPE_CHECKING:
    from mmcli.options import TranscribeOptions

TASKS = ("transcribe", "translate")
_VAD_NAMES = {
    "min_speech_ms": "min_speech_duration_ms",
    "max_speech_s": "max_speech_duration_s",
    "min_silence_ms": "min_silence_duration_ms",
}
# A batch is decoded once, at the first temperature, and no part of it knows of the others.
_NOT_IN_BATCHES = (
    "best_of",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "prompt_reset_on_temperature",
    "prefix",
    "max_initial_timestamp",
    "hallucination_silence_threshold",
)
_LEAST: dict[str, float] = {
    "beam_size": 1,
    "best_of": 1,
    "no_repeat_ngram_size": 0,
    "prompt_reset_on_temperature": 0,
    "max_initial_timestamp": 0,
    "max_new_tokens": 1,
    "hallucination_silence_threshold": 0,
    "language_detection_threshold": 0,
    "language_detection_segments": 1,
    "batch_size": 1,
}
# More has no use, and would take any amount of memory.
_MOST = {
    "beam_size": 100,
    "best_of": 100,
    "batch_size": 1024,
    "max_new_tokens": 448,
    "language_detection_segments": 100,
}
_ABOVE_ZERO = ("patience", "repetition_penalty")


def check(options: TranscribeOptions) -> None:
    """UsageError for values out of range and for options that do not go together."""
    if options.task not in TASKS:
        raise UsageError(f'the task is {" or ".join(TASKS)}, not "{options.task}"', did_you_mean(options.task, TASKS))
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise UsageError(f"{flag(name)} is at least {least:g}, not {value:g}")
    for name, most in _MOST.items():
        value = getattr(options, name)
        if value is not None and value > most:
            raise UsageError(f"{flag(name)} is at most {most}, not {value}")
    for name in _ABOVE_ZERO:
        if getattr(options, name) <= 0:
            raise UsageError(f"{flag(name)} is above 0, not {getattr(options, name):g}")
    if options.beam_size * options.patience < 1:
        raise UsageError("--beam-size times --patience is at least 1")
    if not options.temperature or not all(0 <= value <= 2 for value in options.temperature):
        raise UsageError("--temperature is one number or more from 0 to 2")
    if options.hallucination_silence_threshold is not None and not options.word_timestamps:
        raise UsageError("--hallucination-silence-threshold needs --word-timestamps")
    if options.batched:
        refuse_others(options, set(options.__slots__) - set(_NOT_IN_BATCHES), "batched decoding")
    elif options.batch_size != type(options)().batch_size:
        raise UsageError("--batch-size needs --batched")
    if options.windowing == "sequential" and options.clip_timestamps:
        if options.batched:
            raise UsageError("--clip and --batched go together only with --windowing vad")
        if options.vad_filter:
            raise UsageError("--clip and --vad-filter go together only with --windowing vad")


def library_options(options: TranscribeOptions) -> dict[str, Any]:
    """The keyword arguments of faster-whisper's `transcribe` that are the same for every window."""
    plain = type(options)()
    greedy = options.fast and options.beam_size == plain.beam_size
    given: dict[str, Any] = {
        "task": options.task,
        "beam_size": 1 if greedy else options.beam_size,
        "best_of": options.best_of,
        "patience": options.patience,
        "length_penalty": options.length_penalty,
        "repetition_penalty": options.repetition_penalty,
        "no_repeat_ngram_size": options.no_repeat_ngram_size,
        "temperature": list(options.temperature),
        "compression_ratio_threshold": options.compression_ratio_threshold,
        "log_prob_threshold": options.logprob_threshold,
        "no_speech_threshold": options.no_speech_threshold,
        "condition_on_previous_text": options.condition_on_previous_text,
        "prompt_reset_on_temperature": options.prompt_reset_on_temperature,
        "prefix": options.prefix,
        "hotwords": options.hotwords,
        "suppress_blank": options.suppress_blank,
        "suppress_tokens": list(options.suppress_tokens),
        "max_initial_timestamp": options.max_initial_timestamp,
        "word_timestamps": options.word_timestamps,
        "prepend_punctuations": options.prepend_punctuations,
        "append_punctuations": options.append_punctuations,
        "max_new_tokens": options.max_new_tokens,
        "hallucination_silence_threshold": options.hallucination_silence_threshold,
    }
    without = options.batched if options.without_timestamps is None else options.without_timestamps
    return {**given, "without_timestamps": without}


def sequential_options(options: TranscribeOptions) -> dict[str, Any]:
    """The same for a whole recording: the language, the prompt and the speech in it are the library's to see to."""
    given = {
        **library_options(options),
        "multilingual": options.multilingual,
        "initial_prompt": options.initial_prompt,
        "language_detection_threshold": options.language_detection_threshold,
        "language_detection_segments": options.language_detection_segments,
        "vad_filter": options.batched or options.vad_filter,
        "vad_parameters": {_VAD_NAMES.get(name, name): value for name, value in options.vad_parameters},
    }
    if options.clip_timestamps:
        given["clip_timestamps"] = list(options.clip_timestamps)
    if options.batched:
        given["batch_size"] = options.batch_size
    return given
