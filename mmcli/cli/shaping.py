"""The flags of what becomes of the segments that were heard, declared once, and what they do to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmcli import ui
from mmcli.errors import InputError, MmcliError, UsageError
from mmcli.options import flag
from mmcli.text import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcli.media.cues import Shape
    from mmcli.media.transcripts import Transcript
    from mmcli.stages import Segment

_RESOLUTIONS = ("segment", "sentence")


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(*name.split(), help=text, rich_help_panel="Output", **more)


LineWidth = Annotated[int | None, _option("--max-line-width", "Characters of a line of srt and vtt.", min=1)]
LineCount = Annotated[int | None, _option("--max-line-count", "Lines of a cue, with --max-line-width.", min=1)]
WordsPerLine = Annotated[
    int | None,
    _option(
        "--max-words-per-line",
        "Words of a cue; with the two flags above, cues go on over the ends of segments instead.",
        min=1,
    ),
]
Highlight = Annotated[bool, _option("--highlight-words", "Underline each word of srt and vtt while it is said.")]
Resolution = Annotated[
    str | None,
    _option("--segment-resolution", "Cut segments anew at the ends of sentences.", metavar="segment|sentence"),
]
Sentence = Annotated[bool, _option("--sentence", "The same as --segment-resolution sentence.")]
Colours = Annotated[
    bool,
    _option("--print-colors --print-colours", "Text in the terminal from red (doubtful) to green (certain)."),
]
FailOnQuality = Annotated[
    bool,
    _option("--fail-on-quality", "Fail after writing where segments repeat themselves, are improbable or overlong."),
]


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the segments."""

    shape: Shape
    sentences: bool
    colours: bool
    """Only where standard output is a terminal."""
    fail_on_quality: bool
    needed_by: str
    """The first flag that needs the times of words; "" where none does."""

    def prepared(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """The segments as they are written: with what is doubtful about them, and one a sentence where asked for."""
        from mmcli.media.quality import flagged
        from mmcli.media.sentences import by_sentence

        marked = flagged(segments)
        return flagged(by_sentence(marked)) if self.sentences else marked

    def check_words(self, transcript: Transcript) -> None:
        """InputError for a transcript without the word times that a flag needs."""
        if self.needed_by and not transcript.has_words:
            raise InputError(
                transcript.source,
                f"has no word times, which {self.needed_by} needs",
                "transcribe the recording again with --word-timestamps -f json",
            )


def output(flags: Mapping[str, Any], formats: list[str], *, to_files: bool) -> Output:
    """What the flags ask for. UsageError for those that do not go together or would have no effect."""
    from mmcli.media.cues import Shape

    sizes = {name: flags[name] for name in ("max_line_width", "max_line_count", "max_words_per_line")}
    shape = Shape(**sizes, highlight_words=flags["highlight_words"])
    shaping = [name for name in (*sizes, "highlight_words") if flags[name]]
    if shaping and not {"srt", "vtt"} & set(formats):
        raise UsageError(f"{flag(shaping[0])} is for srt and vtt, and neither is written", "add -f srt")
    if sizes["max_line_count"] and not sizes["max_line_width"] and not flags["quiet"]:
        ui.note("--max-line-count has no effect without --max-line-width")
    resolution = flags["segment_resolution"]
    if resolution not in (None, *_RESOLUTIONS):
        raise UsageError(f"--segment-resolution is {' or '.join(_RESOLUTIONS)}, not {resolution!r}")
    if flags["sentence"] and resolution == "segment":
        raise UsageError("--sentence and --segment-resolution segment do not go together")
    if flags["print_colors"] and not to_files and formats != ["txt"]:
        raise UsageError(f"--print-colors shows text, not {formats[0]}", "leave out -f, or write files with -o DIR")
    sentences = flags["sentence"] or resolution == "sentence"
    colours = flags["print_colors"] and ui.is_terminal()
    needing = [*map(flag, shaping), *(["--sentence"] if sentences else []), *(["--print-colors"] if colours else [])]
    return Output(shape, sentences, colours, flags["fail_on_quality"], needing[0] if needing else "")


class Doubts:
    """Counts the doubtful segments of a file as they pass."""

    def __init__(self) -> None:
        self._total = self._doubtful = 0
        self._flags: dict[str, None] = {}
        self._first = 0.0

    def counted(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        for segment in segments:
            self._total += 1
            if segment.flags:
                self._first = self._first if self._doubtful else segment.start
                self._doubtful += 1
                self._flags.update(dict.fromkeys(segment.flags))
            yield segment

    def verdict(self, file: str) -> None:
        """MmcliError, with exit code 1, where some were."""
        if self._doubtful:
            raise MmcliError(
                f"{file}: {self._doubtful} of {self._total} segments are doubtful ({', '.join(self._flags)}), "
                f"the first at {clock(self._first)}",
                "their flags stand in the json",
            )
