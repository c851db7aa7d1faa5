"""What is sent to a chat server, and what is made of answers that come well, in other forms, wrongly, late or never."""

from __future__ import annotations

import base64
import gc
import io
import itertools
import json
import logging
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.engines import served
from mmcli.engines.answers import until
from mmcli.errors import ConfigError, ContextOverflow, EngineError, InputError, MissingModel, UsageError
from mmcli.media.audio import open_audio
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions
from mmcli.stages import Conversation, Document, Image, Message, Part, Usage
from tests.engines.backbone.chat_server import Asked, ChatServer, Reply, chat_server, delta, event, refusal, said

PLAIN = AnswerOptions()
SCHEMA = '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"], "additionalProperties": false}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    # How long it waits between tries is tested elsewhere.
    monkeypatch.setattr(served, "_LONGEST_PAUSE_S", 0.01)
    with chat_server() as state:
        yield state


def _card(server: ChatServer, **settings: Any) -> ModelCard:
    return ModelCard("far", "backbone", "openai", server.url, settings={"model": "tiny", **settings})


def _ask(server: ChatServer, *parts: Part, options: AnswerOptions = PLAIN, **settings: Any) -> list[str | Usage]:
    conversation = Conversation((Message("user", parts or ("How far is it?",)),))
    return list(engines.load(_card(server, **settings)).answer(conversation, options))


def _came(server: ChatServer, **settings: Any) -> tuple[str, Exception]:
    """What came before the error, and the error."""
    came: list[Any] = []
    pieces = engines.load(_card(server, **settings)).answer(Conversation((Message("user", ("How far?",)),)), PLAIN)
    with pytest.raises(EngineError) as caught:
        came.extend(pieces)
    assert "\n" not in str(caught.value)
    return "".join(came), caught.value


# ---------------------------------------------------------------- what is sent


def test_every_option_has_its_field(server: ChatServer) -> None:
    options = AnswerOptions(
        max_new_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        repetition_penalty=1.1,
        seed=4,
        stop=("END",),
        schema=SCHEMA,
    )
    server.answer = lambda asked: Reply(said('{"total": ', "7}"))
    assert _ask(server, options=options) == ['{"total": ', "7}"]
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "How far is it?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "repeat_penalty": 1.1,
        "seed": 4,
        "stop": ["END"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": json.loads(SCHEMA), "strict": True},
        },
    }


def test_nothing_is_sent_that_was_not_asked_for(server: ChatServer) -> None:
    _ask(server)
    assert set(server.asked[0].body) == {"model", "messages", "stream", "stream_options", "max_tokens"}
    assert "Authorization" not in server.asked[0].headers


def test_a_schema_with_room_for_more_is_not_called_strict(server: ChatServer) -> None:
    server.answer = lambda asked: Reply(said('{"total": 7, "more": 8}'))
    loose = SCHEMA.replace(', "additionalProperties": false', "")
    assert _ask(server, options=replace(PLAIN, schema=loose))
    assert server.asked[0].body["response_format"]["json_schema"]["strict"] is False


def _decoded(part: dict[str, Any]) -> PIL.Image.Image:
    kind, _, data = part["image_url"]["url"].partition(";base64,")
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{str(picture.format).lower()}"
    return picture


@pytest.mark.parametrize(
    "detail, size, named", [(None, (2048, 1536), None), ("low", (512, 384), "low"), ("high", (2048, 1536), "high"), ("100", (100, 75), None)]
)  # fmt: skip
def test_a_photo_goes_there_as_a_jpeg_without_its_own_facts(
    server: ChatServer, tmp_path: Path, detail: str | None, size: tuple[int, int], named: str | None
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x010E] = "taken at home"
    path = tmp_path / "photo.jpg"
    PIL.Image.fromarray(noise).resize((2400, 1800)).save(path, exif=exif)
    _ask(server, open_image(path), "What is it?", options=replace(PLAIN, detail=detail))
    picture, question = server.asked[0].body["messages"][0]["content"]
    assert question == {"type": "text", "text": "What is it?"}
    assert picture["image_url"].get("detail") == named
    sent = _decoded(picture)
    assert (sent.format, sent.size, len(sent.getexif())) == ("JPEG", size, 0)


def test_a_drawing_goes_there_without_loss_and_is_made_no_larger(server: ChatServer, red: Path) -> None:
    _ask(server, open_image(red), "What is it?", options=replace(PLAIN, detail="high"))
    sent = _decoded(server.asked[0].body["messages"][0]["content"][0])
    assert (sent.format, sent.size, sent.getpixel((5, 5))) == ("PNG", (60, 40), (250, 10, 10))


def test_a_picture_is_made_ready_once(server: ChatServer, red: Path) -> None:
    opened, decoded = open_image(red), []
    picture = Image(opened.source, 60, 40, lambda: decoded.append(1) or opened.pixels())
    backbone = engines.load(_card(server))
    backbone.prepare(("text", picture))
    assert decoded == [1]
    for _ in range(2):
        list(backbone.answer(Conversation((Message("user", (picture, "What is it?")),)), PLAIN))
    assert decoded == [1]


def test_a_recording_goes_there_as_a_wav(server: ChatServer, speech: Path) -> None:
    _ask(server, open_audio(speech), "What is it?")  # type: ignore[arg-type]
    (sound, _) = server.asked[0].body["messages"][0]["content"]
    assert (sound["type"], sound["input_audio"]["format"]) == ("input_audio", "wav")
    with wave.open(io.BytesIO(base64.b64decode(sound["input_audio"]["data"]))) as file:
        assert (file.getframerate(), file.getnframes()) == (16000, 7 * 16000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples).max() == pytest.approx(0.5 * 32767, rel=0.01)


def test_what_cannot_go_there_is_one_line(server: ChatServer, red: Path) -> None:
    with pytest.raises(InputError, match="report: goes to no server as a document"):
        _ask(server, Document("report", 1, lambda: iter([])))
    with pytest.raises(UsageError, match="low, high or a number of pixels"):
        _ask(server, open_image(red), options=replace(PLAIN, detail="fine"))
    for schema in ("{", "[]", '{"type": 7}'):
        with pytest.raises(UsageError, match="the schema is no"):
            _ask(server, options=replace(PLAIN, schema=schema))
    assert server.asked == []


# ---------------------------------------------------------------- what comes back


def test_a_stream_is_read_whatever_its_pieces(server: ChatServer) -> None:
    text = ["Grüße ", "aus 東京\u2028", '"🙂"', "\r\n."]
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8}}
    whole = b"".join([b": hello\n\n", *said(*text, usage=usage)]).replace(b"\n\n", b"\r\n\r\n: alive\r\n\r\n", 2)  # type: ignore[list-item]
    for size in (1, 7, len(whole)):
        server.answer = (
            lambda asked, size=size: Reply(  # type: ignore[misc]
                whole[start : start + size] for start in range(0, len(whole), size)
            )
        )
        assert _ask(server) == [*text, Usage(9, 4, cached=8, finish="stop")]


def test_pieces_come_as_they_are_written(server: ChatServer) -> None:
    server.answer = lambda asked: Reply([delta("first"), "hang"])
    pieces = engines.load(_card(server)).answer(Conversation((Message("user", ("?",)),)), PLAIN)
    assert next(pieces) == "first"
    pieces.close()


@pytest.mark.parametrize(
    "chunks",
    [
        [delta("Good "), delta("day.", "stop")],
        [delta("Good "), delta(reasoning_content="hm"), delta([{"type": "text", "text": "day."}], "stop"), b"data: [DONE]\n\n"],
        [event({"id": "no choices"}), delta("Good "), event({"choices": []}), delta("day."), delta(finish="eos")],
        [delta("Good "), delta(refusal="day."), delta(finish="stop"), b"data: [DONE]\n\n", b"data: garbage\n\n"],
    ],
)  # fmt: skip
def test_streams_of_other_servers_are_understood(server: ChatServer, chunks: list[bytes | str]) -> None:
    server.answer = lambda asked: Reply(chunks)
    assert _ask(server) == ["Good ", "day."]


def test_an_answer_that_comes_at_once_is_taken(server: ChatServer) -> None:
    whole = {
        "choices": [{"message": {"role": "assistant", "content": "Good day."}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    server.answer = lambda asked: Reply([json.dumps(whole).encode()], kind="application/json; charset=utf-8")
    assert _ask(server) == ["Good day.", Usage(3, 2, finish="length")]


def test_what_a_server_has_not_is_left_out_from_then_on(server: ChatServer) -> None:
    def picky(asked: Asked) -> Reply:
        if "stream_options" in asked.body:
            return refusal(422, "Extra inputs are not permitted: stream_options")
        if "max_tokens" in asked.body:
            return refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if asked.body["response_format"]["type"] == "json_schema":
            return refusal(500, "1 validation error: response_format: Input should be 'json_object'")
        return Reply(said('{"total": 7}'))

    server.answer = picky
    backbone = engines.load(_card(server))
    for tries in (4, 5):
        options = replace(PLAIN, max_new_tokens=9, schema=SCHEMA)
        assert list(backbone.answer(Conversation((Message("user", ("?",)),)), options)) == ['{"total": 7}']
        assert len(server.asked) == tries
    assert server.asked[-1].body["max_completion_tokens"] == 9
    assert server.asked[-1].body["response_format"] == {"type": "json_object", "schema": json.loads(SCHEMA)}


def test_a_server_that_does_not_stream_is_asked_for_the_whole(server: ChatServer) -> None:
    whole = b'{"choices": [{"message": {"content": "Good day."}, "finish_reason": "stop"}]}'
    server.answer = lambda asked: (
        refusal(400, "stream is not supported") if "stream" in asked.body else Reply([whole], kind="application/json")
    )
    assert _ask(server) == ["Good day."]
    assert "stream_options" not in server.asked[-1].body


def test_an_option_that_is_refused_is_named(server: ChatServer) -> None:
    server.answer = lambda asked: refusal(400, "Unrecognized request argument supplied: top_k")
    with pytest.raises(UsageError, match=r"refuses --top-k \(Unrecognized.*leave it out"):
        _ask(server, options=replace(PLAIN, top_k=3, seed=1))
    assert len(server.asked) == 1
    with pytest.raises(EngineError, match="it answers 400: Unrecognized"):
        _ask(server)


# ---------------------------------------------------------------- stop strings and schemas


@pytest.mark.parametrize(
    "pieces, stop, told",
    [
        (["Good day. EN", "D more"], ("END",), "Good day. "),
        (["a", "b", "a", "b", "c", "d"], ("abc",), "ab"),
        (["Good ", "day."], ("dayx", "."), "Good day"),
        (["Good da"], ("day",), "Good da"),
        (["xyz"], ("z", "y"), "x"),
        (["Good ", "day."], ("",), "Good day."),
    ],
)
def test_an_answer_ends_before_the_first_stop_string(pieces: list[str], stop: tuple[str, ...], told: str) -> None:
    assert "".join(p for p in until(iter(pieces), stop) if isinstance(p, str)) == told


def test_a_server_that_does_not_stop_is_left(server: ChatServer) -> None:
    server.answer = lambda asked: Reply(itertools.chain([delta("one STOP")], itertools.repeat(delta(" more"))))
    assert _ask(server, options=replace(PLAIN, stop=("STOP",))) == ["one "]
    assert server.gone.wait(30)


def test_what_was_held_back_before_an_error_is_told(server: ChatServer) -> None:
    server.answer = lambda asked: Reply([delta("seven ST"), "drop"])
    came: list[Any] = []
    pieces = engines.load(_card(server)).answer(
        Conversation((Message("user", ("?",)),)), replace(PLAIN, stop=("STOP",))
    )
    with pytest.raises(EngineError):
        came.extend(pieces)
    assert came == ["seven ", "ST"]


@pytest.mark.parametrize(
    "text, finish, why",
    [
        ("It is seven.", "stop", "the answer is no JSON"),
        ('{"total": "seven"}', "stop", r"does not allow the answer: \$\.total: 'seven' is not of type 'number'"),
        ("{}", "stop", "'total' is a required property"),
        ('{"total": 7', "length", "cut off before its document was whole; allow it more --max-tokens"),
    ],
)
def test_an_answer_that_the_schema_does_not_allow_is_an_error(
    server: ChatServer, text: str, finish: str, why: str
) -> None:
    server.answer = lambda asked: Reply(said(text, finish=finish))
    with pytest.raises(EngineError, match=why):
        _ask(server, options=replace(PLAIN, schema=SCHEMA))


def test_a_schema_fetches_nothing(server: ChatServer) -> None:
    server.answer = lambda asked: Reply(said("{}"))
    with pytest.raises(UsageError, match="refers to what is not in it"):
        _ask(server, options=replace(PLAIN, schema=json.dumps({"$ref": f"{server.url}/other.json"})))
    assert [asked.method for asked in server.asked] == ["POST"]


# ---------------------------------------------------------------- what goes wrong


def test_a_backbone_that_is_let_go_leaves_no_connection(server: ChatServer) -> None:
    backbone = engines.load(_card(server))
    list(backbone.answer(Conversation((Message("user", ("?",)),)), PLAIN))
    client = backbone.server._client
    assert not client.is_closed
    del backbone
    gc.collect()
    assert client.is_closed


def test_closing_closes_the_connection_at_once(server: ChatServer) -> None:
    server.answer = lambda asked: Reply(itertools.repeat(delta("more ")))
    pieces = engines.load(_card(server)).answer(Conversation((Message("user", ("?",)),)), PLAIN)
    assert next(pieces) == "more "
    assert not server.gone.is_set()
    pieces.close()
    assert server.gone.wait(30)


@pytest.mark.parametrize(
    "chunks, why",
    [
        ([delta("Good "), "drop"], "without sending complete message body"),
        ([delta("Good ")], "broke off before the end of its answer"),
        ([delta("Good "), b"data: {gar\n\n"], "its answer is no chat completion"),
        ([delta("Good "), event({"error": "out of\n memory"})], "it reports out of memory"),
        ([delta("Good "), event({"error": {"message": "overloaded"}})], "it reports overloaded"),
        ([delta("Good "), delta(finish="content_filter")], "its filter does not allow the answer"),
        ([delta("Good "), "hang"], "no answer within 0.3 s"),
        ([delta("Good "), delta(["x" * 100_000] * 11)], "longer than 1 MB"),
    ],
)
def test_what_came_before_an_error_stays_and_nothing_is_asked_again(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, chunks: list[bytes | str], why: str
) -> None:
    monkeypatch.setattr(served, "MAX_ANSWER_BYTES", 1 << 20)
    server.answer = lambda asked: Reply(chunks)
    came, error = _came(server, timeout_s=0.3)
    assert came == "Good "
    assert why in str(error)
    assert len(server.asked) == 1


def test_signs_of_life_alone_are_silence(server: ChatServer) -> None:
    def alive() -> Iterator[bytes]:
        while not server.over.is_set():
            yield b": alive\n\n"
            time.sleep(0.02)

    server.answer = lambda asked: Reply(alive())
    _, error = _came(server, timeout_s=0.2, retries=0)
    assert "nothing but signs of life for 0.2 s" in str(error)


@pytest.mark.parametrize(
    "reply, why",
    [
        (Reply([b"<html>hi</html>"], kind="text/html"), "its answer is text/html, not a chat completion"),
        (Reply([b"{}"], kind=""), "its answer is of no type"),
        (Reply([b"[1]"], kind="application/json"), "its answer is no chat completion"),
        (Reply([b"{}"], kind="application/json"), "its answer is no chat completion"),
        (Reply([b"[" * 100_000], kind="application/json"), "its answer is no chat completion"),
        (Reply([b"data: \xff\n\n"]), "its answer is no chat completion"),
        (Reply([b"hello\n\n"]), "its answer is no chat completion"),
        (Reply([b"x"], headers={"Content-Encoding": "gzip"}), "its answer is packed (gzip)"),
        (Reply([delta(reasoning="hm", finish="length")]), "has spent all of 1024 tokens on thinking"),
        (Reply([], 307, headers={"Location": "http://198.51.100.7/v1"}), "sends on to 198.51.100.7, which is not followed"),
        (Reply([b"secret"], 418, "text/plain"), "it answers 418"),
        (refusal(401, "no\x1b[31m such key"), "refuses access (401: no\x1b[31m such key); set OPENAI_API_KEY"),
        (refusal(403, "not yours"), "refuses access (403: not yours)"),
        (Reply([b'{"detail": [{"msg": "required", "loc": ["body"]}]}'], 422), "it answers 422: required ['body']"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_one_line_at_once(server: ChatServer, reply: Reply, why: str) -> None:
    server.answer = lambda asked: reply
    came, error = _came(server)
    assert came == ""
    assert why in str(error)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_a_server_in_trouble_is_asked_again(server: ChatServer, status: int) -> None:
    server.answer = lambda asked: refusal(status, "later", **{"Retry-After": "0"})
    _, error = _came(server)
    assert f"{status}: later" in str(error)
    assert len(server.asked) == 4
    answers = [refusal(status, "later"), Reply(["drop"]), Reply([delta(role="assistant"), "drop"]), Reply(said("Yes."))]
    server.asked.clear()
    server.answer = lambda asked: answers[len(server.asked) - 1]
    assert _ask(server) == ["Yes."]


def test_a_server_that_says_nothing_has_its_time_once(server: ChatServer) -> None:
    server.answer = lambda asked: Reply([b": alive\n\n", "hang"])
    came, error = _came(server, timeout_s=0.2)
    assert (came, len(server.asked)) == ("", 1)
    assert "no answer within 0.2 s" in str(error)


def test_a_long_wait_is_told_of(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("mmcli").propagate = True
    slept: list[float] = []
    monkeypatch.setattr(served, "_LONGEST_PAUSE_S", 30.0)
    monkeypatch.setattr(served.time, "sleep", slept.append)
    server.answer = lambda asked: refusal(429, "later", **{"Retry-After": "12"})
    _came(server, retries=1)
    assert slept == [12.0]
    assert "wants to be asked again in 12 s (429)" in caplog.text


def test_a_server_that_is_not_there_is_one_line(server: ChatServer) -> None:
    card = replace(_card(server, retries=0), source="http://127.0.0.1:9/v1")
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9 did not answer: .*refused; is it running"):
        list(engines.load(card).answer(Conversation((Message("user", ("?",)),)), PLAIN))


def _lists(*names: str) -> Callable[[Asked], Reply]:
    listed = Reply([json.dumps({"data": [{"id": name} for name in names]}).encode()], kind="application/json")
    return lambda asked: listed if asked.method == "GET" else refusal(404, "no such model")


def test_an_unknown_model_is_answered_with_those_there_are(server: ChatServer) -> None:
    server.answer = _lists("one", "two")
    with pytest.raises(
        MissingModel, match=r'has no model "tiny" \(no such model\); it has one, two; correct'
    ) as caught:
        _ask(server)
    assert caught.value.exit_code == 4
    server.answer = lambda asked: refusal(404, "nothing here")
    with pytest.raises(MissingModel, match="or no chat"):
        _ask(server)


def test_the_only_model_of_a_server_needs_no_name(server: ChatServer) -> None:
    listed = _lists("alone")
    server.answer = lambda asked: listed(asked) if asked.method == "GET" else Reply(said("Yes."))
    assert _ask(server, model="") == ["Yes."]
    assert server.asked[-1].body["model"] == "alone"
    server.answer = _lists("one", "two")
    with pytest.raises(ConfigError, match="no model is named, and it has one, two"):
        _ask(server, model="")


# ---------------------------------------------------------------- keys


def test_a_key_goes_to_its_server_and_nowhere_else(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    monkeypatch.setenv("MY_KEY", "sk-second")
    logging.getLogger("mmcli").propagate = True
    with caplog.at_level(logging.DEBUG):
        _ask(server)
        _ask(server, api_key_env="MY_KEY")
        assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer sk-first", "Bearer sk-second"]
        with chat_server() as other:
            server.answer = lambda asked: Reply([], 302, headers={"Location": other.url + "/chat/completions"})
            _, error = _came(server)
            assert other.asked == []
        server.answer = lambda asked: refusal(401, "wrong")
        _, refused = _came(server, api_key_env="MY_KEY")
    assert "correct MY_KEY" in str(refused)
    assert "sk-" not in caplog.text + str(error) + str(refused) + repr(refused)
    with pytest.raises(ConfigError, match="NOT_THERE is not set"):
        _ask(server, api_key_env="NOT_THERE")


def test_a_way_that_others_can_read_is_told_once(server: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("mmcli").propagate = True
    card = _card(server)
    engines.load(card)
    assert caplog.text == ""
    engines.load(replace(card, source="http://198.51.100.7/v1"))
    assert "198.51.100.7: what is asked goes there over http, which anybody on the way can read" in caplog.text


def test_no_proxy_stands_between_this_machine_and_itself(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert _ask(server) == ["Good ", "day."]


# ---------------------------------------------------------------- through the commands


def test_an_answer_through_the_command(
    server: ChatServer, mmcli: Callable[..., Any], tmp_path: Path, red: Path
) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-secret"}
    listed = _lists("tiny")
    server.answer = lambda asked: listed(asked) if asked.method == "GET" else Reply(said("It is ", "red\x1b[31m."))
    added = mmcli("models", "add", "far", server.url + "/", env=home)
    assert (added.code, len(added.notes)) == (0, 1), added.err
    assert "sk-secret" not in (tmp_path / "mmcli" / "config.toml").read_text()
    answered = mmcli("ask", "What colour?", "-a", red, "-m", "far", env=home)
    assert (answered.code, answered.out, answered.err) == (0, "It is red[31m.\n", "")
    assert [part["type"] for part in server.asked[-1].body["messages"][0]["content"]] == ["image_url", "text"]
    record = mmcli("ask", "What colour?", "-m", "far", "--json", env=home)
    assert json.loads(record.out)["provenance"]["models"]["backbone"]["settings"] == {"model": "tiny"}
    assert "sk-secret" not in record.out
    server.answer = lambda asked: Reply([delta("It is "), "drop"])
    cut = mmcli("ask", "What colour?", "-m", "far", env=home)
    assert (cut.code, cut.out, len(cut.notes)) == (1, "It is ", 1)
    auto = mmcli("pipelines", "show", "auto", env=home)
    assert "far" not in auto.out


def test_a_server_of_several_models_is_named_with_one(
    server: ChatServer, mmcli: Callable[..., Any], tmp_path: Path
) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    server.answer = _lists("one", "two")
    several = mmcli("models", "add", "far", server.url, env=home)
    assert (several.code, "has 2 models: one, two; --server-model MODEL" in several.err) == (2, True)
    misspelt = mmcli("models", "add", "far", server.url, "--server-model", "onee", env=home)
    assert (misspelt.code, 'did you mean "one"?' in misspelt.err) == (0, True)
    named = mmcli("models", "add", "far", server.url, "--server-model", "two", "--input", "text", "--force", env=home)
    assert named.code == 0, named.err
    (tmp_path / "far.toml").write_text('[pipelines.far]\nbackbone = "far"\n')
    checked = mmcli("pipelines", "check", "far", "--config", tmp_path / "far.toml", env=home)
    assert (checked.code, "answers and lists two" in checked.out) == (0, True), checked.err
    shown = json.loads(mmcli("models", "show", "far", "--json", env=home).out)
    assert (shown["inputs"], shown["state"], shown["settings"]) == (["text"], "on a server", {"model": "two"})


@pytest.mark.parametrize(
    "args, why",
    [
        (["far", "URL", "--role", "vad"], "no engine asks a server for vad"),
        (["far", "URL", "--engine", "reader"], "engine reader asks no server"),
        (["far", "URL#tiny"], "no base of an API"),
        (["far", ".", "--server-model", "x"], "--server-model is for a server"),
        (["far", "URL", "--input", "imag"], 'did you mean "image"?'),
    ],
)
def test_an_entry_that_makes_no_sense_is_one_line(
    server: ChatServer, mmcli: Callable[..., Any], args: list[str], why: str
) -> None:
    ended = mmcli("models", "add", *(arg.replace("URL", server.url) for arg in args))
    assert (ended.code, len(ended.notes), why in ended.err) == (2, 1, True), ended.err


def test_an_address_is_no_name_of_a_model(server: ChatServer, mmcli: Callable[..., Any]) -> None:
    ended = mmcli("ask", "Hello?", "-m", server.url)
    assert (ended.code, f"mmcli models add MYNAME {server.url}" in ended.err) == (2, True)


@pytest.mark.parametrize(
    "status, message",
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
        (400, "the request exceeds the available context size, try increasing it"),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"),
        (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
    ],
)
def test_what_is_too_long_for_the_model_is_told_apart(server: ChatServer, status: int, message: str) -> None:
    server.answer = lambda asked: refusal(status, message)
    with pytest.raises(ContextOverflow, match="the question: is too long for model"):
        _ask(server)
    assert len(server.asked) == 1
