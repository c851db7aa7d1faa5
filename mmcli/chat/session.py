"""A conversation with its models: what can be done with both while it goes on. Nothing is shown here."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mmcli.catalogue import make_options
from mmcli.checks import check_installed
from mmcli.dialog import Dialog, Log, restored
from mmcli.engines import spec_of
from mmcli.errors import ConfigError, InputError, OutputError, UsageError, did_you_mean
from mmcli.history.records import MAX_BYTES, as_json, of_json
from mmcli.media.attachments import check_options, open_attachment
from mmcli.media.files import atomic_path, open_input, read_limited, source_name
from mmcli.options import AnswerOptions
from mmcli.pipeline import Cascade, build, check_turn, roles_for
from mmcli.stages import AudioSource, Document, Image, Turn, Video

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from mmcli.catalogue import Catalogue, PipelineSpec
    from mmcli.dialog import Exchange
    from mmcli.stages import Attachment, Done, Event

KINDS: dict[str, tuple[type[Attachment], ...]] = {
    "image": (Image,),
    "audio": (AudioSource,),
    "video": (Video,),
    "doc": (Document,),
    "attach": (Image, AudioSource, Video, Document),
}
_NAMES: dict[type[Any], str] = {Image: "picture", AudioSource: "recording", Video: "video", Document: "document"}


class Session:
    """A conversation that goes on, and the pipeline that answers in it."""

    def __init__(
        self, spec: PipelineSpec, catalogue: Catalogue, dialog: Dialog, log: Log, *, say: bool = False
    ) -> None:
        """Loads the models. Raises as `build`."""
        self.spec = spec
        self.catalogue = catalogue
        self.dialog = dialog
        self.log = log
        self.say = say
        self.pending: list[tuple[str, Attachment]] = []
        """Attachments that the next message takes along, with their names."""
        self._cascade: Cascade | None = None
        self.check(Turn(system=dialog.system))
        self._load(spec)

    # ---------------------------------------------------------------- models

    def _load(self, spec: PipelineSpec) -> None:
        """Build the pipeline; what it shares with the former one stays loaded, the rest is let go first."""
        former = dict(self._cascade.stages) if self._cascade is not None else {}
        if spec.options.get("runtime") != self.spec.options.get("runtime"):
            former = {}
        kept = {role: stage for role, stage in former.items() if spec.models.get(role) == self.spec.models.get(role)}
        former.clear()
        self._cascade = None
        given = [attachment for exchange in self.dialog.exchanges for attachment in exchange.turn.attachments]
        given += [attachment for _, attachment in self.pending]
        roles = roles_for(spec, self.catalogue, [], unknown=bool("stt" in kept or _sound(given)))
        built = build(spec, self.catalogue, (*roles, "tts") if self.say else roles, kept)
        assert isinstance(built, Cascade)
        self._cascade, self.spec = built, spec

    @property
    def cascade(self) -> Cascade:
        """The pipeline; loaded again where a change of models has failed."""
        if self._cascade is None:
            self._load(self.spec)
        assert self._cascade is not None
        return self._cascade

    @property
    def model(self) -> str:
        return self.spec.models["backbone"]

    @property
    def instructed(self) -> bool:
        """Whether a language model answers, whose texts are Markdown."""
        return spec_of(self.catalogue.model(self.model, "backbone")).instructed

    def swap(self, name: str) -> None:
        """Let another model answer from now on. What is wrong with it is raised, and the former one stays."""
        spec = self.spec.with_models({"backbone": name}, "/model")
        check_installed(self.catalogue.model(name, "backbone"))
        self.check(Turn(system=self.dialog.system), spec)
        self._load(spec)

    def check(self, turn: Turn, spec: PipelineSpec | None = None) -> None:
        """Refuse what the models could do nothing with. UsageError, InputError."""
        check_turn(spec or self.spec, self.catalogue, turn)

    def options(self) -> dict[str, Any]:
        """How the model answers now."""
        return dataclasses.asdict(make_options("backbone", self.spec.options.get("backbone", {}), self.spec.origins))

    def set_option(self, name: str, value: str) -> None:
        """Change an option of answering; "none" gives it back to the model. UsageError for one that makes no sense."""
        name = name.replace("-", "_").removeprefix("__")
        kinds = {field.name: str(field.type) for field in dataclasses.fields(AnswerOptions)}
        name = {"max_tokens": "max_new_tokens"}.get(name, name)
        if name not in kinds:
            raise UsageError(
                f'there is no option "{name}"', did_you_mean(name, kinds) or f"options: {', '.join(kinds)}"
            )
        given = {key: old for key, old in self.spec.options.get("backbone", {}).items() if key != name}
        if value.lower() != "none":
            given[name] = _value(name, value, kinds[name])
        origins = {**self.spec.origins, f"options.backbone.{name}": "/options"}
        spec = dataclasses.replace(self.spec, options={**self.spec.options, "backbone": given}, origins=origins)
        make_options("backbone", given, origins)
        self._load(spec)

    def set_system(self, text: str) -> None:
        """Tell the model something else before all. UsageError for one that takes no instructions."""
        self.check(Turn(system=text))
        self.dialog.system = text

    # ---------------------------------------------------------------- turns

    def attach(self, name: str, kind: str = "attach") -> Attachment:
        """Open an attachment for the next message. InputError for one that is of another kind."""
        options = make_options("attachments", self.spec.options.get("attachments", {}), self.spec.origins)
        check_options(options)
        attachment = open_attachment(name, options)
        if not isinstance(attachment, KINDS[kind]):
            what = _NAMES[type(attachment)]
            raise InputError(source_name(name), f"is a {what}, not a {_NAMES[KINDS[kind][0]]}", f"/attach {name}")
        self.check(Turn(attachments=(attachment,)))
        self.pending.append((attachment.source if "://" in name else name, attachment))
        return attachment

    def ask(self, text: str) -> Generator[Event, None, None]:
        """The events of the next turn, which takes along what is attached; logged when it is over."""
        turn = Turn(text, attachments=tuple(attachment for _, attachment in self.pending))
        self.check(dataclasses.replace(turn, system=self.dialog.system))
        if _sound(list(turn.attachments)) and self.cascade.stt is None:
            self._load(self.spec)
        names, self.pending = [name for name, _ in self.pending], []
        return self._asked(turn, names)

    def _asked(self, turn: Turn, names: list[str]) -> Generator[Event, None, None]:
        before = len(self.dialog.exchanges)
        try:
            yield from self.dialog.ask(self.cascade, turn, names)
        finally:
            self.log.add(self.dialog, self.dialog.exchanges[before:])

    def retry(self) -> Generator[Event, None, None]:
        """The events of the last turn asked again; its former answer stays where there is no new one."""
        last = self._undone()
        before = len(self.dialog.exchanges)
        try:
            yield from self.dialog.ask(self.cascade, last.turn, last.names)
        finally:
            if len(self.dialog.exchanges) == before:
                self.dialog.exchanges.append(last)
            else:
                self.log.undo()
                self.log.add(self.dialog, self.dialog.exchanges[-1:])

    def _undone(self) -> Exchange:
        last = self.dialog.undo()
        if last is None:
            raise UsageError("nothing has been said yet")
        return last

    def undo(self) -> Exchange:
        """Take the last turn back, out of the log too. UsageError where there is none."""
        last = self._undone()
        self.log.undo()
        return last

    def clear(self) -> None:
        """Begin anew, with the same system message."""
        self.dialog, self.pending = Dialog(self.dialog.system), []
        self.log.id = None

    def usage(self) -> tuple[Done | None, int, int]:
        """What the last answer took, and the tokens read and written in the whole conversation since it was opened."""
        done = [exchange.done for exchange in self.dialog.exchanges if exchange.done is not None]
        used = [each.usage for each in done if each.usage is not None]
        return done[-1] if done else None, sum(use.prompt for use in used), sum(use.answer for use in used)

    # ---------------------------------------------------------------- files

    def save(self, path: Path) -> None:
        """Write the conversation as JSON. OutputError for a file that exists and is none."""
        if path.exists():
            try:
                of_json(_text(path), source_name(path))
            except InputError as error:
                raise OutputError(
                    f"{source_name(path)}: exists and is no saved conversation", "name another file"
                ) from error
        record = self.dialog.record(self.log.id or "")
        with atomic_path(path) as aside:
            aside.chmod(0o600)
            aside.write_text(json.dumps(as_json(record), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def load(self, path: Path) -> list[str]:
        """Go on with a saved conversation, logged as a new one; the names of attachments that are no longer there.

        InputError for a file that is none.
        """
        record = of_json(_text(path), source_name(path))
        dialog, gone = restored(record, open_attachment)
        self.check(Turn(system=dialog.system))
        self.dialog, self.pending = dialog, []
        if _sound([given for exchange in dialog.exchanges for given in exchange.turn.attachments]):
            with suppress(ConfigError):  # then recordings are named in their place
                self._load(self.spec)
        self.log.id = None
        self.log.add(dialog, dialog.exchanges)
        return gone


def _text(path: Path) -> bytes:
    with open_input(path) as stream:
        return read_limited(stream, source_name(path), MAX_BYTES)


def _sound(attachments: list[Attachment]) -> bool:
    return any(
        isinstance(given, AudioSource) or (isinstance(given, Video) and given.sound is not None)
        for given in attachments
    )


def _value(name: str, text: str, kind: str) -> Any:
    """A typed value as TOML would have it; `kind` is the annotation of its option."""
    if kind.startswith("tuple"):
        return [text]
    try:
        return int(text) if "int" in kind else float(text) if "float" in kind else text
    except ValueError as error:
        raise UsageError(f"{name} is a number, not {text}") from error
