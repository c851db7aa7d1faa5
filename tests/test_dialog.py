"""Conversations of many turns: what is told again, what is left out, what is kept of an answer that breaks off."""

from __future__ import annotations

import logging
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mmcli.catalogue import read_catalogue
from mmcli.dialog import Dialog, Log, restored
from mmcli.errors import ContextOverflow, EngineError
from mmcli.history.database import History
from mmcli.media.attachments import open_attachment
from mmcli.pipeline import build
from mmcli.stages import Conversation, Done, Image, Said, Turn

MODELS = """
[models.lm]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text", "image"]
outputs = ["text"]
settings = { context = 40 }
[models.seer]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text", "image"]
outputs = ["text"]
[models.texter]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text"]
outputs = ["text"]
[pipelines.lm]
vad = "fake-vad"
stt = "fake-stt"
backbone = "lm"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "lm.toml").write_text(MODELS)
    return tmp_path / "lm.toml"


class Heard:
    """A backbone that remembers what it was told; its answers are those of the fake one."""

    def __init__(self, pipeline: Any, broken_after: int = 99) -> None:
        self.told: list[Conversation] = []
        self._answer, self._broken_after = pipeline.backbone.answer, broken_after
        pipeline.backbone.answer = self.answer

    def answer(self, conversation: Conversation, options: Any) -> Any:
        self.told.append(conversation)
        for number, piece in enumerate(self._answer(conversation, options)):
            if number == self._broken_after:
                raise EngineError("it broke off")
            yield piece

    def roles(self, index: int = -1) -> str:
        return "".join(message.role[0] for message in self.told[index].messages)


def _pipeline(config: Path, model: str = "lm", **settings: Any) -> Any:
    catalogue = read_catalogue(config)
    return build(
        catalogue.pipeline("lm").with_models({"backbone": model}, "test"), catalogue, ("vad", "stt", "backbone")
    )


def _say(dialog: Dialog, pipeline: Any, text: str, *names: Path) -> str:
    turn = Turn(text, attachments=tuple(map(open_attachment, names)))
    events = list(dialog.ask(pipeline, turn, list(map(str, names))))
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Said))


def test_earlier_turns_are_told_again_with_the_same_pictures(config: Path, red: Path, speech: Path) -> None:
    pipeline = _pipeline(config, "seer")
    heard, dialog = Heard(pipeline), Dialog("Be short.")
    first = _say(dialog, pipeline, "What is {1}?", red, speech)
    _say(dialog, pipeline, "And now?")
    assert heard.roles(0) == "su"
    assert heard.roles() == "suau"
    system, question, answer, last = heard.told[1].messages
    assert (system.text, answer.text, last.parts) == ("Be short.", first, ("And now?",))
    assert question == heard.told[0].messages[1]
    pictures = [[part for part in told.messages[1].parts if isinstance(part, Image)] for told in heard.told]
    assert pictures[0][0] is pictures[1][0]


def test_what_another_model_cannot_take_is_named_in_its_place(config: Path, red: Path) -> None:
    dialog = Dialog()
    _say(dialog, _pipeline(config), "What is it?", red)
    pipeline = _pipeline(config, "texter")
    heard = Heard(pipeline)
    _say(dialog, pipeline, "And now?")
    assert heard.told[0].messages[0].parts == ("[red.png cannot be shown here]", "What is it?")


def test_the_oldest_turns_are_left_out_when_there_is_no_room(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    pipeline = _pipeline(config)
    heard, dialog = Heard(pipeline), Dialog("Be short.")
    for number in range(9):
        _say(dialog, pipeline, f"question {number}")
        told = heard.told[-1].messages
        assert sum(len(message.text.split()) for message in told) <= 40
        assert (told[0].text, told[-1].text) == ("Be short.", f"question {number}")
        assert heard.roles().lstrip("s") == "ua" * (len(told) // 2 - 1) + "u"
    assert len(dialog.exchanges) == 9
    assert caplog.messages[0].endswith("the oldest turn is no longer told")
    # As many turns fit as before, so each note tells of one; nothing is said of turns that stay out.
    assert sum("no longer told" in message for message in caplog.messages) == dialog.start


def test_a_quarter_is_left_out_at_once(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    long, short = _pipeline(config, "texter"), _pipeline(config)
    dialog = Dialog()
    for number in range(12):
        _say(dialog, long, f"question {number}")
    heard = Heard(short)
    _say(dialog, short, "question 12")
    # 12 turns, then 9, 7, 6, 5, 4, 3: the first that fits is answered
    assert [len(told.messages) // 2 for told in heard.told] == [12, 9, 7, 6, 5, 4]
    assert caplog.messages == [
        "the model has no room for all of the conversation: the 8 oldest turns are no longer told"
    ]


def test_a_question_that_has_no_room_at_all_is_an_error_and_forgets_nothing(config: Path) -> None:
    pipeline, dialog = _pipeline(config), Dialog()
    _say(dialog, pipeline, "short")
    with pytest.raises(ContextOverflow, match="the question: has 41 words"):
        _say(dialog, pipeline, "word " * 41)
    assert (len(dialog.exchanges), dialog.start) == (1, 0)


def test_an_answer_that_is_stopped_or_breaks_is_kept_and_marked(config: Path) -> None:
    pipeline, dialog = _pipeline(config), Dialog()
    with closing(dialog.ask(pipeline, Turn("stop me"))) as events:
        assert [next(events) for _ in range(3)] == [Said("You"), Said(" gave"), Said(" me")]
    assert [(each.answer, each.interrupted) for each in dialog.exchanges] == [("You gave me", True)]
    Heard(pipeline, broken_after=2)
    with pytest.raises(EngineError):
        list(dialog.ask(pipeline, Turn("break")))
    assert [(each.answer, each.interrupted) for each in dialog.exchanges[1:]] == [("You gave", True)]
    Heard(pipeline, broken_after=0)
    with pytest.raises(EngineError):
        list(dialog.ask(pipeline, Turn("say nothing")))
    assert len(dialog.exchanges) == 2


def test_a_spoken_turn_is_told_again_as_text(config: Path, speech: Path) -> None:
    from mmcli.media.audio import open_audio

    pipeline, dialog = _pipeline(config), Dialog()
    list(dialog.ask(pipeline, Turn(audio=open_audio(speech))))
    assert dialog.exchanges[0].turn.audio is None
    assert dialog.exchanges[0].turn.text.startswith("window 1 of")


# ---------------------------------------------------------------- going on


def test_a_conversation_goes_on_from_its_record_with_the_files_that_are_the_same(
    config: Path, red: Path, tmp_path: Path
) -> None:
    other, gone = tmp_path / "other.png", tmp_path / "gone.png"
    for path in (other, gone):
        shutil.copy(red, path)
    pipeline, dialog = _pipeline(config, "seer"), Dialog("Be short.")
    first = _say(dialog, pipeline, "Is {1} in {2} or {3} or {{1}}?", gone, red, other)
    gone.unlink()
    with other.open("ab") as file:
        file.write(b"more")
    again, missing = restored(dialog.record("abc"), open_attachment)
    assert missing == [str(gone), str(other)]
    (exchange,) = again.exchanges
    assert exchange.turn.text == f"Is {gone} in {{1}} or {other} or {{{{1}}}}?"
    assert [attachment.source for attachment in exchange.turn.attachments] == [str(red)]
    assert (again.system, exchange.answer) == ("Be short.", first)
    assert again.record("abc") == dialog.record("abc")


def test_a_log_that_cannot_be_written_is_told_once(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history.db").write_bytes(b"x" * 5000)
    pipeline, dialog, log = _pipeline(config), Dialog(), Log(History(tmp_path / "history.db"))
    for text in ("one", "two"):
        _say(dialog, pipeline, text)
        log.add(dialog, dialog.exchanges[-1:])
    log.undo()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("this conversation is not logged: ")


def test_a_log_follows_what_is_said_and_taken_back(config: Path, tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    pipeline, dialog, log = _pipeline(config), Dialog(), Log(history)
    for text in ("one", "two"):
        _say(dialog, pipeline, text)
        log.add(dialog, dialog.exchanges[-1:])
    assert log.id is not None
    assert history.read(log.id).entries == dialog.record().entries
    dialog.undo()
    log.undo()
    assert history.read(log.id).entries == dialog.record().entries
    answer = dialog.record().entries[1]
    assert (answer.model, answer.pipeline, len(answer.provenance)) == ("lm", "lm", 16)
