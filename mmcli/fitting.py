"""What is given beside a question, in the form that the backbone takes.

| given     | the backbone takes it | else                                                                          |
| --------- | --------------------- | ----------------------------------------------------------------------------- |
| picture   | as it is              | refused; with `ground` its text alone                                         |
| document  | as it is              | the text of its pages; a page without text, or asked for, as a picture        |
| video     | and its transcript    | its pictures with their times, its transcript between them                    |
| recording | as it is              | its transcript                                                                |

A language model is told in a line of text what comes next; a backbone that follows no instructions gets no such lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from mmcli.errors import ConfigError, InputError, UsageError
from mmcli.stages import AudioSource, Document, Image, Message, Page, TextLine, Video
from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import PIL.Image

    from mmcli.options import AttachOptions
    from mmcli.stages import Attachment, Part, Segment, Turn

PAGE_WIDTH = 1240
"""Pixels of a page shown as a picture: A4 at 150 dots per inch."""
# A page with less text than this is a scan, perhaps with a stamp or a page number laid over it.
_FEW_CHARACTERS = 40
_PLACE = re.compile(r"\{\{(\d+)\}\}|\{(\d+)\}")
_RANGE = re.compile(r"(\d+)(?:-(\d*))?")
_WORDS = {"image": "pictures", "document": "documents", "video": "videos", "audio": "recordings"}


@dataclass(frozen=True, slots=True)
class Taker:
    """A backbone as far as it matters here: its name, what it takes, whether it is a language model, what others take."""

    name: str
    inputs: tuple[str, ...]
    instructed: bool = True
    others: Callable[[str], Sequence[str]] = lambda modality: ()
    """The names of other models that take something."""

    def refuse(self, source: str, modality: str, mend: str = "") -> InputError:
        """The one line for what it cannot take."""
        names = ", ".join(self.others(modality)[:3])
        ways = [way for way in (f"take one that does (--model {names})" if names else "", mend) if way]
        return InputError(source, f'model "{self.name}" takes no {_WORDS[modality]}', ", or ".join(ways) or None)


@dataclass(frozen=True, slots=True)
class Fitter:
    """Turns a turn into messages. `transcribe` is None where the pipeline hears nothing."""

    taker: Taker
    options: AttachOptions
    transcribe: Callable[[AudioSource], Iterable[Segment]] | None = None

    def check(self, turn: Turn) -> None:
        """What can be refused before anything loads. UsageError, or InputError for what the backbone cannot take."""
        Pages.parse(self.options.pages)
        place(turn.text, [()] * len(turn.attachments))
        if turn.examples and len(turn.attachments) != 1:
            raise UsageError("--example goes with exactly one attachment that the question is about")
        if not self.taker.instructed:
            given = {"--system": turn.system, "--example": turn.examples, "--ground": self.options.ground}
            for flag, value in given.items():
                if value:
                    raise UsageError(
                        f'model "{self.taker.name}" is no language model and has no use for {flag}',
                        "leave it out, or choose another model with --model",
                    )
        for attachment in (*turn.attachments, *(given for given, _ in turn.examples)):
            self._check(attachment)

    def _check(self, attachment: Attachment) -> None:
        takes = self.taker.inputs
        shown = isinstance(attachment, Image) or (isinstance(attachment, Video) and "video" not in takes)
        if shown and "image" not in takes and not self.options.ground:
            raise self.taker.refuse(attachment.source, "image", "--ground tells it what is written there")

    def messages(
        self,
        turn: Turn,
        fitted: Sequence[tuple[Part, ...]],
        heard: str,
        fit: Callable[[Attachment], tuple[Part, ...]] | None = None,
    ) -> tuple[Message, ...]:
        """The conversation of a turn whose attachments were fitted; `heard` is the spoken question.

        `fit` is what fits the attachments of earlier turns: `parts`, or what remembers its results.
        """
        before = [Message("system", (turn.system,))] if turn.system else []
        for attachment, answer in turn.examples:
            before.append(Message("user", self._asked(turn, [self.parts(attachment)], heard)))
            before.append(Message("assistant", (answer,)))
        for former, answer in turn.history:
            parts = [self._former(attachment, fit or self.parts) for attachment in former.attachments]
            before += [Message("user", self._asked(former, parts, "")), Message("assistant", (answer,))]
        return (*before, Message("user", self._asked(turn, fitted, heard)))

    def _former(self, attachment: Attachment, fit: Callable[[Attachment], tuple[Part, ...]]) -> tuple[Part, ...]:
        """An attachment of an earlier turn. One that only another model could take is named, so that the talk goes on."""
        try:
            return fit(attachment)
        except (InputError, ConfigError):
            return (f"[{_name(attachment.source)} cannot be shown here]",) if self.taker.instructed else ()

    def _asked(self, turn: Turn, fitted: Sequence[tuple[Part, ...]], heard: str) -> tuple[Part, ...]:
        parts = place(turn.text, fitted)
        if not heard:
            return parts
        if parts and isinstance(parts[-1], str):
            return (*parts[:-1], f"{parts[-1]} {heard}")
        return (*parts, heard)

    def parts(self, attachment: Attachment) -> tuple[Part, ...]:
        """One attachment as the backbone takes it. InputError where it cannot, and what reading it raises."""
        self._check(attachment)
        match attachment:
            case Image():
                return tuple(self._picture(attachment))
            case Document():
                return tuple(self._document(attachment))
            case Video():
                return tuple(self._video(attachment))
            case AudioSource():
                return tuple(self._recording(attachment))

    # ------------------------------------------------------------ kinds

    def _picture(self, image: Image) -> Iterator[Part]:
        if "image" in self.taker.inputs:
            yield image
        if self.options.ground:
            yield _grounding(image)

    def _document(self, document: Document) -> Iterator[Part]:
        choice = Pages.parse(self.options.pages)
        document = choice.of(document)
        if "document" in self.taker.inputs and not choice.as_pictures:
            yield document
            return
        for page in document.pages():
            name = _name(document.source)
            if page.render is not None:
                name = f"{name}, page {page.number}"
            if page.render is not None and (choice.as_pictures or _written(page) < _FEW_CHARACTERS):
                yield from self._scan(name, page, page.render)
            else:
                yield f"{name}:\n{page_text(page)}"

    def _scan(self, name: str, page: Page, render: Callable[[int], PIL.Image.Image]) -> Iterator[Part]:
        if "image" not in self.taker.inputs and not self.options.ground:
            raise self.taker.refuse(f"{name}, which has no text", "image", "--ground reads it")
        if self.taker.instructed:
            yield f"{name}:"
        height = max(1, round(PAGE_WIDTH * page.height / page.width))
        yield from self._picture(Image(name, PAGE_WIDTH, height, lambda: render(PAGE_WIDTH)))

    def _video(self, video: Video) -> Iterator[Part]:
        spoken = list(self.transcribe(video.sound)) if video.sound is not None and self.transcribe is not None else []
        if "video" in self.taker.inputs:
            yield video
            if spoken:
                yield from self._spoken(video.source, spoken)
            return
        if self.taker.instructed:
            length = "" if video.seconds is None else f", {video.seconds:.3g} seconds long"
            yield f"{_name(video.source)}, a video{length}:"
        for time, frame in video.frames():
            if self.taker.instructed:
                while spoken and spoken[0].start <= time:
                    yield _line(spoken.pop(0))
                yield f"{clock(time)} it shows:"
            name = f"{video.source} at {clock(time)}"
            yield from self._picture(Image(name, *frame.size, frame.copy))
        if self.taker.instructed:
            yield from map(_line, spoken)
        else:
            yield from self._spoken(video.source, spoken)

    def _recording(self, audio: AudioSource) -> Iterator[Part]:
        if "audio" in self.taker.inputs:
            yield audio
            return
        if self.transcribe is None:
            raise ConfigError(f"{audio.source} cannot be heard, as the pipeline has no stt", "name a pipeline with stt")
        if "document" in self.taker.inputs:
            yield _transcript(audio.source, self.transcribe(audio))
        else:
            yield from self._spoken(audio.source, list(self.transcribe(audio)))

    def _spoken(self, source: str, segments: Sequence[Segment]) -> Iterator[Part]:
        if not self.taker.instructed:
            if segments:
                yield _transcript(source, segments)
            return
        lines = "\n".join(map(_line, segments)) or "Nothing is said in it."
        yield f"What is said in {_name(source)}:\n{lines}"


# ---------------------------------------------------------------- places


def place(text: str, fitted: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    """The parts of a question: attachment N where `{N}` stands, those that are not named before it, in their order.

    `{{N}}` is a literal `{N}`; other braces are what they are. UsageError for a number without an attachment.
    """
    named: set[int] = set()
    parts: list[Part] = []
    rest, end = "", 0
    for found in _PLACE.finditer(text):
        rest += text[end : found.start()]
        end = found.end()
        if found[1]:
            rest += found[0][1:-1]
            continue
        number = int(found[2])
        if not 1 <= number <= len(fitted):
            count = f"{len(fitted)} attachment{'' if len(fitted) == 1 else 's'}"
            raise UsageError(
                f"the question names attachment {found[0]}, and there are {count}", f"{{{found[0]}}} is taken literally"
            )
        parts += [rest.strip()] if rest.strip() else []
        parts += fitted[number - 1]
        named.add(number)
        rest = ""
    rest += text[end:]
    parts += [rest.strip()] if rest.strip() else []
    return (*(part for number, given in enumerate(fitted, 1) if number not in named for part in given), *parts)


# ---------------------------------------------------------------- pages


@dataclass(frozen=True, slots=True)
class Pages:
    """Which pages of documents are looked at, (first, last) each, all where there is none, and whether as pictures."""

    ranges: tuple[tuple[int, int | None], ...] = ()
    as_pictures: bool = False

    @classmethod
    def parse(cls, text: str | None) -> Pages:
        """From "1-3,7", "5-", "image" and such with commas between them. UsageError for anything else."""
        ranges: list[tuple[int, int | None]] = []
        as_pictures = False
        for item in (text or "").replace(" ", "").split(",") if text is not None else []:
            found = _RANGE.fullmatch(item)
            if item == "image":
                as_pictures = True
                continue
            first = int(found[1]) if found else 0
            last = None if found is None or found[2] == "" else int(found[2] or first)
            if first < 1 or (last is not None and last < first):
                raise UsageError(f'--pages "{item}": pages are given as in 1-3,7 or image')
            ranges.append((first, last))
        return cls(tuple(ranges), as_pictures)

    def of(self, document: Document) -> Document:
        """The document with these pages alone. InputError where it has not got them."""
        if not self.ranges or all(page is None for page in _renders(document)):
            return document
        most = max(last or first for first, last in self.ranges)
        if most > document.page_count:
            count = f"{document.page_count} page{'' if document.page_count == 1 else 's'}"
            raise InputError(document.source, f"has {count}, so there is no page {most}")

        def chosen(number: int) -> bool:
            return any(first <= number <= (last or number) for first, last in self.ranges)

        kept = sum(map(chosen, range(1, document.page_count + 1)))
        return replace(
            document, page_count=kept, pages=lambda: (page for page in document.pages() if chosen(page.number))
        )


def _renders(document: Document) -> Iterator[object]:
    """Whether its pages are those of a layout; a plain text is one page without."""
    if document.page_count > 1:
        yield True
        return
    yield from (page.render for page in document.pages())


def _written(page: Page) -> int:
    return sum(len(line.text) for line in page.lines)


def page_text(page: Page) -> str:
    """The text of a page in the order of its file: the lines of a plain text as they were, of a layout row by row."""
    rows: list[str] = []
    above: TextLine | None = None
    for line in page.lines:
        text = visible(line.text, keep="")
        if page.render is None:
            rows += [""] * (int(line.box[1]) - len(rows)) + [" " * int(line.box[0]) + text]
        elif above is not None and _beside(above, line):
            rows[-1] += f"  {text}"
        else:
            rows.append(text)
        above = line
    return "\n".join(rows)


def _beside(one: TextLine, other: TextLine) -> bool:
    """Whether a line goes on at the right of another, as the cells of a table do."""
    shared = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    height = min(one.box[3] - one.box[1], other.box[3] - other.box[1])
    return other.box[0] >= one.box[2] and shared > 0.5 * height


# ---------------------------------------------------------------- what is said, what is written


def clock(seconds: float) -> str:
    """A time in a recording, as in 0:07 or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _name(source: str) -> str:
    """What the model is told of a name: where a file lies on this machine is nothing that it needs."""
    return visible(PurePath(source).name or source, keep="")


def _line(segment: Segment) -> str:
    who = visible(segment.speaker, keep="") if segment.speaker else "someone"
    return f"{clock(segment.start)} {who} says: {visible(segment.text.strip(), keep='')}"


def _transcript(source: str, segments: Iterable[Segment]) -> Document:
    lines = tuple(
        TextLine(segment.text.strip(), (0.0, float(row), float(len(segment.text)), row + 1.0))
        for row, segment in enumerate(segments)
    )
    page = Page(1, max((line.box[2] for line in lines), default=0.0), float(len(lines)), lines)
    return Document(source, 1, lambda: iter([page]))


def _grounding(image: Image) -> str:
    """What recognition reads in a picture, each line with its place in thousandths of the picture's width and height."""
    from mmcli.media.ocr import shared

    picture = image.pixels()
    width, height = picture.size
    rows = []
    for line in shared().lines(picture):
        left, top, right, bottom = line.box
        box = (left / width, top / height, right / width, bottom / height)
        places = ",".join(str(round(min(1.0, max(0.0, share)) * 1000)) for share in box)
        rows.append(f"{places}: {visible(line.text, keep='')}")
    name = _name(image.source)
    if not rows:
        return f"No text is found in {name}."
    return "\n".join([f"Text found in {name}, with left,top,right,bottom in thousandths of the picture:", *rows])
