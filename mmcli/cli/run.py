"""mmcli run: a whole pipeline once, on files."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.cli import answering, common, decoding
from mmcli.cli.output import OutputOption, PlayOption, check_output, deliver
from mmcli.errors import UsageError
from mmcli.text import joined, visible

if TYPE_CHECKING:
    from mmcli.stages import Audio, Done, Event

app = common.command_app()


@app.command(cls=decoding.GroupedCommand)
def run(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A name, a .toml file with one, or auto.")],
    text: Annotated[str, typer.Option("--text", "-t", help="A typed question.")] = "",
    audio: Annotated[str | None, typer.Option("--audio", metavar="FILE|-", help="A spoken question.")] = None,
    output: OutputOption = None,
    play: PlayOption = False,
    fast: common.FastOption = None,
    voice: common.VoiceOption = None,
    speed: common.SpeedOption = None,
    speaker_wav: common.SpeakerWavOption = None,
    vocoder: common.VocoderOption = None,
    to: common.ToOption = None,
    from_: common.FromOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
    attach: answering.Attach = None,
    pages: answering.PagesOption = None,
    frames: answering.Frames = None,
    fps: answering.Fps = None,
    ground: answering.Ground = None,
    allow_private_addresses: answering.PrivateAddresses = None,
    system: answering.System = None,
    max_tokens: answering.MaxTokens = None,
    temperature: answering.Temperature = None,
    top_p: answering.TopP = None,
    top_k: answering.TopK = None,
    min_p: answering.MinP = None,
    repetition_penalty: answering.RepetitionPenalty = None,
    seed: answering.Seed = None,
    stop: answering.Stop = None,
    schema: answering.Schema = None,
    schema_multi: answering.SchemaMulti = None,
    detail: answering.Detail = None,
    usage: answering.Usage = False,
    device: decoding.Device = None,
    dtype: answering.DType = None,
    quantize: answering.Quantize = None,
    attention: answering.Attention = None,
    threads: decoding.Threads = None,
    trust_remote_code: answering.TrustRemoteCode = None,
) -> None:
    """Run a whole pipeline once, on files.

    What was heard goes to standard error, the answer to standard output, the spoken reply to -o or --play. A pipeline
    without a backbone writes the transcript to standard output.
    """
    from mmcli.media.audio import open_audio
    from mmcli.pipeline import build, check_turn
    from mmcli.stages import Turn

    if not text and audio is None and not attach:
        raise UsageError("there is nothing to run on", f"mmcli run {pipeline} --audio FILE -a FILE")
    if output == "-" and as_json:
        raise UsageError("--json and the sound cannot both go to standard output", "write a file: -o FILE")
    check_output(output)
    spec, catalogue = common.choose_pipeline(pipeline, config, (), models={"vocoder": vocoder}, quiet=quiet)
    speaking = {"voice": voice, "speed": speed, "speaker_wav": speaker_wav}
    wanted: dict[str, dict[str, Any]] = {"stt": {"fast": fast}, "tts": speaking}
    if "e2e" in spec.models:
        wanted["e2e"] = {"target_language": to, "source_language": from_}
        if "tts" not in spec.models:
            wanted["e2e"]["speaker"], speaking["voice"] = voice, None
    elif to is not None or from_ is not None:
        raise UsageError(f'pipeline "{spec.name}" has no e2e, which --to and --from are for')
    for role, options in wanted.items():
        spec = spec.with_options(role, options, "flag")
    spec = answering.with_flags(spec, context.params)
    source = open_audio(audio) if audio is not None else None
    attachments = tuple(map(common.opener(spec), common.expanded(attach or [])))
    turn = Turn(text=text, audio=source, attachments=attachments, system=system or "")
    common.check_flags(turn, context.params)
    check_turn(spec, catalogue, turn)
    built = build(spec, catalogue)
    speaks = "tts" in spec.models or (
        "e2e" in spec.models and "audio" in catalogue.model(spec.models["e2e"], "e2e").outputs
    )
    if not speaks and (output is not None or play):
        raise UsageError(f'pipeline "{spec.name}" has no tts, so there is no sound for -o or --play')
    show = _Show(
        as_json=as_json,
        text_on_stdout=output != "-",
        transcript=not {"backbone", "e2e"} & spec.models.keys(),
        quiet=quiet,
    )
    with closing(show.sound(built.run(turn))) as sound:
        seconds = deliver(sound, output, play=play) if speaks else sum(block.seconds for block in sound)
    show.end(reply=output, seconds=seconds)
    if usage and show.done is not None:
        ui.note_usage(show.done)


class _Show:
    """Renders events as they come and lets the sound through."""

    def __init__(self, *, as_json: bool, text_on_stdout: bool, transcript: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._text_on_stdout = text_on_stdout
        self._transcript = transcript
        self._quiet = quiet
        self._heard: list[str] = []
        self._language: str | None = None
        self._said: list[str] = []
        self.done: Done | None = None

    def sound(self, events: Any) -> Generator[Audio, None, None]:
        from mmcli.stages import Spoke

        with closing(events):
            for event in events:
                if isinstance(event, Spoke):
                    yield event.audio
                else:
                    self._text(event)

    def _text(self, event: Event) -> None:
        from mmcli.stages import Done, Heard, Said

        if isinstance(event, Heard):
            line = event.segment.text.strip()
            self._heard.append(line)
            self._language = event.segment.language
            if self._transcript and not self._as_json:
                self._print(line + "\n")
            elif not self._quiet and not self._as_json:
                ui.note(f"heard: {line}")
        elif isinstance(event, Said):
            self._said.append(event.text)
            if not self._as_json:
                self._print(event.text)
        elif isinstance(event, Done):
            self.done = event

    def _print(self, text: str) -> None:
        if self._text_on_stdout:
            ui.write(visible(text))

    def end(self, *, reply: str | None, seconds: float) -> None:
        said = "".join(self._said)
        if self._as_json:
            heard = joined(self._heard, self._language)
            result = {"heard": heard, "answer": said.strip(), "reply": reply, "reply_seconds": seconds}
            ui.write_json({**result, "provenance": self.done.provenance if self.done else {}})
            return
        if said and not said.endswith("\n"):
            self._print("\n")
        if reply not in (None, "-") and not self._quiet:
            ui.note(f"{seconds:.1f} s -> {reply}")
