"""Pipelines out of the fakes: order of events, what flows, interruption, checks, provenance."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from mmcli.catalogue import Catalogue, read_catalogue
from mmcli.checks import best_installed, check, ready
from mmcli.errors import ConfigError, InputError, MissingModel, MissingPackage
from mmcli.media.audio import open_audio
from mmcli.media.image import open_image
from mmcli.pipeline import Cascade, EndToEnd, build
from mmcli.stages import Done, Heard, Said, Spoke, Turn


def _catalogue(tmp_path: Path, text: str) -> Catalogue:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return read_catalogue(file)


def _fake() -> Cascade:
    catalogue = read_catalogue()
    cascade = build(catalogue.pipeline("fake"), catalogue)
    assert isinstance(cascade, Cascade)
    return cascade


def test_a_turn_is_heard_answered_and_spoken(speech: Path, red: Path) -> None:
    events = list(_fake().run(Turn(audio=open_audio(speech), attachments=(open_image(red),))))
    heard = [event.segment.text for event in events if isinstance(event, Heard)]
    said = "".join(event.text for event in events if isinstance(event, Said))
    spoken = sum(event.audio.seconds for event in events if isinstance(event, Spoke))
    assert len(heard) == 3
    assert "red 250 green 10 blue 10" in said
    assert all(text in said for text in heard)
    assert spoken == pytest.approx(0.3 * len(said.split()))
    assert isinstance(events[-1], Done)
    assert [type(event) for event in events[:3]] == [Heard] * 3


def test_the_first_sound_comes_before_the_last_word_is_written(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, "[models.fake-backbone.settings]\ndelay_s = 0.02\n")
    cascade = build(catalogue.pipeline("fake"), catalogue)
    kinds = [type(event) for event in cascade.run(Turn(text="First sentence. Second sentence. Third one. A last one."))]
    assert kinds.index(Spoke) < len(kinds) - 1 - kinds[::-1].index(Said)


def test_provenance_names_models_options_and_times_and_is_json() -> None:
    *_, done = _fake().run(Turn(text="hello"))
    assert isinstance(done, Done)
    origin: Any = json.loads(json.dumps(done.provenance))
    assert origin["pipeline"] == "fake"
    assert origin["models"]["tts"]["name"] == "fake-tts"
    assert origin["models"]["tts"]["revision"]
    assert origin["options"]["tts"]["speed"] == 1.0
    assert {"load", "backbone", "tts", "first_text", "first_audio", "total"} <= set(origin["timings"])
    assert origin["timings"]["tts"] >= 0


def test_other_options_give_another_hash() -> None:
    catalogue = read_catalogue()
    spec = catalogue.pipeline("fake")
    one = build(spec, catalogue).origin["options_hash"]
    same = build(spec, catalogue).origin["options_hash"]
    other = build(spec.with_options("tts", {"speed": 2.0}, "flag"), catalogue).origin["options_hash"]
    assert one == same != other


def test_closing_a_run_stops_its_threads(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, "[models.fake-backbone.settings]\ndelay_s = 0.05\n")
    before = threading.active_count()
    events = build(catalogue.pipeline("fake"), catalogue).run(Turn(text="word " * 200))
    next(events)
    assert threading.active_count() > before
    events.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_exception_of_a_stage_reaches_the_caller_and_ends_the_others() -> None:
    cascade = _fake()

    def broken(*_: object) -> Iterator[str]:
        yield "One sentence. "
        raise InputError("picture", "is broken")

    cascade.backbone.answer = broken  # type: ignore[union-attr, method-assign, assignment]
    before = threading.active_count()
    with pytest.raises(InputError, match="picture: is broken"):
        list(cascade.run(Turn(text="hello")))
    assert threading.active_count() == before


def test_the_backbone_looks_at_the_attachments_while_the_question_is_still_heard(
    tmp_path: Path, speech: Path, red: Path
) -> None:
    catalogue = _catalogue(tmp_path, "[models.fake-stt.settings]\ndelay_s = 0.2\n")
    cascade = build(catalogue.pipeline("fake"), catalogue)
    assert isinstance(cascade, Cascade)
    looked = threading.Event()
    cascade.backbone.prepare = lambda parts: looked.set()  # type: ignore[union-attr, method-assign]
    events = cascade.run(Turn(audio=open_audio(speech), attachments=(open_image(red),)))
    assert isinstance(next(events), Heard)
    assert looked.is_set()
    events.close()  # type: ignore[attr-defined]


def test_a_broken_picture_is_told_before_the_question_is_over(tmp_path: Path, speech: Path) -> None:
    picture = tmp_path / "cut.png"
    PIL.Image.effect_noise((200, 200), 50).save(picture)
    picture.write_bytes(picture.read_bytes()[:9000])
    catalogue = read_catalogue()
    cascade = build(catalogue.pipeline("fake").with_models({"backbone": "reader"}, "test"), catalogue)
    with pytest.raises(InputError, match="damaged or cut off"):
        list(cascade.run(Turn(audio=open_audio(speech), attachments=(open_image(picture),))))


def test_a_recording_without_speech_is_an_error_for_a_question(data: Path) -> None:
    with pytest.raises(InputError, match="no speech was heard"):
        list(_fake().run(Turn(audio=open_audio(data / "x04_silence.wav"))))


def test_a_recording_among_the_attachments_is_read_as_its_transcript(speech: Path) -> None:
    events = _fake().run(Turn(text="what?", attachments=(open_audio(speech),)))
    said = "".join(event.text for event in events if isinstance(event, Said))
    assert "a document of 1 pages" in said


def test_a_pipeline_of_stt_alone_only_hears(speech: Path) -> None:
    catalogue = read_catalogue()
    cascade = build(catalogue.pipeline("fake"), catalogue, ("vad", "stt"))
    kinds = [type(event) for event in cascade.run(Turn(audio=open_audio(speech)))]
    assert kinds == [Heard, Heard, Heard, Done]


def test_without_a_backbone_what_was_heard_is_spoken(tmp_path: Path, speech: Path) -> None:
    catalogue = _catalogue(tmp_path, '[pipelines.parrot]\nvad = "fake-vad"\nstt = "fake-stt"\ntts = "fake-tts"\n')
    events = list(build(catalogue.pipeline("parrot"), catalogue).run(Turn(audio=open_audio(speech))))
    assert not any(isinstance(event, Said) for event in events)
    heard = " ".join(event.segment.text for event in events if isinstance(event, Heard))
    spoken = sum(event.audio.seconds for event in events if isinstance(event, Spoke))
    assert spoken == pytest.approx(0.3 * len(heard.split()))


def test_one_model_goes_from_speech_to_speech(speech: Path) -> None:
    catalogue = read_catalogue()
    model = build(catalogue.pipeline("fake-e2e"), catalogue)
    assert isinstance(model, EndToEnd)
    events = list(model.run(Turn(audio=open_audio(speech))))
    assert sum(event.audio.seconds for event in events if isinstance(event, Spoke)) == pytest.approx(7.0)
    assert "".join(event.text for event in events if isinstance(event, Said)) == "I heard 7.0 seconds."


def test_the_detector_may_be_left_out(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, '[pipelines.p]\nstt = "fake-stt"\noptions.vad.threshold = 0.7\n')
    spec = catalogue.pipeline("p")
    assert ready(spec, catalogue)
    assert build(spec, catalogue).origin["models"]["vad"]["name"] == "silero"


@pytest.mark.parametrize(
    "text, kind, words",
    [
        ('stt = "espeak"', ConfigError, '"espeak" has the role tts, not stt'),
        ('stt = "whisper-larg"', ConfigError, 'there is no model "whisper-larg"'),
        ('e2e = "fake-e2e"\ntts = "espeak"', ConfigError, "take out tts"),
        ('e2e = "fake-e2e"\nstt = "fake-stt"', ConfigError, "take out stt"),
        ('vad = "silero"', ConfigError, "names no model"),
        ('stt = "fake-stt"\noptions.tts.speed = 2', ConfigError, "has options for tts, but no tts"),
        ('tts = "odd"', ConfigError, 'there is no engine "espeek"; did you mean "espeak"?'),
        ('tts = "deaf"', ConfigError, "is for the role stt, not tts"),
        ('backbone = "mute"', ConfigError, "does not give text"),
        ('tts = "gone"', MissingPackage, "pip install no_such_package"),
        ('tts = "moved"', MissingModel, "there is no folder"),
        ('tts = "afar"', ConfigError, "is none of embedded:, path:"),
    ],
)
def test_a_pipeline_that_cannot_run_says_why_before_anything_loads(
    tmp_path: Path, text: str, kind: type[Exception], words: str
) -> None:
    def model(name: str, role: str, engine: str, source: str, more: str = "") -> str:
        table = f'[models.{name}]\nrole = "{role}"\nengine = "{engine}"\nsource = "{source}"\n'
        return table + (more or 'inputs = ["text"]\noutputs = ["audio"]\n')

    models = [
        model("odd", "tts", "espeek", "embedded:mmcli"),
        model("deaf", "tts", "fake-stt", "embedded:mmcli"),
        model("mute", "backbone", "fake-backbone", "embedded:mmcli", 'inputs = ["text"]\noutputs = ["audio"]\n'),
        model("gone", "tts", "fake-tts", "embedded:no_such_package"),
        model("moved", "tts", "fake-tts", f"path:{tmp_path}/none"),
        model("afar", "tts", "fake-tts", "ftp:somewhere"),
    ]
    catalogue = _catalogue(tmp_path, "".join(models) + f"[pipelines.p]\n{text}\n")
    spec = catalogue.pipeline("p")
    errors = [finding.error for finding in check(spec, catalogue) if finding.error is not None]
    assert isinstance(errors[0], kind)
    assert words in str(errors[0])
    assert not ready(spec, catalogue)
    with pytest.raises(kind):
        build(spec, catalogue)


def test_a_role_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, '[pipelines.p]\ntts = "fake-tts"\n')
    with pytest.raises(ConfigError, match='pipeline "p" has no stt'):
        build(catalogue.pipeline("p"), catalogue, ("vad", "stt"))


def test_an_unknown_setting_of_an_engine_is_told(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, "[models.fake-tts.settings]\ndelay = 1\n")
    with pytest.raises(ConfigError, match='unknown setting "delay"; did you mean "delay_s"'):
        build(catalogue.pipeline("fake"), catalogue)


def test_auto_takes_the_first_model_of_each_role_that_is_installed(tmp_path: Path) -> None:
    spec = best_installed(read_catalogue())
    assert spec.models == {"vad": "silero", "stt": "pocketsphinx", "backbone": "reader", "tts": "espeak"}
    missing = f'[models.espeak]\nsource = "path:{tmp_path}/none"\n'
    assert best_installed(_catalogue(tmp_path, missing)).models == {k: v for k, v in spec.models.items() if k != "tts"}


def test_auto_never_puts_a_fake_in_the_place_of_what_is_missing(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, f'[models.espeak]\nsource = "path:{tmp_path}/none"\n')
    with pytest.raises(ConfigError, match='pipeline "auto" has no tts'):
        build(best_installed(catalogue), catalogue, ("tts",))


def test_auto_can_be_the_users_own(tmp_path: Path) -> None:
    spec = best_installed(_catalogue(tmp_path, '[pipelines.auto]\ntts = "fake-tts"\n'))
    assert spec.models == {"tts": "fake-tts"}
