"""Transcription by a server: a real HTTP server on loopback that answers well, in other forms, wrongly, late or never."""

from __future__ import annotations

import io
import json
import logging
import threading
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from mmcli import engines, store
from mmcli.catalogue import ModelCard
from mmcli.engines import served
from mmcli.engines.stt.openai_stt import OpenAiTranscriber
from mmcli.errors import ConfigError, EngineError, MissingModel, UsageError
from mmcli.options import TranscribeOptions
from mmcli.stages import Audio, Segment, Transcriber, Window

PLAIN = TranscribeOptions()
WORDS = replace(PLAIN, word_timestamps=True)
VERBOSE = {
    "text": "The harbour is near. Go on.",
    "language": "english",
    "segments": [
        {"start": 0.1, "end": 0.9, "text": " The harbour is near."},
        {"start": 1.0, "end": 99.0, "text": " Go on."},
    ],
    "words": [
        {"word": "The", "start": 0.1, "end": 0.2},
        {"word": "harbour", "start": 0.2, "end": 0.5},
        {"word": "is", "start": 0.5, "end": 0.6},
        {"word": "near", "start": 0.6, "end": 0.9},
        {"word": "Go", "start": 1.0, "end": 1.1},
        {"word": "on", "start": 1.1, "end": 1.3},
    ],
}


@dataclass
class Asked:
    path: str
    key: str | None
    fields: dict[str, list[str]]
    sound: tuple[int, np.ndarray]


Answer = tuple[int, bytes] | tuple[int, bytes, dict[str, str]] | str


@dataclass
class Server:
    """`answer(asked)` gives status, body and headers, or "hang" or "drop"."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Answer] = lambda asked: (200, json.dumps(VERBOSE).encode())
    released: threading.Event = field(default_factory=threading.Event)


def _parts(content_type: str, body: bytes) -> list[Message]:
    parsed = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    return list(parsed.iter_parts())  # type: ignore[attr-defined]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields: dict[str, list[str]] = {}
        sound = (0, np.zeros(0))
        for part in _parts(self.headers["Content-Type"], body):
            content = part.get_payload(decode=True)
            name = part.get_param("name", header="content-disposition")
            if part.get_filename():
                with wave.open(io.BytesIO(content)) as file:
                    sound = (file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767)
            else:
                fields.setdefault(str(name), []).append(content.decode().rstrip("\r\n"))
        asked = Asked(self.path, self.headers.get("Authorization"), fields, sound)
        self.server_state.asked.append(asked)
        answer = self.server_state.answer(asked)
        self.close_connection = True
        if answer == "hang":
            self.server_state.released.wait(30)
            return
        if answer == "drop":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            return
        status, content, *headers = answer
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(content)),
            "Connection": "close",
            **(headers[0] if headers else {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    # How long it waits between tries is tested by itself.
    monkeypatch.setattr(served, "_LONGEST_PAUSE_S", 0.01)
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": state}))
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    state.released.set()
    http.shutdown()
    thread.join()
    http.server_close()


def _card(server: Server, **settings: Any) -> ModelCard:
    return ModelCard("far", "stt", "openai-stt", server.url, settings={"model": "tiny", **settings})


def _window(start: float = 100.0, seconds: float = 1.5) -> Window:
    times = np.arange(int(seconds * 16000)) / 16000
    return Window(Audio((0.3 * np.sin(2000 * times)).astype(np.float32), 16000), start)


def _hear(server: Server, options: TranscribeOptions = PLAIN, **settings: Any) -> list[Segment]:
    return list(engines.load(_card(server, **settings)).transcribe(iter([_window()]), options))


# ---------------------------------------------------------------- what is sent and what comes back


def test_the_sound_goes_there_and_segments_and_words_come_back_in_the_sources_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    stt = engines.load(_card(server))
    assert isinstance(stt, Transcriber)
    found = list(stt.transcribe(iter([_window()]), replace(WORDS, language="en-GB", initial_prompt="Harbour")))
    (asked,) = server.asked
    assert (asked.path, asked.key) == ("/v1/audio/transcriptions", "Bearer sk-secret")
    assert asked.fields == {
        "model": ["tiny"],
        "language": ["en"],
        "prompt": ["Harbour"],
        "response_format": ["verbose_json"],
        "timestamp_granularities[]": ["word", "segment"],
    }
    rate, sound = asked.sound
    np.testing.assert_allclose(sound, _window().audio.samples, atol=1 / 32767)
    assert rate == 16000
    assert [(s.text, s.start, s.end, s.language) for s in found] == [
        ("The harbour is near.", pytest.approx(100.1), pytest.approx(100.9), "en"),
        ("Go on.", pytest.approx(101.0), pytest.approx(101.5), "en"),
    ]
    assert [[word.text for word in s.words] for s in found] == [["The", "harbour", "is", "near"], ["Go", "on"]]
    assert found[1].words[1].start == pytest.approx(101.1)


def test_translation_has_its_own_address(server: Server) -> None:
    (first, _) = _hear(server, replace(PLAIN, task="translate", language="de", temperature=(0.5,)))
    assert server.asked[0].path == "/v1/audio/translations"
    assert server.asked[0].fields["temperature"] == ["0.5"]
    assert "language" not in server.asked[0].fields
    assert first.language == "en"
    assert first.words == ()


def test_a_server_with_plainer_answers_is_asked_for_those_from_then_on(server: Server) -> None:
    def plain(asked: Asked) -> Answer:
        form = asked.fields["response_format"][0]
        if form == "verbose_json":
            return 400, b'{"error": {"message": "response_format must be json or text"}}'
        return 200, b'{"text": "Good day."}'

    server.answer = plain
    stt = engines.load(_card(server))
    found = list(stt.transcribe(iter([_window(), _window(200.0)]), WORDS))
    assert [(s.text, s.start, s.end) for s in found] == [("Good day.", 100.0, 101.5), ("Good day.", 200.0, 201.5)]
    forms = [asked.fields["response_format"][0] for asked in server.asked]
    # first without the words' times, as a server may know the form and not those
    assert forms == ["verbose_json", "verbose_json", "json", "json"]


def test_a_server_that_only_writes_text_is_understood(server: Server) -> None:
    server.answer = lambda asked: (
        (200, b"Good day.\n") if asked.fields["response_format"] == ["text"] else (422, b"response_format")
    )
    assert [s.text for s in _hear(server)] == ["Good day."]


def test_silence_gives_nothing_and_times_that_make_no_sense_are_left_out(server: Server) -> None:
    server.answer = lambda asked: (200, b'{"text": " ", "segments": []}')
    assert _hear(server) == []
    segments = [{"text": "Yes."}, 7, {"start": "now", "end": True}, {"text": "A", "start": 0, "end": int("9" * 400)}]
    odd = {"text": "Yes.", "segments": [*segments, {"text": None, "start": 0, "end": 1}], "words": {"a": 1}}
    server.answer = lambda asked: (200, json.dumps(odd).encode())
    assert [(s.text, s.start, s.end, s.words) for s in _hear(server, WORDS)] == [("Yes.", 100.0, 101.5, ())]
    server.answer = lambda asked: (200, b'{"text": "Yes.", "segments": [{"text": "Yes.", "start": NaN, "end": 1e999}]}')
    assert [(s.start, s.end) for s in _hear(server)] == [(100.0, 101.5)]


def test_closing_closes_the_windows_and_none_is_asked_for_ahead(server: Server) -> None:
    closed: list[bool] = []

    def endless() -> Iterator[Window]:
        try:
            while True:
                yield _window()
        finally:
            closed.append(True)

    segments = engines.load(_card(server)).transcribe(endless(), PLAIN)
    assert next(segments).text
    segments.close()
    assert (closed, len(server.asked)) == ([True], 1)
    assert list(engines.load(_card(server)).transcribe(iter([]), PLAIN)) == []


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    "status, kind, why",
    [
        (401, EngineError, "refuses access .401: no such key.; set OPENAI_API_KEY"),
        (404, MissingModel, 'has no model "tiny"'),
        (429, EngineError, "too much to do"),
        (500, EngineError, "it answers 500: no such key"),
        (418, EngineError, "it answers 418"),
        (302, EngineError, "sends on to 127.0.0.1, which is not followed"),
    ],
)
def test_what_a_server_refuses_is_one_line(server: Server, status: int, kind: type[Exception], why: str) -> None:
    server.answer = lambda asked: (
        status,
        b'{"error": {"message": "no\\n such key"}}',
        {"Location": "http://127.0.0.1:9/"},
    )
    with pytest.raises(kind, match=why) as caught:
        _hear(server)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == (4 if status in (429, 500) else 1)


def test_a_busy_server_is_asked_again(server: Server) -> None:
    answers: list[Answer] = [(429, b"", {"Retry-After": "0"}), "drop", (503, b"x"), (200, json.dumps(VERBOSE).encode())]
    server.answer = lambda asked: answers[len(server.asked) - 1]
    assert len(_hear(server)) == 2
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"[1]", b'{"words": []}', b'{"text": 5}', b"[" * 100_000, b"\xff"]
)
def test_garbage_is_one_line(server: Server, body: bytes) -> None:
    server.answer = lambda asked: (200, body)
    with pytest.raises(EngineError, match="its answer is no transcription"):
        _hear(server)


def test_an_endless_answer_is_not_read_to_its_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "MAX_ANSWER_BYTES", 1 << 20)
    server.answer = lambda asked: (200, b" " * (3 << 20))
    with pytest.raises(EngineError, match="longer than 1 MB"):
        _hear(server)


def test_a_server_that_hangs_or_drops_the_connection_is_given_up(server: Server) -> None:
    server.answer = lambda asked: "hang"
    with pytest.raises(EngineError, match=r"no answer within 0\.2 s"):
        _hear(server, timeout_s=0.2, retries=1)
    assert len(server.asked) == 1  # it would wait as long again
    server.answer = lambda asked: "drop"
    with pytest.raises(EngineError, match="did not transcribe"):
        _hear(server, retries=0)


def test_a_server_that_is_not_there_is_one_line(server: Server) -> None:
    card = replace(_card(server, retries=0), source="http://127.0.0.1:9/v1")
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9 did not transcribe.*is it running"):
        list(engines.load(card).transcribe(iter([_window()]), PLAIN))


def test_the_pause_before_another_try_is_what_the_server_asks_for_or_doubles() -> None:
    assert served._pause_s(0, "7") == 7
    assert served._pause_s(0, "9999") == served._LONGEST_PAUSE_S
    assert served._pause_s(0, "Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert served._pause_s(0, "nan") > 0
    for attempt in range(4):
        assert 0.75 <= served._pause_s(attempt, "soon") / (0.5 * 2**attempt) <= 1.25


@pytest.mark.parametrize(
    "given, why",
    [
        ({"beam_size": 2}, "--beam-size"),
        ({"windowing": "sequential"}, "--windowing"),
        ({"temperature": (0.0, 0.5)}, "one number"),
        ({"task": "sing"}, "transcribe or translate"),
    ],
)
def test_options_that_no_server_takes_are_refused(server: Server, given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        _hear(server, replace(PLAIN, **given))
    assert server.asked == []


# ---------------------------------------------------------------- keys and addresses


@pytest.mark.parametrize(
    "given, why",
    [
        ({"source": "path:/tmp"}, "no address of a server"),
        ({"source": "http://"}, "no address"),
        ({"source": "http://me:word@host/v1"}, "name or password"),
        ({"settings": {"modle": "x"}}, 'did you mean "model"'),
        ({"settings": {"timeout_s": -1}}, "timeout_s cannot be -1"),
        ({"settings": {"model": 3}}, "model cannot be 3"),
    ],
)
def test_a_card_that_makes_no_sense_is_one_line(server: Server, given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        engines.load(replace(_card(server), **given))


def test_the_key_is_never_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    logging.getLogger("mmcli").propagate = True
    server.answer = lambda asked: (401, b"")
    with caplog.at_level(logging.DEBUG), pytest.raises(EngineError, match="correct OPENAI_API_KEY") as caught:
        _hear(server)
    assert "sk-secret" not in str(caught.value) + caplog.text
    assert "over http" not in caplog.text
    OpenAiTranscriber(replace(_card(server), source="http://198.51.100.7/v1"))
    assert "198.51.100.7: the API key goes there over http" in caplog.text
    assert "sk-secret" not in caplog.text
    monkeypatch.setenv("OPENAI_API_KEY", "sk\nsecret")
    with pytest.raises(ConfigError, match="no key has") as refused:
        OpenAiTranscriber(_card(server))
    assert "secret" not in str(refused.value)


def test_the_base_of_the_environment_stands_for_openais_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    card = replace(_card(server), source="https://api.openai.com/v1")
    assert len(list(engines.load(card).transcribe(iter([_window()]), PLAIN))) == 2
    assert server.asked


def test_a_served_model_has_nothing_to_locate_and_is_said_to_be_on_a_server(
    server: Server, tmp_path: Any, mmcli: Callable[..., Any], speech: Any
) -> None:
    assert store.is_served(_card(server))
    with pytest.raises(ConfigError, match="is a server"):
        store.locate(_card(server))
    config = tmp_path / "own.toml"
    config.write_text(
        f'[models.far]\nrole = "stt"\nengine = "openai-stt"\nsource = "{server.url}"\n'
        'inputs = ["audio"]\noutputs = ["text"]\nsettings = { model = "tiny" }\n'
        '[pipelines.far]\nvad = "fake-vad"\nstt = "far"\n'
    )
    listed = mmcli("models", "list", "--json", "--config", config)
    assert listed.code == 0, listed.err
    assert next(card for card in json.loads(listed.out) if card["name"] == "far")["state"] == "on a server"
    pulled = mmcli("models", "pull", "far", "--config", config)
    assert (pulled.code, pulled.notes) == (0, ["mmcli: far needs no fetching: it runs on a server"])
    heard = mmcli("transcribe", speech, "--pipeline", "far", "--config", config)
    assert heard.code == 0, heard.err
    assert heard.out.count("The harbour is near.") == 3
    assert len(server.asked) == 3
