"""A session: which models stay loaded, what becomes of a turn that fails, answers that are spoken."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from mmcli import engines
from mmcli.catalogue import read_catalogue
from mmcli.chat.loop import Chat
from mmcli.chat.session import Session
from mmcli.chat.show import Plain
from mmcli.dialog import Dialog, Log
from mmcli.errors import ConfigError, EngineError, MmcliError
from mmcli.history.database import History

TWINS = "".join(
    f'[models.{name}]\nrole = "backbone"\nengine = "fake-backbone"\nsource = "embedded:mmcli"\n'
    f'inputs = ["text", "image"]\noutputs = ["text"]\nsettings = {settings}\n'
    for name, settings in (("one", "{}"), ("two", "{}"), ("broken", "{ nonsense = 1 }"))
)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "twins.toml").write_text(TWINS)
    catalogue = read_catalogue(tmp_path / "twins.toml")
    spec = catalogue.pipeline("fake").with_models({"backbone": "one"}, "test")
    return Session(spec, catalogue, Dialog(), Log(History(tmp_path / "history.db")))


def _ask(session: Session, text: str) -> str:
    return "".join(getattr(event, "text", "") for event in session.ask(text))


def test_models_that_are_still_needed_stay_and_others_are_let_go(session: Session, speech: Path) -> None:
    session.attach(str(speech))
    _ask(session, "what?")  # hears from now on
    hearing, backbone = session.cascade.stt, session.cascade.backbone
    session.set_option("max-tokens", "4")
    assert (session.cascade.stt, session.cascade.backbone) == (hearing, backbone)
    gone = weakref.ref(backbone)  # type: ignore[arg-type]
    del backbone
    session.swap("two")
    gc.collect()
    assert gone() is None
    assert session.cascade.stt is hearing
    assert _ask(session, "hello") == "You gave me the"


def test_no_two_models_are_in_memory_while_one_replaces_the_other(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = weakref.ref(session.cascade.backbone)  # type: ignore[arg-type]
    loaded = []

    def load(card: Any, runtime: Any) -> Any:
        gc.collect()
        loaded.append((card.name, alive()))
        return real(card, runtime)

    real = engines.load
    monkeypatch.setattr(engines, "load", load)
    session.swap("two")
    assert loaded == [("two", None)]


def test_a_model_that_cannot_be_loaded_leaves_the_former_one(session: Session) -> None:
    _ask(session, "before")
    with pytest.raises(ConfigError, match='unknown setting "nonsense"'):
        session.swap("broken")
    assert session.model == "one"
    assert _ask(session, "hello") == 'You gave me the text "hello".'
    assert len(session.dialog.exchanges) == 2


def test_a_retry_that_fails_leaves_the_former_answer(session: Session) -> None:
    _ask(session, "hello")
    before = session.dialog.record()

    def fail(*_: Any) -> Any:
        raise EngineError("it failed")
        yield

    session.cascade.backbone.answer = fail  # type: ignore[union-attr, method-assign]
    with pytest.raises(EngineError):
        list(session.retry())
    assert session.dialog.record() == before
    assert session.log.id is not None
    assert History(session.log.history.path).read(session.log.id).entries == before.entries  # type: ignore[union-attr]


def test_files_are_attached_all_or_none(session: Session, red: Path) -> None:
    chat = Chat(session, Plain)
    with pytest.raises(MmcliError, match="no such file"):
        chat.attach([str(red), "none.png"])
    assert session.pending == []


def test_answers_are_spoken_sentence_by_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = read_catalogue()
    session = Session(catalogue.pipeline("fake"), catalogue, Dialog(), Log(None), say=True)
    heard: list[float] = []

    def played(blocks: Any) -> Any:  # this machine may have no loudspeaker
        for block in blocks:
            heard.append(block.seconds)
            yield block

    monkeypatch.setattr("mmcli.media.playback.played", played)
    Chat(session, Plain).take("hello there")
    assert capsys.readouterr().out == 'You gave me the text "hello there".\n'
    assert sum(heard) == pytest.approx(0.3 * 7)
