"""Speech from a server: a real HTTP server on loopback that speaks with espeak-ng, wrongly, too slowly or not at all."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.engines import served
from mmcli.errors import ConfigError, EngineError, MissingModel, UsageError
from mmcli.media.audio_out import pcm16, wav_bytes
from mmcli.options import SpeakOptions
from mmcli.stages import Audio, Synthesizer
from tests.conftest import Result

PLAIN = SpeakOptions()
TEXT = "How far is the harbour?"


@dataclass
class Reply:
    """The pieces of a body are sent one by one; "wait" waits until the test releases it, "drop" breaks off."""

    body: list[bytes | str]
    kind: str = "audio/wav"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class Server:
    answer: Callable[[dict[str, Any]], Reply]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    voices: Reply = field(default_factory=lambda: Reply([b"{}"], status=404))
    released: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(self.state.voices if self.path == "/v1/audio/voices" else Reply([b"{}"], status=404))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/audio/speech"
        self.state.asked.append(asked)
        self.state.keys.append(self.headers.get("Authorization"))
        self._send(self.state.answer(asked))

    def _send(self, reply: Reply) -> None:
        self.close_connection = True
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        if reply.length is not None:
            self.send_header("Content-Length", str(reply.length))
        for key, value in {"Connection": "close", **reply.headers}.items():
            self.send_header(key, value)
        self.end_headers()
        for piece in reply.body:
            if piece == "wait":
                self.state.released.wait(20)
            elif piece == "drop":
                return
            else:
                self.wfile.write(piece)  # type: ignore[arg-type]
                self.wfile.flush()


@pytest.fixture(scope="module")
def espeak() -> Any:
    return engines.load(ModelCard("espeak", "tts", "espeak", "embedded:espeakng_loader"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, espeak: Any) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(served, "_LONGEST_PAUSE_S", 0.01)

    def speak(asked: dict[str, Any]) -> Reply:
        sound = _said(espeak, asked)
        if asked["response_format"] == "pcm":
            return Reply([pcm16(sound)], f"audio/pcm;rate={sound.rate}")
        return Reply([wav_bytes(sound)])

    state = Server(speak)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    state.released.set()
    http.shutdown()
    thread.join()
    http.server_close()


_MADE: dict[str, Audio] = {}


def _said(espeak: Any, asked: dict[str, Any]) -> Audio:
    """What espeak makes of a request, the same each time: it may be some samples longer when it is asked again."""
    key = json.dumps([asked["voice"], asked["input"], asked.get("speed")])
    if key not in _MADE:
        _MADE[key] = _spoken(espeak, asked)
    return _MADE[key]


def _spoken(espeak: Any, asked: dict[str, Any]) -> Audio:
    voice = {"alloy": "en-us", "nova": "en-gb"}.get(asked["voice"], asked["voice"])
    options = SpeakOptions(voice=voice, speed=asked.get("speed", 1.0))
    return _joined(espeak.speak([asked["input"]], options))


def _joined(blocks: Iterator[Audio]) -> Audio:
    kept = list(blocks)
    assert len({block.rate for block in kept}) == 1
    return Audio(np.concatenate([block.samples for block in kept]), kept[0].rate)


def _card(server: Server, **settings: Any) -> ModelCard:
    return ModelCard("far", "tts", "openai-tts", server.url, settings={"model": "tiny", **settings})


def _speak(server: Server, text: str = TEXT, options: SpeakOptions = PLAIN, **settings: Any) -> Audio:
    return _joined(engines.load(_card(server, **settings)).speak(iter([text]), options))


# ---------------------------------------------------------------- what is sent and what comes back


def test_the_sentence_goes_there_and_its_sound_comes_back(
    server: Server, espeak: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    voice = engines.load(_card(server))
    assert isinstance(voice, Synthesizer)
    sound = _joined(voice.speak(iter([TEXT]), SpeakOptions(voice="nova", speed=1.5, language="en")))
    (asked,) = server.asked
    assert asked == {"model": "tiny", "voice": "nova", "speed": 1.5, "input": TEXT, "response_format": "wav"}
    assert server.keys == ["Bearer sk-secret"]
    own = _said(espeak, asked)
    assert sound.rate == own.rate
    assert sound.samples.dtype == np.float32
    np.testing.assert_allclose(sound.samples, own.samples, atol=1e-4)


def test_a_server_without_wav_is_asked_for_bare_samples_from_then_on(server: Server, espeak: Any) -> None:
    speak = server.answer

    def bare(asked: dict[str, Any]) -> Reply:
        if asked["response_format"] == "wav":
            return Reply([b'{"error": {"message": "response_format must be pcm"}}'], "application/json", 400)
        return speak(asked)

    server.answer = bare
    sound = _joined(engines.load(_card(server)).speak(iter(["One.", "Two."]), PLAIN))
    assert [asked["response_format"] for asked in server.asked] == ["wav", "pcm", "pcm"]
    parts = [_said(espeak, asked) for asked in server.asked[1:]]
    own = _joined(iter(parts))
    assert sound.rate == own.rate
    np.testing.assert_allclose(sound.samples, own.samples, atol=1e-4)


def test_bare_samples_without_a_rate_are_openais_and_may_be_cut_anywhere(server: Server) -> None:
    wanted = np.arange(-300, 300, dtype="<i2")
    data = wanted.tobytes()
    server.answer = lambda asked: Reply([data[:7], data[7:500], data[500:]], "audio/pcm")
    sound = _speak(server)
    assert sound.rate == 24000
    np.testing.assert_array_equal(np.round(sound.samples * 32768), wanted)


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3"])
def test_sound_in_another_format_than_asked_for_is_decoded(server: Server, espeak: Any, form: str) -> None:
    def encoded(asked: dict[str, Any]) -> Reply:
        held = io.BytesIO()
        sound = _said(espeak, asked)
        soundfile.write(held, sound.samples, sound.rate, format=form)
        return Reply([held.getvalue()], f"audio/{form.lower()}")

    server.answer = encoded
    sound = _speak(server)
    own = _said(espeak, server.asked[0])
    assert sound.rate == own.rate
    assert abs(sound.seconds - own.seconds) < 0.15
    assert np.abs(sound.samples).max() == pytest.approx(np.abs(own.samples).max(), rel=0.3)


def test_wide_and_loud_sound_is_mixed_and_bounded(server: Server) -> None:
    held = io.BytesIO()
    soundfile.write(
        held, np.array([[3.0, 3.0], [0.5, -0.5], [0.25, 0.75]] * 2000), 48000, format="WAV", subtype="FLOAT"
    )
    server.answer = lambda asked: Reply([held.getvalue()])
    sound = _speak(server)
    assert sound.rate == 48000
    assert len(sound.samples) == 6000
    np.testing.assert_allclose(sound.samples[:3], [1.0, 0.0, 0.5], atol=0.01)


@pytest.mark.parametrize("form", ["wav", "pcm"])
def test_sound_is_heard_before_the_server_has_made_the_rest(server: Server, espeak: Any, form: str) -> None:
    def halves(asked: dict[str, Any]) -> Reply:
        sound = _said(espeak, asked)
        header = b"RIFF\xff\xff\xff\xff" + wav_bytes(sound)[8:40] + b"\xff\xff\xff\xff"  # no size is known beforehand
        data = pcm16(sound)
        middle = 2 * sound.rate // 4
        return Reply([(header if form == "wav" else b"") + data[:middle], "wait", data[middle:]], f"audio/{form}")

    server.answer = halves
    blocks = engines.load(_card(server)).speak(iter([TEXT]), PLAIN)
    first = next(blocks)
    assert 0 < first.seconds <= 0.25
    assert not server.released.is_set()
    server.released.set()
    whole = first.seconds + sum(block.seconds for block in blocks)
    own = _said(espeak, server.asked[0])
    # what bare samples have for a rate is OpenAI's where nobody tells
    assert whole * first.rate == pytest.approx(len(own.samples), abs=1)


def test_a_listener_may_take_longer_than_the_server_may_be_silent(server: Server) -> None:
    data = np.ones(24000, "<i2").tobytes()
    server.answer = lambda asked: Reply([data[:100], data[100:]], "audio/pcm")
    blocks = engines.load(_card(server, timeout_s=0.2)).speak(iter([TEXT]), PLAIN)
    count = 0
    for block in blocks:
        if not count:
            time.sleep(0.4)
        count += len(block.samples)
    assert count == 24000


def test_sentences_are_asked_for_one_by_one_long_ones_in_pieces_and_empty_ones_never(server: Server) -> None:
    asked: list[str] = []

    def sentences() -> Iterator[str]:
        for text in ("One.", "", "...", "🙂", "\x1b[31m", "Two.", "word, " * 300):
            asked.append(text)
            yield text

    blocks = engines.load(_card(server)).speak(sentences(), PLAIN)
    assert next(blocks).seconds > 0
    assert asked == ["One."]
    assert sum(block.seconds for block in blocks) > 10
    inputs = [given["input"] for given in server.asked]
    assert inputs[:2] == ["One.", "[31m"]
    assert inputs[2] == "Two."
    assert len(inputs) == 7
    assert all(len(text) <= 500 and text.endswith(",") for text in inputs[3:])


def test_closing_closes_the_connection_and_the_sentences(server: Server) -> None:
    closed: list[bool] = []

    def endless() -> Iterator[str]:
        try:
            while True:
                yield TEXT
        finally:
            closed.append(True)

    server.answer = lambda asked: Reply([np.ones(5000, "<i2").tobytes(), "wait"], "audio/pcm")
    blocks = engines.load(_card(server)).speak(endless(), PLAIN)
    assert next(blocks).seconds > 0
    blocks.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert len(server.asked) == 1


# ---------------------------------------------------------------- voices


@pytest.mark.parametrize(
    "body, names",
    [
        (b'{"voices": ["af_heart", "bm_george"]}', [("af_heart", "*"), ("bm_george", "*")]),
        (b'[{"id": "anna", "language": "de", "name": "Anna"}, {"x": 1}, 5]', [("anna", "de")]),
        (b'{"data": [{"name": "tom"}]}', [("tom", "*")]),
    ],
)
def test_voices_are_those_that_the_server_lists(server: Server, body: bytes, names: list[tuple[str, str]]) -> None:
    server.voices = Reply([body], "application/json")
    assert [(voice.name, voice.language) for voice in engines.load(_card(server)).voices()] == names


def test_without_a_list_the_voices_are_openais(server: Server) -> None:
    assert "alloy" in [voice.name for voice in engines.load(_card(server)).voices()]
    server.voices = Reply([b"not json"], "text/html")
    assert "alloy" in [voice.name for voice in engines.load(_card(server)).voices()]


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    "status, said, kind, why",
    [
        (400, "no such voice", UsageError, 'refuses the voice "alloy" .no such voice.'),
        (401, "no such key", EngineError, "refuses access .401: no such key.; set OPENAI_API_KEY"),
        (404, "unknown", MissingModel, 'has no model "tiny"'),
        (429, "slow down", EngineError, "too much to do"),
        (500, "it burns", EngineError, "it answers 500: it burns"),
    ],
)
def test_what_a_server_refuses_is_one_line(
    server: Server, status: int, said: str, kind: type[Exception], why: str
) -> None:
    body = json.dumps({"error": {"message": said}}).encode()
    server.answer = lambda asked: Reply([body], "application/json", status)
    with pytest.raises(kind, match=why) as caught:
        _speak(server)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == (4 if status in (429, 500) else 1)


def test_a_busy_server_is_asked_again(server: Server) -> None:
    speak = server.answer
    answers = [Reply([b""], status=429, headers={"Retry-After": "0"}), Reply([b"x"], status=503)]
    server.answer = lambda asked: answers.pop(0) if answers else speak(asked)
    assert _speak(server).seconds > 0.5
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "reply, why",
    [
        (Reply([b"<html>hello</html>"], "text/html"), "its answer is text/html, not sound"),
        (Reply([b'{"audio": "x"}'], "application/json"), "its answer is application/json, not sound"),
        (Reply([]), "its answer is empty"),
        (Reply([b"hello " * 100]), "its answer is no sound that can be decoded"),
        (Reply([b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"]), "its answer is no sound that can be decoded"),
        (Reply([wav_bytes(Audio(np.zeros(0, np.float32), 16000))]), "its answer holds no sound"),
    ],
)
def test_what_is_no_sound_is_one_line(server: Server, reply: Reply, why: str) -> None:
    server.answer = lambda asked: reply
    with pytest.raises(EngineError, match=why) as caught:
        _speak(server, retries=0)
    assert "\n" not in str(caught.value)


def test_sound_that_breaks_off_is_told_after_what_came(server: Server, espeak: Any) -> None:
    whole = wav_bytes(_said(espeak, {"input": TEXT, "voice": "alloy"}))
    for length, why in ((len(whole), "did not speak"), (None, r"broke off \d+ bytes before the end")):
        server.answer = lambda asked, length=length: Reply([whole[:20000], "drop"], length=length)
        blocks = engines.load(_card(server)).speak(iter([TEXT]), PLAIN)
        assert next(blocks).seconds > 0
        with pytest.raises(EngineError, match=why):
            list(blocks)
    assert len(server.asked) == 2  # what was heard is not said twice


def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    server.answer = lambda asked: Reply(["wait"])
    with pytest.raises(EngineError, match=r"no answer within 0\.2 s"):
        _speak(server, timeout_s=0.2)
    assert len(server.asked) == 1
    with pytest.raises(EngineError, match="did not speak"):
        list(engines.load(replace(_card(server, retries=0), source="http://127.0.0.1:9/v1")).speak([TEXT], PLAIN))


def test_options_and_settings_that_go_to_no_server_are_refused_at_once(server: Server) -> None:
    voice = engines.load(_card(server))
    for options, why in (
        (SpeakOptions(pitch=1.2), "no use for --pitch"),
        (SpeakOptions(seed=1), "no use for --seed"),
        (SpeakOptions(speed=9), "the speed goes from 0.25 to 4"),
        (SpeakOptions(speed=float("nan")), "the speed goes from 0.25 to 4"),
    ):
        with pytest.raises(UsageError, match=why):
            voice.speak(iter([TEXT]), options)
    with pytest.raises(ConfigError, match='unknown setting "voice"'):
        engines.load(_card(server, voice="x"))
    assert server.asked == []


def test_the_command_speaks_with_a_server(
    server: Server, espeak: Any, mmcli: Callable[..., Result], tmp_path: Path
) -> None:
    config = tmp_path / "far.toml"
    config.write_text(
        f'[models.far]\nrole = "tts"\nengine = "openai-tts"\nsource = "{server.url}"\n'
        'inputs = ["text"]\noutputs = ["audio"]\n'
    )
    out = tmp_path / "reply.wav"
    ended = mmcli("speak", TEXT, "-m", "far", "--config", config, "-o", out, "--voice", "nova")
    assert (ended.code, ended.out) == (0, "")
    samples, rate = soundfile.read(out)
    own = _said(espeak, server.asked[0])
    assert (rate, len(samples)) == (own.rate, len(own.samples))
    server.answer = lambda asked: Reply([wav_bytes(own)[:20000], "drop"])
    broken = mmcli("speak", TEXT, "-m", "far", "--config", config, "-o", tmp_path / "half.wav")
    assert broken.code == 1
    assert len(broken.notes) == 1
    assert not (tmp_path / "half.wav").exists()
