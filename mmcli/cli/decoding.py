"""The flags of hearing and computing, declared once, and the way from them to the options of the roles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from mmcli.errors import UsageError, did_you_mean
from mmcli.text import visible

if TYPE_CHECKING:
    from mmcli.catalogue import PipelineSpec
    from mmcli.options import TranscribeOptions


_VALUES = ("True", "False")


class GroupedCommand(TyperCommand):
    """A command whose --help shows its flags under headings: those that name one, after those that do not."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name = "Arguments" if param.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(param, "rich_help_panel", None) or name, []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class WhisperCommand(GroupedCommand):
    """One whose switches may have a value, True or False, as Whisper's other command lines want it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        switches = {
            name: param.name for param in self.params if getattr(param, "is_flag", False) for name in param.opts
        }
        end = args.index("--") if "--" in args else len(args)
        left: list[str] = []
        off: dict[str, bool] = {}
        for arg in args[:end]:
            flag, _, value = arg.partition("=")
            joined = value in _VALUES and _normal(flag) in switches
            for part in (flag, value) if joined else (arg,):
                name = switches.get(_normal(left[-1])) if left and part in _VALUES else None
                if name is not None and part == "False":
                    left.pop()
                    off[name] = False
                elif name is None:
                    left.append(part)
                    off.pop(switches.get(_normal(part), ""), None)
        unread = super().parse_args(ctx, left + args[end:])
        ctx.params.update(off)
        return unread


def _normal(flag: str) -> str:
    """A long flag as it is declared."""
    return flag.replace("_", "-") if flag.startswith("--") else ""


def _bound(text: str) -> float:
    """A number, or infinity for "none": the options take it as no bound."""
    return math.inf if text.lower() in ("none", "off") else float(text)


_DECODING, _WINDOWS, _COMPUTING, _INPUT = "Decoding", "What is decoded at once", "Computing", "Input"


def _option(name: str, text: str, panel: str = _DECODING, **more: Any) -> Any:
    return typer.Option(*name.split(), help=text, rich_help_panel=panel, **more)


def _bound_option(name: str, text: str) -> Any:
    return _option(name, text, metavar="NUMBER|none", parser=_bound)


Task = Annotated[str | None, _option("--task", "transcribe, or translate: into English.", metavar="TASK")]
Multilingual = Annotated[bool | None, _option("--multilingual", "Detect the language of each window.")]
BeamSize = Annotated[int | None, _option("--beam-size", "Hypotheses kept at temperature 0 [5].")]
BestOf = Annotated[int | None, _option("--best-of", "Samples drawn at temperatures above 0 [5].")]
Patience = Annotated[float | None, _option("--patience", "Of beam search [1].")]
LengthPenalty = Annotated[float | None, _option("--length-penalty", "Above 1 favours long texts [1].")]
RepetitionPenalty = Annotated[float | None, _option("--repetition-penalty", "Above 1 avoids what was said [1].")]
NoRepeatNgramSize = Annotated[int | None, _option("--no-repeat-ngram-size", "No row of so many tokens twice [0: any].")]
Temperature = Annotated[float | None, _option("--temperature", "Tried first; 0 is the likeliest text [0].")]
TemperatureIncrement = Annotated[
    float | None,
    _bound_option("--temperature-increment-on-fallback", "Added, up to 1, while a text fails a threshold [0.2]."),
]
CompressionRatio = Annotated[
    float | None, _bound_option("--compression-ratio-threshold", "A text that zlib shrinks more repeats itself [2.4].")
]
Logprob = Annotated[
    float | None, _bound_option("--logprob-threshold", "Mean log probability of a token that fails [-1].")
]
NoSpeech = Annotated[
    float | None, _bound_option("--no-speech-threshold", "Probability of silence that leaves a failed text out [0.6].")
]
ConditionOnPrevious = Annotated[
    bool | None,
    _option(
        "--condition-on-previous-text/--no-condition-on-previous-text", "Tell each window the text before it [yes]."
    ),
]
PromptReset = Annotated[
    float | None, _option("--prompt-reset-on-temperature", "Forget the text before above this temperature [0.5].")
]
InitialPrompt = Annotated[str | None, _option("--initial-prompt", "Text before the first window.", metavar="TEXT")]
Prefix = Annotated[str | None, _option("--prefix", "Text that the first window begins with.", metavar="TEXT")]
Hotwords = Annotated[str | None, _option("--hotwords", "Names and words to expect.", metavar="TEXT")]
SuppressBlank = Annotated[bool | None, _option("--suppress-blank/--no-suppress-blank", "No empty beginning [yes].")]
SuppressTokens = Annotated[
    str | None, _option("--suppress-tokens", "Tokens never chosen; -1: what is not spoken [-1].", metavar="ID,ID...")
]
WithoutTimestamps = Annotated[
    bool | None, _option("--without-timestamps/--with-timestamps", "One segment for each window [only if --batched].")
]
MaxInitialTimestamp = Annotated[
    float | None, _option("--max-initial-timestamp", "Latest second in which a window's first segment begins [1].")
]
Prepend = Annotated[
    str | None, _option("--prepend-punctuations", "Belong to the word after them.", metavar="CHARACTERS")
]
Append = Annotated[
    str | None, _option("--append-punctuations", "Belong to the word before them.", metavar="CHARACTERS")
]
MaxNewTokens = Annotated[int | None, _option("--max-new-tokens", "Most tokens of a window.")]
HallucinationSilence = Annotated[
    float | None,
    _bound_option(
        "--hallucination-silence-threshold", "With --word-timestamps: seconds of silence to skip around inventions."
    ),
]
LanguageThreshold = Annotated[
    float | None, _option("--language-detection-threshold", "A language as probable is taken at once [0.5].")
]
LanguageSegments = Annotated[
    int | None, _option("--language-detection-segments", "Windows that otherwise vote on the language [1].")
]
Windowing = Annotated[
    str | None,
    _option(
        "--windowing",
        "vad: speech is cut out of the stream. sequential: the model goes through the whole recording by itself; "
        "then memory grows with its length, and times count from where its sound begins.",
        _WINDOWS,
        metavar="vad|sequential",
    ),
]
VadFilter = Annotated[
    bool | None, _option("--vad-filter", "With --windowing sequential: leave out what is no speech.", _WINDOWS)
]
Clip = Annotated[
    str | None,
    _option(
        "--clip --clip-timestamps",
        "Hear only from START to END, in seconds or as MM:SS; the last END may be left out.",
        _WINDOWS,
        metavar="START,END,...",
    ),
]
Batched = Annotated[bool | None, _option("--batched", "Many windows at once, none told the text before it.", _WINDOWS)]
BatchSize = Annotated[int | None, _option("--batch-size", "With --batched: so many [8].", _WINDOWS)]
Device = Annotated[
    str | None,
    _option("--device", "auto takes CUDA where it works, else the CPU.", _COMPUTING, metavar="auto|cpu|cuda|cuda:N"),
]
DeviceIndex = Annotated[int | None, _option("--device-index", "Which CUDA device, counted from 0.", _COMPUTING, min=0)]
ComputeType = Annotated[
    str | None,
    _option(
        "--compute-type",
        "auto: the fastest there; default: as the weights are stored; or int8, int8_float16, float16, bfloat16, "
        "float32.",
        _COMPUTING,
        metavar="TYPE",
    ),
]
Threads = Annotated[int | None, _option("--threads", "On the CPU [as many as it has, up to 4].", _COMPUTING, min=0)]
Workers = Annotated[
    int | None,
    _option(
        "--workers",
        "Files, or windows of one that none has to wait for, that Whisper recognises side by side, the threads shared "
        "out [0: as many as that gains from].",
        _COMPUTING,
        min=0,
    ),
]

StdinName = Annotated[
    str | None,
    _option("--stdin-name", "Standard input's name, for its outputs and their `source`.", _INPUT, metavar="NAME"),
]
RawRate = Annotated[
    int | None, _option("--raw-rate", "The inputs are samples without a header, so many a second [16000].", _INPUT)
]
RawFormat = Annotated[
    str | None,
    _option(
        "--raw-format",
        "The same: s8, u8, s16le, s24le, s32le, f32le, f64le (or ...be), mulaw, alaw [s16le].",
        _INPUT,
        metavar="FORMAT",
    ),
]
RawChannels = Annotated[
    int | None, _option("--raw-channels", "The same: so many channels, sample by sample [1].", _INPUT, min=1, max=64)
]


def headerless(rate: int | None, encoding: str | None, channels: int | None) -> Any:
    """The RawFormat that the flags describe, None where none is given. UsageError."""
    if (rate, encoding, channels) == (None, None, None):
        return None
    from mmcli.media.audio import RATES, RAW_ENCODINGS, RawFormat

    if encoding not in (None, *RAW_ENCODINGS):
        known = ", ".join(RAW_ENCODINGS)
        raise UsageError(f'--raw-format: there is no "{encoding}"', did_you_mean(str(encoding), RAW_ENCODINGS) or known)
    if rate is not None and not RATES[0] <= rate <= RATES[1]:
        raise UsageError(f"--raw-rate is from {RATES[0]} to {RATES[1]} Hz, not {rate}")
    return RawFormat(rate or 16000, channels or 1, encoding or "s16le")


def names(files: Iterable[str], stdin_name: str | None) -> dict[str, str]:
    """What each input is called; standard input is called `stdin_name`. UsageError."""
    named = {file: file for file in files}
    if stdin_name is not None:
        if "-" not in named:
            raise UsageError("--stdin-name is for standard input, which is not among the inputs", "name it as -")
        if "/" in stdin_name or stdin_name in ("", "-", ".", "..") or visible(stdin_name, keep="") != stdin_name:
            raise UsageError(f"--stdin-name is a plain name without a folder, as talk.wav, not {stdin_name!r}")
        named["-"] = stdin_name
    return named


def hearing(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the role stt that the flags give, by the names of TranscribeOptions. UsageError."""
    from dataclasses import fields

    from mmcli.options import TranscribeOptions

    given = {field.name: flags[field.name] for field in fields(TranscribeOptions) if field.name in flags}
    given["temperature"] = _temperatures(flags["temperature"], flags["temperature_increment_on_fallback"])
    given["suppress_tokens"] = _numbers("--suppress-tokens", flags["suppress_tokens"], int)
    given["clip_timestamps"] = _numbers("--clip", flags["clip_timestamps"], _time)
    if given["clip_timestamps"] == ():
        raise UsageError("--clip names no time", "as in --clip 1:30,2:00")
    return given


def runtime(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The Runtime's options that the flags give. UsageError."""
    device, index = flags["device"], flags["device_index"]
    if index is not None:
        if device not in (None, "cuda") and not (index == 0 and ":" not in device):
            raise UsageError(f"--device-index {index} and --device {device} do not go together", "take --device cuda")
        device = f"cuda:{index}" if device == "cuda" or index else device
    chosen = ("compute_type", "threads", "workers")
    return {"device": device, **{name: flags[name] for name in chosen}}


def with_workers(spec: PipelineSpec, *, alone: bool) -> PipelineSpec:
    """The pipeline for one file `alone` or several: the engine may share out its threads over what need not wait."""
    from mmcli.catalogue import make_options

    if "workers" in spec.options.get("runtime", {}):
        return spec
    hearing: TranscribeOptions = make_options("stt", spec.options.get("stt", {}), spec.origins)
    whole = hearing.windowing == "sequential"
    one_by_one = alone and (whole or hearing.batched or hearing.condition_on_previous_text)
    shared = {"workers": 1, "ahead": not whole} if one_by_one else {"workers": 0}
    return spec.with_options("runtime", shared, "flag")


# A hundred temperatures in turn are more than ever helped a text.
_LEAST_INCREMENT = 0.01


def _temperatures(first: float | None, increment: float | None) -> tuple[float, ...] | None:
    if first is None and increment is None:
        return None
    first = first or 0.0
    increment = 0.2 if increment is None else increment
    if not (0 <= first <= 1 and increment >= _LEAST_INCREMENT):
        raise UsageError(
            f"--temperature is from 0 to 1, and --temperature-increment-on-fallback at least {_LEAST_INCREMENT} or none"
        )
    if math.isinf(increment):
        return (first,)
    return tuple(first + step * increment for step in range(math.ceil((1 + 1e-6 - first) / increment)))


def _numbers(flag: str, text: str | None, convert: Any) -> tuple[Any, ...] | None:
    if text is None:
        return None
    try:
        return tuple(convert(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"{flag}: numbers with commas between them are wanted, not {text!r}") from None


def _time(text: str) -> float:
    """Seconds, MM:SS or HH:MM:SS."""
    seconds = 0.0
    if text.count(":") > 2:
        raise ValueError(text)
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    if math.isnan(seconds):
        raise ValueError(text)
    return seconds
