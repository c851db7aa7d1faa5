"""mmcli transcribe: audio and video files to text and subtitles."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import common, decoding
from mmcli.errors import MmcliError, UsageError
from mmcli.text import visible

if TYPE_CHECKING:
    from mmcli.pipeline import Cascade
    from mmcli.stages import AudioSource, Segment

app = common.command_app()

FormatOption = Annotated[
    list[str] | None,
    typer.Option("--output-format", "-f", metavar="FORMAT", help="txt, srt, vtt, tsv, json or all; repeat for more."),
]
DirOption = Annotated[
    str | None,
    typer.Option("--output-dir", "-o", metavar="DIR", help="Write files there; `source` is beside each input."),
]
ChannelOption = Annotated[int | None, typer.Option("--channel", min=1, help="Hear this channel alone, counted from 1.")]


@app.command(cls=decoding.GroupedCommand)
def transcribe(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Audio or video; - is standard input.")],
    output_format: FormatOption = None,
    output_dir: DirOption = None,
    model: common.SttModelOption = None,
    pipeline: common.PipelineOption = AUTO,
    language: common.LanguageOption = None,
    word_timestamps: Annotated[bool | None, typer.Option("--word-timestamps", help="Times of words (json).")] = None,
    fast: common.FastOption = None,
    channel: ChannelOption = None,
    vad_threshold: common.VadThresholdOption = None,
    vad_min_speech_duration_ms: common.VadSpeechOption = None,
    vad_max_speech_duration_s: common.VadMaxSpeechOption = None,
    vad_min_silence_duration_ms: common.VadSilenceOption = None,
    vad_speech_pad_ms: common.VadPadOption = None,
    windowing: decoding.Windowing = None,
    vad_filter: decoding.VadFilter = None,
    clip_timestamps: decoding.Clip = None,
    batched: decoding.Batched = None,
    batch_size: decoding.BatchSize = None,
    task: decoding.Task = None,
    multilingual: decoding.Multilingual = None,
    initial_prompt: decoding.InitialPrompt = None,
    prefix: decoding.Prefix = None,
    hotwords: decoding.Hotwords = None,
    condition_on_previous_text: decoding.ConditionOnPrevious = None,
    prompt_reset_on_temperature: decoding.PromptReset = None,
    beam_size: decoding.BeamSize = None,
    best_of: decoding.BestOf = None,
    patience: decoding.Patience = None,
    length_penalty: decoding.LengthPenalty = None,
    repetition_penalty: decoding.RepetitionPenalty = None,
    no_repeat_ngram_size: decoding.NoRepeatNgramSize = None,
    temperature: decoding.Temperature = None,
    temperature_increment_on_fallback: decoding.TemperatureIncrement = None,
    compression_ratio_threshold: decoding.CompressionRatio = None,
    logprob_threshold: decoding.Logprob = None,
    no_speech_threshold: decoding.NoSpeech = None,
    hallucination_silence_threshold: decoding.HallucinationSilence = None,
    suppress_blank: decoding.SuppressBlank = None,
    suppress_tokens: decoding.SuppressTokens = None,
    without_timestamps: decoding.WithoutTimestamps = None,
    max_initial_timestamp: decoding.MaxInitialTimestamp = None,
    max_new_tokens: decoding.MaxNewTokens = None,
    prepend_punctuations: decoding.Prepend = None,
    append_punctuations: decoding.Append = None,
    language_detection_threshold: decoding.LanguageThreshold = None,
    language_detection_segments: decoding.LanguageSegments = None,
    device: decoding.Device = None,
    device_index: decoding.DeviceIndex = None,
    compute_type: decoding.ComputeType = None,
    threads: decoding.Threads = None,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Write down what is said in audio and video files.

    Without -o the transcript goes to standard output while it is being made. Silence gives an empty transcript.
    A file that cannot be read gets one line on standard error; the others go on, and the exit code is 3.
    """
    from mmcli.pipeline import build

    formats = _formats(output_format)
    if output_dir is None:
        _check_stdout(files, formats)
    if files.count("-") > 1:
        raise UsageError("standard input can be transcribed only once")
    spec, catalogue = common.choose_pipeline(pipeline, config, ("stt",), models={"stt": model}, quiet=quiet)
    cutting = {
        "threshold": vad_threshold,
        "min_speech_ms": vad_min_speech_duration_ms,
        "max_speech_s": vad_max_speech_duration_s,
        "min_silence_ms": vad_min_silence_duration_ms,
        "speech_pad_ms": vad_speech_pad_ms,
    }
    spec = spec.with_options("stt", decoding.hearing(context.params), "flag").with_options("vad", cutting, "flag")
    spec = spec.with_options("runtime", decoding.runtime(context.params), "flag")
    cascade: Any = build(spec, catalogue, ("vad", "stt"))
    targets = _targets(files, output_dir)
    failures: list[MmcliError] = []
    for file in files:
        try:
            _one(cascade, file, channel, formats, targets[file], several=len(files) > 1, quiet=quiet)
        except MmcliError as error:
            ui.error(error)
            failures.append(error)
    common.finish(len(files), failures)


def _formats(given: list[str] | None) -> list[str]:
    from mmcli.media.subtitles import FORMATS

    formats = list(dict.fromkeys(part for item in given or ["txt"] for part in item.split(",")))
    if "all" in formats:
        return list(FORMATS)
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"-f {name}: no such format", f"formats: {', '.join(FORMATS)}, all")
    return formats


def _check_stdout(files: list[str], formats: list[str]) -> None:
    if len(formats) > 1:
        raise UsageError("several formats do not fit on standard output", "give a folder: -o DIR")
    if len(files) > 1 and formats[0] not in ("txt", "json"):
        raise UsageError(f"several files as {formats[0]} do not fit on standard output", "give a folder: -o DIR")


def _targets(files: list[str], output_dir: str | None) -> dict[str, Path | None]:
    """Where each transcript goes, without its suffix: two inputs never share a name."""
    targets: dict[str, Path | None] = dict.fromkeys(files)
    if output_dir is None:
        return targets
    taken: set[Path] = set()
    for file in targets:
        source = Path("stdin" if file == "-" else file)
        folder = (Path() if file == "-" else source.parent) if output_dir == "source" else Path(output_dir)
        candidates = [source.stem, source.name, *(f"{source.name}-{number}" for number in range(2, len(files) + 2))]
        target = next(folder / name for name in candidates if folder / name not in taken)
        taken.add(target)
        targets[file] = target
    return targets


def _one(
    cascade: Cascade,
    file: str,
    channel: int | None,
    formats: list[str],
    target: Path | None,
    *,
    several: bool,
    quiet: bool,
) -> None:
    from mmcli.media.audio import open_audio
    from mmcli.media.files import atomic_path
    from mmcli.media.subtitles import render

    audio = open_audio(file, channel=channel)
    # Beside text that appears in the terminal a bar would only disturb.
    run = _Run(cascade, audio, file, bar=not quiet and (target is not None or not sys.stdout.isatty()))
    with closing(run.segments()) as segments:
        if target is None:
            if several and formats[0] == "txt":
                ui.write(f"==> {visible(file, keep='')} <==\n")
            pieces = render(formats[0], segments, run.provenance)
            if several and formats[0] == "json":
                pieces = iter([json.dumps(json.loads("".join(pieces)), ensure_ascii=False) + "\n"])
            for piece in pieces:
                ui.write(piece)
        else:
            done = list(segments)
            for name in formats:
                path = target.with_name(f"{target.name}.{name}")
                with atomic_path(path) as aside:
                    aside.write_text("".join(render(name, done, run.provenance)), encoding="utf-8")
                if not quiet:
                    ui.note(f"{file} -> {path}")
    if run.count == 0 and not quiet:
        ui.note(f"{file}: no speech heard")


class _Run:
    """One file on its way through the pipeline: its segments, and afterwards what made them."""

    def __init__(self, cascade: Cascade, audio: AudioSource, file: str, *, bar: bool) -> None:
        self._bar = bar
        self._cascade = cascade
        self._audio = audio
        self._file = file
        self._provenance: dict[str, Any] = {"source": file, **cascade.origin}
        self.count = 0

    def segments(self) -> Generator[Segment, None, None]:
        from mmcli.stages import Done, Heard, Turn

        with ui.progress(self._file, self._audio.seconds, shown=self._bar) as advance:
            for event in self._cascade.run(Turn(audio=self._audio)):
                if isinstance(event, Heard):
                    self.count += 1
                    advance(event.segment.end)
                    yield event.segment
                elif isinstance(event, Done):
                    self._provenance = {"source": self._file, **event.provenance}

    def provenance(self) -> dict[str, Any]:
        return self._provenance
