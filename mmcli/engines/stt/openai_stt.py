"""Speech-to-text by any server with OpenAI's `/audio/transcriptions`: one upload of a WAV file for each window.

The source of the card is the base of the API, as in http://127.0.0.1:8000/v1. Two environment variables count, as for
OpenAI's own clients: OPENAI_API_KEY, and OPENAI_BASE_URL in place of a source that is OpenAI's own address.
"""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import math
import os
import random
import re
import threading
import time
import wave
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np

from mmcli import __version__, store
from mmcli.engines.options import refuse_others
from mmcli.errors import ConfigError, EngineError, MissingModel, MmcliError, UsageError, did_you_mean
from mmcli.stages import Segment, Word
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Window

_LOG = logging.getLogger(__name__)
_OPENAI = "https://api.openai.com/v1"
_SETTINGS = ("model", "timeout_s", "retries")
_HONOURED = ("language", "word_timestamps", "fast", "task", "temperature", "initial_prompt")
_TASKS = {"transcribe": "audio/transcriptions", "translate": "audio/translations"}
_RETRIED = (408, 409, 429, 500, 502, 503, 504)
_TIMEOUT_S = 120.0
_CONNECT_S = 10.0
_RETRIES = 3
_LONGEST_PAUSE_S = 30.0
_MAX_ANSWER_BYTES = 8 << 20
# The richest form first; a server that has not the first may have the second.
_FORMATS = ("verbose_json", "json", "text")


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """What is the same for all windows of a recording."""

    client: httpx2.Client
    path: str
    given: dict[str, Any]
    words: bool


class OpenAiTranscriber:
    """A model on a server. Segments and words have the server's times where it gives any."""

    rate = 16000
    packs = False

    def __init__(self, card: ModelCard) -> None:
        """Sends nothing yet. ConfigError for settings, a source or a key that make no sense."""
        self._card = card
        self._base = _base(card)
        self._model = str(_setting(card, "model", str, "whisper-1"))
        self._retries = int(_setting(card, "retries", int, _RETRIES))
        timeout_s = float(_setting(card, "timeout_s", (int, float), _TIMEOUT_S))
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("OPENAI_API_KEY holds characters that no key has", "set it anew")
        if key and self._base.scheme == "http" and not _is_loopback(self._base.host):
            _LOG.warning("%s: the API key goes there over http, which anybody on the way can read", self._base.host)
        self._headers = {"User-Agent": f"mmcli/{__version__}", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._timeout_s = timeout_s
        self._format = 0
        self._granular = True
        self._lock = threading.Lock()

    def transcribe(self, windows: Iterable[Window], options: TranscribeOptions) -> Iterator[Segment]:
        """Segments in order, those of a window as soon as the server has answered, within the window's times.

        UsageError for options that go to no server, EngineError or MissingModel for what the server answers.
        """
        given = self._given(options)
        path = _TASKS[options.task]
        limits = httpx2.Timeout(self._timeout_s, connect=min(self._timeout_s, _CONNECT_S))
        with (
            closing(closable(windows)) as source,
            httpx2.Client(base_url=self._base, headers=self._headers, timeout=limits) as client,
        ):
            ask = _Ask(client, path, given, options.word_timestamps)
            for window in source:
                if len(window.audio.samples):
                    yield from _segments(self._ask(ask, wav(window.audio.samples, self.rate)), window, options)

    def _given(self, options: TranscribeOptions) -> dict[str, Any]:
        refuse_others(options, _HONOURED, f'model "{self._card.name}" on a server')
        if options.task not in _TASKS:
            raise UsageError(
                f'the task is {" or ".join(_TASKS)}, not "{options.task}"', did_you_mean(options.task, _TASKS)
            )
        given: dict[str, Any] = {"model": self._model}
        if options.language is not None and options.task == "transcribe":
            given["language"] = re.split("[-_]", options.language.lower())[0]
        if options.initial_prompt is not None:
            given["prompt"] = options.initial_prompt
        if options.temperature != type(options)().temperature:
            if len(options.temperature) != 1:
                raise UsageError("--temperature is one number for a model on a server")
            given["temperature"] = options.temperature[0]
        return given

    # ---------------------------------------------------------------- asking

    def _ask(self, ask: _Ask, content: bytes) -> Any:
        """The server's answer: a JSON object, or a text. A form of answer that it has not is given up for good."""
        while True:
            number, granular = self._format, self._granular
            fields = {**ask.given, "response_format": _FORMATS[number]}
            if _FORMATS[number] == "verbose_json" and ask.words and granular:
                fields["timestamp_granularities[]"] = ["word", "segment"]
            response = self._send(ask, fields, content)
            if response.status_code in (400, 415, 422) and number + 1 < len(_FORMATS) and _about_format(response.text):
                with self._lock:
                    if "timestamp_granularities[]" in fields:
                        self._granular = False
                    elif self._format == number:
                        self._format += 1
                continue
            self._check(response)
            return self._read(response, _FORMATS[number])

    def _send(self, ask: _Ask, fields: dict[str, Any], content: bytes) -> httpx2.Response:
        """One answer, after as many tries as it takes and `retries` allows."""
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                response = self._stream(ask, fields, content)
            except httpx2.TimeoutException as error:
                if last:
                    raise self._failed(f"no answer within {self._timeout_s:g} s") from error
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                if last:
                    raise self._failed(" ".join(str(error).split())[:200] or type(error).__name__) from error
            else:
                if response.status_code not in _RETRIED or last:
                    return response
                time.sleep(_pause_s(attempt, response.headers.get("Retry-After")))
                continue
            time.sleep(_pause_s(attempt, None))
        raise AssertionError("the last attempt returns or raises")

    def _stream(self, ask: _Ask, fields: dict[str, Any], content: bytes) -> httpx2.Response:
        files = {"file": ("speech.wav", content, "audio/wav")}
        with ask.client.stream("POST", ask.path, data=fields, files=files) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    raise self._failed(f"its answer is longer than {_MAX_ANSWER_BYTES >> 20} MB")
            return httpx2.Response(
                response.status_code,
                headers={"Retry-After": response.headers.get("Retry-After", "")},
                content=bytes(body),
            )

    def _check(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        said = _reason(response.text)
        if status in (401, 403):
            mend = "correct OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else "set OPENAI_API_KEY"
            raise EngineError(f"{self._where} refuses access ({status}{said})", mend)
        if status == 404:
            raise MissingModel(
                f'{self._where} has no model "{self._model}" or no transcriptions (404{said})',
                f"correct `source` or `settings.model` of [models.{self._card.name}] in {self._card.origin}",
            )
        if status == 429:
            raise self._failed(f"it has too much to do, or the quota is used up (429{said})")
        raise self._failed(f"it answers {status}{said}")

    def _read(self, response: httpx2.Response, form: str) -> Any:
        if form == "text":
            return response.text
        try:
            answer = json.loads(response.content)
            if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
                raise ValueError("no text in it")
        except (ValueError, RecursionError) as error:
            raise self._failed(
                "its answer is no transcription", "is `source` the base of the API, as .../v1?"
            ) from error
        return answer

    @property
    def _where(self) -> str:
        return f'model "{self._card.name}": the server {self._base.host}'

    def _failed(self, why: str, mend: str = "is it running, and does it serve this model?") -> MmcliError:
        return EngineError(f"{self._where} did not transcribe: {why}", mend)


# ---------------------------------------------------------------- what is sent


def _base(card: ModelCard) -> httpx2.URL:
    if not store.is_served(card):
        raise ConfigError(
            f"{card.origin}: [models.{card.name}] source is no address of a server", "as http://127.0.0.1:8000/v1"
        )
    url = card.source
    if url.rstrip("/") == _OPENAI:
        url = os.environ.get("OPENAI_BASE_URL", "").strip() or url
    try:
        base = httpx2.URL(url.rstrip("/") + "/")
    except httpx2.InvalidURL as error:
        raise ConfigError(f"{card.origin}: [models.{card.name}] source is no address ({error})") from error
    if base.scheme not in ("http", "https") or not base.host:
        raise ConfigError(f"{card.origin}: [models.{card.name}] source is no address of a server")
    if base.userinfo:
        raise ConfigError(
            f"{card.origin}: [models.{card.name}] source holds a name or password", "put a key into OPENAI_API_KEY"
        )
    return base


def _setting(card: ModelCard, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    for key in card.settings:
        if key not in _SETTINGS:
            raise ConfigError(
                f'{card.origin}: [models.{card.name}] unknown setting "{key}"',
                did_you_mean(key, _SETTINGS) or f"known: {', '.join(_SETTINGS)}",
            )
    value = card.settings.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int | float) and value < 0):
        raise ConfigError(f"{card.origin}: [models.{card.name}] setting {name} cannot be {value!r}")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """A WAV file of 16 bits for samples [n] in -1..1."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return held.getvalue()


def _pause_s(attempt: int, asked: str | None) -> float:
    """Seconds before the next try: what the server asks for, else twice as long each time, never all at one moment."""
    try:
        wanted = float(asked or "")
    except ValueError:
        wanted = 0.5 * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
    return min(max(wanted, 0.0), _LONGEST_PAUSE_S)


# ---------------------------------------------------------------- what comes back


def _about_format(text: str) -> bool:
    return re.search(r"response_format|verbose_json|timestamp_granularities", text) is not None


def _reason(text: str) -> str:
    """What a server says to an error, as ": ..."; nothing where it says nothing that can be understood."""
    try:
        answer = json.loads(text)
        found = answer.get("error", answer.get("detail"))
        found = found.get("message") if isinstance(found, dict) else found
    except (ValueError, RecursionError, AttributeError):
        return ""
    return f": {' '.join(found.split())[:200]}" if isinstance(found, str) and found.strip() else ""


def _segments(answer: Any, window: Window, options: TranscribeOptions) -> Iterator[Segment]:
    first, last = window.start, window.start + window.audio.seconds
    if isinstance(answer, str):
        answer = {"text": answer}
    language = "en" if options.task == "translate" else _language(answer.get("language"), options)
    words = _words(answer.get("words"), (first, last)) if options.word_timestamps else []
    segments = [part for part in _timed(answer.get("segments"), (first, last)) if str(part[2].get("text", "")).strip()]
    if not segments:
        text = answer["text"].strip()
        if text:
            yield Segment(first, last, text, tuple(words), language)
        return
    for index, (start, end, part) in enumerate(segments):
        until = segments[index + 1][0] if index + 1 < len(segments) else last
        after = start if index else first
        # A word belongs to the segment in which it begins; those before the first segment to that one.
        inside = tuple(w for w in words if after <= w.start and (w.start < until or index + 1 == len(segments)))
        yield Segment(start, end, str(part["text"]).strip(), inside, language)


def _language(named: Any, options: TranscribeOptions) -> str | None:
    """What was asked for, else the server's code; the names in English that some give are no codes."""
    if options.language is not None:
        return re.split("[-_]", options.language.lower())[0]
    return named if isinstance(named, str) and re.fullmatch("[a-z]{2,3}", named) else None


def _timed(parts: Any, bounds: tuple[float, float]) -> list[tuple[float, float, dict[str, Any]]]:
    """Entries with start and end, in the source's seconds and in order; those without are left out."""
    found = []
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and all(_is_number(part.get(edge)) for edge in ("start", "end")):
            start, end = (min(max(bounds[0] + part[edge], bounds[0]), bounds[1]) for edge in ("start", "end"))
            found.append((start, max(start, end), part))
    return sorted(found, key=lambda entry: entry[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(parts: Any, bounds: tuple[float, float]) -> list[Word]:
    words = []
    for start, end, part in _timed(parts, bounds):
        text = part.get("word", part.get("text"))
        if isinstance(text, str) and text.strip():
            chance: Any = part.get("probability")
            known = _is_number(chance) and 0 <= chance <= 1
            words.append(Word(text, start, end, float(chance) if known else None))
    return words
