"""What `mmcli speak` reads and tells: its texts, what was spoken when, and the voices that there are."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.errors import UsageError
from mmcli.languages import language_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mmcli.media.prose import Paragraph
    from mmcli.stages import Segment, Synthesizer, Voice

_TEXT, _SOUND, _TELLING = "The text", "The sound", "What is told of it"


def _option(names: str, what: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names.split(), help=what, rich_help_panel=panel, **more)


Inputs = Annotated[
    list[str] | None,
    _option("--input-file -i", "A text, Markdown file or PDF to speak; repeat for more.", _TEXT, metavar="FILE"),
]
Subs = Annotated[
    str | None,
    _option("--subs", "SRT or VTT: each cue is spoken at its time, up to 1.5 times as fast.", _TEXT, metavar="FILE"),
]
Markdown = Annotated[
    bool | None, _option("--markdown/--plain", "Whether texts are Markdown [files that end in .md are].", _TEXT)
]
ReadCode = Annotated[bool, _option("--read-code", "Read the blocks of code of Markdown, too.", _TEXT)]
Voices = Annotated[
    str | None,
    _option(
        "--voices",
        'Lines that begin with "NAME:" have their own voice, and so have the voices of a VTT.',
        _TEXT,
        metavar="NAME=VOICE,...",
    ),
]
SentenceSilence = Annotated[
    float | None,
    _option(
        "--sentence-silence", "Seconds of silence between sentences.", _SOUND, min=0.0, max=60.0, metavar="SECONDS"
    ),
]
Volume = Annotated[
    float | None, _option("--volume", "1 is the voice's own; nothing is clipped above it.", _SOUND, min=0.0, max=10.0)
]
OutputRaw = Annotated[bool, _option("--output-raw", "Samples alone on standard output: 16-bit, one channel.", _SOUND)]
TimingsFormat = Annotated[
    str | None,
    _option(
        "--timings",
        "What was spoken when, beside -o: srt, vtt, json (with word times where the voice tells them), jsonl, tsv, lrc.",
        _TELLING,
        metavar="FORMAT",
    ),
]
TimingsFile = Annotated[
    Path | None, _option("--timings-file", "The same into this file, its format by its suffix.", _TELLING)
]
Draw = Annotated[
    Path | None, _option("--draw", "A picture of the waveform and the mel spectrogram.", _TELLING, metavar="FILE.png")
]
ListVoices = Annotated[
    bool, _option("--list-voices", "Name the voices (with --language those that speak it) and end.", _TELLING)
]
Json = Annotated[
    bool, _option("--json", "One JSON document on standard output: what was made, or the voices.", _TELLING)
]


def paragraphs(text: str | None, files: Sequence[str], *, markdown: bool | None, code: bool) -> Iterator[Paragraph]:
    """What is to be spoken, as it comes. Standard input as "-" gives each of its lines at once."""
    from mmcli.media.prose import Paragraph, read_prose

    for number, file in enumerate(files):
        for index, paragraph in enumerate(read_prose(file, markdown=markdown, code=code)):
            yield paragraph if index or not number else Paragraph(paragraph.text, 1.0)
    if text == "-" and not markdown:
        yield from (Paragraph(line) for line in _stdin_lines())
    elif text is not None and markdown:
        from mmcli.media.markdown import read_markdown

        yield from read_markdown("".join(_stdin_lines()) if text == "-" else text, code=code)
    elif text is not None:
        yield from (Paragraph(line) for line in text.splitlines())


def _stdin_lines() -> Iterator[str]:
    """The lines of standard input as they come; what is no UTF-8 becomes U+FFFD."""
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("standard input is closed", 'give the text itself: mmcli speak "TEXT"')
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace")


class Timings:
    """When what is spoken is heard; kept until it is written."""

    def __init__(self, target: Path | None, format: str | None) -> None:
        self.target = target
        self._format = format or ""
        self.segments: list[Segment] = []
        self.count = 0
        self.speakers: set[str | None] = set()

    @classmethod
    def asked(cls, format: str | None, file: Path | None, output: str | None, inputs: Sequence[str]) -> Timings:
        """Where they go. UsageError for an unknown format or place, or for a file that is read too."""
        from mmcli.media.subtitles import render

        if format is None and file is None:
            return cls(None, None)
        format = format or (file.suffix.lstrip(".").lower() if file is not None else "")
        render(format, (), dict)
        if file is None:
            if output in (None, "-"):
                raise UsageError(
                    "--timings stand beside the file of -o, and there is none", "say where: --timings-file FILE"
                )
            file = Path(str(output)).with_suffix(f".{format}")
        if any(Path(name).resolve() == file.resolve() for name in inputs):
            raise UsageError(f"--timings would overwrite {file}, which is read", "name another: --timings-file FILE")
        return cls(file, format)

    def told(self, segment: Segment) -> None:
        self.count += 1
        self.speakers.add(segment.speaker)
        if self.target is not None:
            words = segment.words if self._format in ("json", "jsonl") else ()
            self.segments.append(dataclasses.replace(segment, words=words))

    def write(self, provenance: Mapping[str, Any]) -> None:
        """Write them whole or not at all. OutputError."""
        if self.target is None:
            return
        from mmcli.media.files import atomic_path
        from mmcli.media.subtitles import render

        with atomic_path(self.target) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
            for piece in render(self._format, self.segments, lambda: provenance):
                file.write(piece)


def note_silent_voices(voices: Iterable[str], timings: Timings) -> None:
    """A name that is misspelled says nothing, and its lines are read by another voice with the name in them."""
    unused = [name for name in voices if name not in timings.speakers]
    if unused:
        ui.note(f"--voices: no line begins with {' or '.join(f'{name}:' for name in unused)}")


def show_voices(tts: Synthesizer, language: str | None, *, as_json: bool) -> None:
    """The voices, all or those of a language. UsageError where none speaks it."""

    wanted = language_code(language or "").replace("_", "-").lower()

    def speaks(voice: Voice) -> bool:
        own = voice.language.replace("_", "-").lower()
        # What begins with a plus is a variant of voices and has no language of its own.
        return not voice.name.startswith("+") and (own in ("*", wanted) or own.startswith(f"{wanted}-"))

    voices = [voice for voice in tts.voices() if not wanted or speaks(voice)]
    if wanted and not voices:
        raise UsageError(
            f'no voice is listed for the language "{language}"', "mmcli speak --list-voices names them all"
        )
    if as_json:
        fields = ("name", "language", "description")
        ui.write_json([{field: getattr(voice, field) for field in fields} for voice in voices])
    else:
        ui.table(["voice", "language", ""], [(v.name, v.language, v.description) for v in voices])
