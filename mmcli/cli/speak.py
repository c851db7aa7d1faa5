"""mmcli speak: text to sound."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.catalogue import AUTO
from mmcli.cli import common, decoding, speaking
from mmcli.cli.output import OutputOption, PlayOption, check_output, deliver
from mmcli.errors import UsageError
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator

    from mmcli.speaking.sound import Narration
    from mmcli.stages import Audio

app = common.command_app()


@app.command()
def speak(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT|-]", help="- reads standard input line by line.")] = None,
    input_file: speaking.Inputs = None,
    subs: speaking.Subs = None,
    output: OutputOption = None,
    output_raw: speaking.OutputRaw = False,
    play: PlayOption = False,
    voice: common.VoiceOption = None,
    voices: speaking.Voices = None,
    language: common.LanguageOption = None,
    speed: common.SpeedOption = None,
    pitch: common.PitchOption = None,
    volume: speaking.Volume = None,
    sentence_silence: speaking.SentenceSilence = None,
    seed: common.SeedOption = None,
    speaker_wav: common.SpeakerWavOption = None,
    markdown: speaking.Markdown = None,
    read_code: speaking.ReadCode = False,
    timings: speaking.TimingsFormat = None,
    timings_file: speaking.TimingsFile = None,
    draw: speaking.Draw = None,
    list_voices: speaking.ListVoices = False,
    as_json: speaking.Json = False,
    model: common.TtsModelOption = None,
    vocoder: common.VocoderOption = None,
    pipeline: common.PipelineOption = AUTO,
    device: decoding.Device = None,
    quiet: common.QuietOption = False,
    config: common.ConfigOption = None,
    debug: common.DebugOption = False,
) -> None:
    """Speak a text.

    Into a file (-o reply.wav), to standard output (-o -), or through the loudspeaker (--play, and where nothing else is
    said). Sound starts before the text is complete. [[pause 0.5]] or <break time="500ms"/> in a text is a pause of up to a
    minute.
    """
    from mmcli.pipeline import build
    from mmcli.speaking.script import parse_voices
    from mmcli.speaking.sound import Narration

    inputs = [*(input_file or []), *([subs] if subs else [])]
    if not list_voices:
        _check_flags(context.params)
    check_output(output)
    told = speaking.Timings.asked(timings, timings_file, output, inputs)
    speakers = parse_voices(voices) if voices else {}
    spec, catalogue = common.choose_pipeline(
        pipeline, config, ("tts",), models={"tts": model, "vocoder": vocoder}, quiet=quiet
    )
    given = {name: context.params[name] for name in ("voice", "language", "speed", "pitch", "seed", "speaker_wav")}
    if list_voices:
        given["language"] = None
    spec = spec.with_options("tts", given, "flag").with_options("runtime", {"device": device}, "flag")
    cascade: Any = build(spec, catalogue, ("tts",))
    if list_voices:
        speaking.show_voices(cascade.tts, language, as_json=as_json)
        return
    if output is None and not output_raw and not play:
        play = _loudspeaker()
    how = Narration(cascade.speak_options, speakers, sentence_silence or 0.0, told.told)
    how.check(cascade.tts)
    with closing(_sound(cascade.tts, how, context.params)) as sound:
        seconds = _deliver(sound, context.params, play=play, title=spec.models["tts"])
    provenance = {
        **cascade.origin,
        "source": ", ".join(inputs) or ("standard input" if text == "-" else "the command line"),
    }
    told.write(provenance)
    if not quiet:
        speaking.note_silent_voices(speakers, told)
    if as_json:
        made = {"output": output, "seconds": round(seconds, 3), "sentences": told.count}
        ui.write_json({**made, "timings": str(told.target) if told.target else None, "provenance": provenance})
    elif output not in (None, "-") and not quiet:
        ui.note(f"{seconds:.1f} s -> {output}")


def _check_flags(flags: dict[str, Any]) -> None:
    """UsageError for what does not go together."""
    if flags["output_raw"] and flags["output"] is not None:
        raise UsageError("--output-raw goes to standard output", "leave out -o")
    if flags["as_json"] and (flags["output_raw"] or flags["output"] == "-"):
        raise UsageError("--json and the sound cannot both go to standard output", "write a file: -o FILE")
    if sum(map(bool, (flags["text"] is not None, flags["input_file"], flags["subs"]))) != 1:
        raise UsageError(
            "give one text", 'mmcli speak "TEXT", mmcli speak -, mmcli speak -i FILE or mmcli speak --subs FILE'
        )
    if (flags["input_file"] or []).count("-") > 1:
        raise UsageError("standard input can be read only once")
    if flags["draw"] is not None:
        from mmcli.media.sound_picture import check_picture

        check_picture(flags["draw"])


def _loudspeaker() -> bool:
    from mmcli.media.playback import can_play

    if not can_play():
        raise UsageError("there is no loudspeaker here", "write a file: -o FILE")
    return True


def _sound(tts: Any, how: Narration, flags: dict[str, Any]) -> Generator[Audio, None, None]:
    """The whole sound, as it comes."""
    from mmcli.speaking.script import script
    from mmcli.speaking.sound import at_volume, narrate, with_words

    sound: Generator[Audio, None, None]
    if flags["subs"]:
        from mmcli.media.cue_files import read_cues
        from mmcli.speaking.dubbing import dub

        sound = dub(tts, read_cues(flags["subs"]), how)
    else:
        read = speaking.paragraphs(
            flags["text"], flags["input_file"] or [], markdown=flags["markdown"], code=flags["read_code"]
        )
        sound = narrate(tts, script(read, how.options.language, how.voices), how)
    with closing(sound):
        volume = flags["volume"]
        yield from with_words(sound if volume is None else at_volume(sound, volume))


def _deliver(sound: Generator[Audio, None, None], flags: dict[str, Any], *, play: bool, title: str) -> float:
    """Send the sound where it was asked for, and draw it; its seconds."""
    picture = None
    if flags["draw"] is not None:
        from mmcli.media.sound_picture import SoundPicture

        picture = SoundPicture()
        sound = closable(picture.watch(sound))
    seconds = deliver(sound, flags["output"], raw=flags["output_raw"], play=play)
    if picture is not None:
        picture.draw(flags["draw"], f"{title}   {seconds:.1f} s   {picture.rate} Hz")
    return seconds
