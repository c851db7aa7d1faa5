"""mmcli transcribe: audio and video files to text and subtitles."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import common, decoding, shaping, speakers
from mmcli.cli.recordings import Former, Run, check_former, in_turn
from mmcli.errors import MmcliError, OutputError, UsageError
from mmcli.text import clock, safe_json, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcli.pipeline import Cascade
    from mmcli.stages import Segment

app = common.command_app()

FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--output-format",
        "-f",
        metavar="FORMAT",
        help="txt, srt, vtt, tsv, json, jsonl, lrc, aud, rttm or all; repeat for more.",
    ),
]
DirOption = Annotated[
    str | None,
    typer.Option(
        "--output-dir", "-o", metavar="DIR", help="Write files there; `source` is beside each input, - standard output."
    ),
]
ChannelOption = Annotated[int | None, typer.Option("--channel", min=1, help="Hear this channel alone, counted from 1.")]

ResumeOption = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on inside a file where an earlier run was stopped.")
]
SkipOption = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out files whose outputs are all there, with -o.")
]


@app.command(cls=decoding.WhisperCommand)
def transcribe(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Audio, video, or the JSON of a former transcript; - is standard input."),
    ],
    output_format: FormatOption = None,
    output_dir: DirOption = None,
    model: common.SttModelOption = None,
    pipeline: common.PipelineOption = AUTO,
    language: common.LanguageOption = None,
    word_timestamps: Annotated[
        bool | None, typer.Option("--word-timestamps", help="Times of words (json, subtitles).")
    ] = None,
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
    diarize: speakers.Diarize = None,
    diarize_by: speakers.By = None,
    speaker_model: speakers.Model = None,
    speakers_count: speakers.Count = None,
    min_speakers: speakers.Least = None,
    max_speakers: speakers.Most = None,
    speaker_names: speakers.Names = None,
    max_line_width: shaping.LineWidth = None,
    max_line_count: shaping.LineCount = None,
    max_words_per_line: shaping.WordsPerLine = None,
    highlight_words: shaping.Highlight = False,
    segment_resolution: shaping.Resolution = None,
    sentence: shaping.Sentence = False,
    print_colors: shaping.Colours = False,
    fail_on_quality: shaping.FailOnQuality = False,
    device: decoding.Device = None,
    device_index: decoding.DeviceIndex = None,
    compute_type: decoding.ComputeType = None,
    threads: decoding.Threads = None,
    workers: decoding.Workers = None,
    stdin_name: decoding.StdinName = None,
    raw_rate: decoding.RawRate = None,
    raw_format: decoding.RawFormat = None,
    raw_channels: decoding.RawChannels = None,
    resume: ResumeOption = True,
    skip_existing: SkipOption = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Write down what is said in audio and video files.

    Without -o the transcript goes to standard output while it is being made. Silence gives an empty transcript.
    A file that cannot be read gets one line on standard error; the others go on, and the exit code is 3.
    The JSON of a former transcript (ours, Whisper's, whisperX's) is not heard again, only written in other ways.
    Flags that need the times of words switch them on.
    """
    from mmcli.checkpoint import open_checkpoint
    from mmcli.media.audio import open_audio
    from mmcli.media.transcripts import is_transcript

    formats = _formats(output_format, with_speakers=speakers.is_asked(context.params))
    output_dir = None if output_dir == "-" else output_dir
    if output_dir is None:
        _check_stdout(files, formats)
        if skip_existing:
            raise UsageError("--skip-existing is for outputs in a folder", "give one: -o DIR")
    if files.count("-") > 1:
        raise UsageError("standard input can be transcribed only once")
    names = decoding.names(files, stdin_name)
    raw = decoding.headerless(raw_rate, raw_format, raw_channels)
    output = shaping.output(context.params, formats, to_files=output_dir is not None)
    targets = _targets(names, formats, output_dir)
    if skip_existing:
        files = [file for file in files if not _is_there(names[file], targets[file], formats, quiet=quiet)]
    former = {file for file in files if raw is None and is_transcript(file)}
    heard = [file for file in files if file not in former]
    if former and not heard:
        check_former(context.params, context.command.params)
    cascade = _cascade(context.params, output, formats, alone=len(heard) == 1) if heard else None
    failures: list[MmcliError] = []
    count = cascade.at_a_time if cascade is not None and len(heard) > 1 else 1

    def open_one(file: str) -> Run | Former:
        if file in former or cascade is None:
            transcript = Former(file, output, context.params, formats)
            _check_targets(targets[file], formats)
            return transcript
        audio = open_audio(file, channel=channel, raw=raw, again=cascade.diarizer is not None)
        _check_targets(targets[file], formats)
        kept = open_checkpoint(file, cascade.origin, repr((channel, raw))) if resume else None
        return Run(cascade, audio, names[file], kept, beside=min(count, len(files)) > 1)

    with closing(in_turn(files, open_one, count)) as opened:
        for file, run in opened:
            with _told(failures, to_files=output_dir is not None):
                if isinstance(run, MmcliError):
                    raise run
                _one(run, names[file], formats, targets[file], output, several=len(files) > 1, quiet=quiet)
    common.finish(len(files), failures)


@contextmanager
def _told(failures: list[MmcliError], *, to_files: bool) -> Iterator[None]:
    """One line for an error of one file, after which the others go on, unless they have nowhere to go."""
    try:
        yield
    except MmcliError as error:
        if isinstance(error, OutputError) and not to_files:
            raise
        ui.error(error)
        failures.append(error)


def _cascade(flags: Mapping[str, Any], output: shaping.Output, formats: list[str], *, alone: bool) -> Cascade:
    """The pipeline with its models loaded, for one file `alone` or for several."""
    from mmcli.pipeline import build

    spec, catalogue = common.choose_pipeline(
        flags["pipeline"], flags["config"], ("stt",), models={"stt": flags["model"]}, quiet=flags["quiet"]
    )
    cutting = {
        "threshold": flags["vad_threshold"],
        "min_speech_ms": flags["vad_min_speech_duration_ms"],
        "max_speech_s": flags["vad_max_speech_duration_s"],
        "min_silence_ms": flags["vad_min_silence_duration_ms"],
        "speech_pad_ms": flags["vad_speech_pad_ms"],
    }
    hearing = decoding.hearing(flags)
    if output.needed_by:
        hearing["word_timestamps"] = True
    spec = spec.with_options("stt", hearing, "flag").with_options("vad", cutting, "flag")
    spec = decoding.with_workers(spec.with_options("runtime", decoding.runtime(flags), "flag"), alone=alone)
    spec = speakers.with_speakers(spec, catalogue, flags, formats)
    cascade: Any = build(spec, catalogue, speakers.roles(spec))
    if output.needed_by and not cascade.stt.words:
        raise UsageError(
            f'{output.needed_by} needs the times of words, which model "{spec.models["stt"]}" does not tell',
            "leave it out, or choose another model with --model",
        )
    return cast("Cascade", cascade)


def _formats(given: list[str] | None, *, with_speakers: bool) -> list[str]:
    from mmcli.media.subtitles import FORMATS

    formats = list(dict.fromkeys(part for item in given or ["txt"] for part in item.split(",")))
    for name in formats:
        if name not in (*FORMATS, "all"):
            raise UsageError(f'-f "{name}": no such format', f"formats: {', '.join(FORMATS)}, all")
    if "all" in formats:
        # Speakers alone fill rttm.
        return [name for name in FORMATS if name != "rttm" or with_speakers or name in formats]
    return formats


def _check_stdout(files: list[str], formats: list[str]) -> None:
    if len(formats) > 1:
        raise UsageError("several formats do not fit on standard output", "give a folder: -o DIR")
    if len(files) > 1 and formats[0] not in ("txt", "json", "jsonl"):
        raise UsageError(f"several files as {formats[0]} do not fit on standard output", "give a folder: -o DIR")


def _targets(names: Mapping[str, str], formats: list[str], output_dir: str | None) -> dict[str, Path | None]:
    """Where each transcript goes, without its suffix: two inputs never share a name, and none is written over."""
    targets: dict[str, Path | None] = dict.fromkeys(names)
    if output_dir is None:
        return targets
    inputs = {os.path.realpath(file) for file in targets}
    taken: set[str] = set()
    for file in targets:
        source = Path("stdin" if names[file] == "-" else names[file])
        folder = (Path() if file == "-" else source.parent) if output_dir == "source" else Path(output_dir)
        candidates = [source.stem, source.name, *(f"{source.name}-{number}" for number in range(2, 2 * len(names) + 2))]
        target = next(
            folder / name
            for name in candidates
            if name not in (".", "..")
            and os.path.realpath(folder / name) not in taken
            and not any(os.path.realpath(folder / f"{name}.{form}") in inputs for form in formats)
        )
        taken.add(os.path.realpath(target))
        targets[file] = target
    return targets


def _is_there(file: str, target: Path | None, formats: list[str], *, quiet: bool) -> bool:
    """Whether all outputs of a file are there, which are written whole or not at all."""
    there = target is not None and all(target.with_name(f"{target.name}.{name}").is_file() for name in formats)
    if there and not quiet:
        ui.note(f"{file}: left out, as {target}.{formats[0]} is there")
    return there


def _check_targets(target: Path | None, formats: list[str]) -> None:
    """OutputError where an output could not be written after all the work."""
    from mmcli.media.files import check_writable

    if target is not None:
        for name in formats:
            check_writable(target.with_name(f"{target.name}.{name}"))


def _one(
    run: Run | Former,
    file: str,
    formats: list[str],
    target: Path | None,
    output: shaping.Output,
    *,
    several: bool,
    quiet: bool,
) -> None:
    from mmcli.media.files import atomic_path
    from mmcli.media.subtitles import render

    doubts = shaping.Doubts()
    if run.kept_s and not quiet:
        ui.note(f"{file}: going on at {clock(run.kept_s)} where it stopped")
    # Beside text that appears in the terminal a bar would only disturb.
    bar = not quiet and not output.colours and (target is not None or not sys.stdout.isatty())
    with _told_how_to_go_on(run, file, quiet=quiet), closing(run.segments(bar=bar)) as heard:
        segments = doubts.counted(output.prepared(heard))
        if several and (output.colours or (target is None and formats[0] == "txt")):
            ui.write(f"==> {visible(file, keep='')} <==\n")
        if output.colours:
            segments = _shown(segments)
        if target is not None:
            done = list(segments)
            for name in formats:
                path = target.with_name(f"{target.name}.{name}")
                with atomic_path(path) as aside:
                    text = "".join(render(name, done, run.provenance, output.shape))
                    aside.write_text(text, encoding="utf-8", errors="replace")
                if not quiet:
                    ui.note(f"{file} -> {path}")
        elif output.colours:
            for _ in segments:
                pass
        else:
            pieces = render(formats[0], segments, run.provenance, output.shape)
            if several and formats[0] == "json":
                pieces = iter([safe_json(json.loads("".join(pieces))) + "\n"])
            for piece in pieces:
                ui.write(piece)
    run.written()
    if run.count == 0 and not quiet:
        ui.note(f"{file}: no speech heard")
    if output.fail_on_quality:
        doubts.verdict(file)


@contextmanager
def _told_how_to_go_on(run: Run | Former, file: str, *, quiet: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if run.is_kept and not quiet:
            ui.note(f"{file}: stopped; the same command goes on inside it")
        raise


def _shown(segments: Iterable[Segment]) -> Iterator[Segment]:
    for segment in segments:
        ui.write_confidence(segment)
        yield segment
