"""Servers with OpenAI's API: where they are, their keys, asking again, and what their refusals mean. It knows no engine.

The source of a card is the base of the API, as in http://127.0.0.1:8000/v1. Two environment variables count, as for
OpenAI's own clients: OPENAI_API_KEY (a card's setting `api_key_env` names another one), and OPENAI_BASE_URL in place of a
source that is OpenAI's own address. A redirect is never followed, as the key would go there too.

OpenAI's own library is left out: it needs ten times as long to import as httpx2, which is here anyway, and its types
refuse what other servers add.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import os
import random
import time
import weakref
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from mmcli import __version__, store
from mmcli.engines.options import check_settings
from mmcli.errors import ConfigError, EngineError
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mmcli.catalogue import ModelCard

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_OPENAI = "https://api.openai.com/v1"
SETTINGS = ("model", "timeout_s", "retries", "api_key_env", "coordinates")
_KEY = "OPENAI_API_KEY"
_RETRIED = (408, 409, 429, 500, 502, 503, 504)
_CONNECT_S = 10.0
_RETRIES = 3
_LONGEST_PAUSE_S = 30.0
# A longer one is told of.
_LONG_PAUSE_S = 5.0
MAX_ANSWER_BYTES = 10 << 20
"""Longer answers are no answers."""
_SAID = 300
_BASE = "is `source` the base of the API, as .../v1?"
_MEND = "is it running, and does it serve this model?"


class ServedError(EngineError):
    """A server that could not be reached, that refused or that answered badly.

    `status` is HTTP's where it refused, else 0; `said` is its own reason, `body` all that it sent; `again` tells whether
    another attempt may go better.
    """

    def __init__(self, problem: str, mend: str | None = None, *, status: int = 0, body: str = "") -> None:
        super().__init__(problem, mend)
        self.status = status
        self.body = body
        self.again = status in _RETRIED
        self.retry_after: str | None = None

    @property
    def said(self) -> str:
        return _reason(self.body)


class Server:
    """The server of a model. `verb` is what it does for us, in messages: answer, transcribe."""

    def __init__(self, card: ModelCard, verb: str, timeout_s: float) -> None:
        """Sends nothing yet. ConfigError for settings, a source or a key that make no sense."""
        self._card = card
        self._verb = verb
        self.base = _base(card)
        self.timeout_s = float(setting(card, "timeout_s", (int, float), timeout_s))
        self.model = str(setting(card, "model", str, ""))
        self._retries = int(setting(card, "retries", int, _RETRIES))
        self._key_env = str(setting(card, "api_key_env", str, _KEY))
        key = self._key()
        local = _is_loopback(self.base.host)
        if self.base.scheme == "http" and not local:
            what = "the API key goes" if key else "what is asked goes"
            _LOG.warning("%s: %s there over http, which anybody on the way can read", self.base.host, what)
        self._client = httpx2.Client(
            base_url=self.base,
            headers={
                "User-Agent": f"mmcli/{__version__}",
                "Accept-Encoding": "identity",  # so that what is counted on the wire is the length of the answer
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
            timeout=httpx2.Timeout(self.timeout_s, connect=min(self.timeout_s, _CONNECT_S)),
            trust_env=not local,  # a proxy has no business between this machine and itself
        )
        weakref.finalize(self, self._client.close)

    def _key(self) -> str:
        key = os.environ.get(self._key_env, "").strip()
        if not key and self._key_env != _KEY:
            raise ConfigError(
                f"{self._card.origin}: [models.{self._card.name}] api_key_env: {self._key_env} is not set", "set it"
            )
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{self._key_env} holds characters that no key has", "set it anew")
        return key

    # ---------------------------------------------------------------- asking

    @contextmanager
    def asked(self, method: str, path: str, **content: Any) -> Iterator[httpx2.Response]:
        """The answer to one request, its body not read yet; leaving the context closes the connection.

        ServedError for every status but 2xx, and for what breaks here or while the body is read.
        """
        try:
            with self._client.stream(method, path, **content) as response:
                self._watch(response)
                if not response.is_success:
                    raise self._refusal(response)
                yield response
        except (httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
            # It has had its time, and would get as much again with each attempt.
            raise self.failed(f"no answer within {self.timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            broken = self.failed(" ".join(str(error).split())[:_SAID] or type(error).__name__)
            broken.again = isinstance(error, httpx2.TransportError)
            raise broken from error

    def again(self, attempt: Callable[[], Iterator[T]]) -> Generator[T, None, None]:
        """What one attempt gives. Before its first item, it is made anew where another may go better."""
        for number in range(self._retries + 1):
            begun = False
            try:
                with closing(closable(attempt())) as items:
                    for item in items:
                        begun = True
                        yield item
                return
            except ServedError as error:
                if begun or not error.again or number == self._retries:
                    raise
                pause_s = _pause_s(number, error.retry_after)
                if pause_s > _LONG_PAUSE_S:
                    _LOG.warning("%s wants to be asked again in %.0f s (%s)", self.where, pause_s, error.status)
            time.sleep(pause_s)

    def models(self) -> list[str]:
        """The names of the models that the server lists. ServedError where it lists none."""
        return [entry["id"] for entry in self.listed()]

    def reach(self) -> str:
        """Ask whether it answers and has the model: what it says, in words. ServedError where it does not answer."""
        names = self.models()
        place = self.base.netloc.decode("ascii")
        if self.model and self.model not in names:
            return f"{place} answers, but does not list {self.model}"
        return f"{place} answers and lists {self.model or ', '.join(names[:10]) or 'no model'}"

    def listed(self) -> list[dict[str, Any]]:
        """What the server tells about each of its models; `id` is its name."""

        def attempt() -> Iterator[list[dict[str, Any]]]:
            with self.asked("GET", "models") as response:
                try:
                    entries = json.loads(response.read())["data"]
                    yield [entry for entry in entries if isinstance(entry["id"], str)]
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise self.failed("its list of models is none") from error

        return next(self.again(attempt))

    # ---------------------------------------------------------------- what goes wrong

    @property
    def where(self) -> str:
        return f'model "{self._card.name}": the server {self.base.netloc.decode("ascii")}'

    def failed(self, why: str, mend: str | None = _MEND, *, status: int = 0) -> ServedError:
        """The error of an attempt."""
        return ServedError(f"{self.where} did not {self._verb}: {why}", mend, status=status)

    def garbage(self, what: str) -> ServedError:
        """The error for an answer that is no answer of this API."""
        return self.failed(what, _BASE)

    def _refusal(self, response: httpx2.Response) -> ServedError:
        status = response.status_code
        body = response.read().decode("utf-8", "replace")
        said = f"{status}: {_reason(body)}" if _reason(body) else str(status)
        if status in (401, 403):
            mend = f"correct {self._key_env}" if "Authorization" in self._client.headers else f"set {self._key_env}"
            return ServedError(f"{self.where} refuses access ({said})", mend, status=status, body=body)
        if status == 429:
            why = f"it has too much to do, or the quota is used up ({said})"
        elif 300 <= status < 400:
            to = _host(response.headers.get("Location", ""))
            why = f"it answers {status} and sends on to {to}, which is not followed"
        else:
            why = f"it answers {said}"
        # With 400 and the like what was asked is at fault, and the server says how.
        advice = None if status in (400, 413, 422) else _BASE if status == 404 else _MEND
        error = self.failed(why, advice, status=status)
        error.body, error.retry_after = body, response.headers.get("Retry-After")
        return error

    def _watch(self, response: httpx2.Response) -> None:
        packed = response.headers.get("Content-Encoding", "identity")
        if packed != "identity":
            raise self.garbage(f"its answer is packed ({packed}), which was not asked for")
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = Watched(response.stream, self)


class Watched(httpx2.SyncByteStream):
    """A body that ends with an error where it grows too long, or where it brings nothing but signs of life."""

    def __init__(self, stream: httpx2.SyncByteStream, server: Server) -> None:
        self._stream = stream
        self._server = server
        self.heard = time.monotonic()
        """When something was last heard that counts; whoever reads the body sets it anew."""

    def __iter__(self) -> Iterator[bytes]:
        length = 0
        for chunk in self._stream:
            length += len(chunk)
            if length > MAX_ANSWER_BYTES:
                raise self._server.failed(f"its answer is longer than {MAX_ANSWER_BYTES >> 20} MB")
            if time.monotonic() - self.heard > self._server.timeout_s:
                raise self._server.failed(f"nothing but signs of life for {self._server.timeout_s:g} s")
            yield chunk

    def close(self) -> None:
        self._stream.close()


# ---------------------------------------------------------------- cards


def setting(card: ModelCard, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """A setting of a served model's card. ConfigError for one of the wrong kind, and for any that is unknown."""
    check_settings(card, SETTINGS)
    value = card.settings.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int | float) and value < 0):
        raise ConfigError(f"{card.origin}: [models.{card.name}] setting {name} cannot be {value!r}")
    return value


def _base(card: ModelCard) -> httpx2.URL:
    where = f"{card.origin}: [models.{card.name}] source"
    if not store.is_served(card):
        raise ConfigError(f"{where} is no address of a server", "as http://127.0.0.1:8000/v1")
    url = card.source
    if url.rstrip("/") == _OPENAI:
        url = os.environ.get("OPENAI_BASE_URL", "").strip() or url
    try:
        base = httpx2.URL(url.rstrip("/") + "/")
    except httpx2.InvalidURL as error:
        raise ConfigError(f"{where} is no address ({error})") from error
    if base.scheme not in ("http", "https") or not base.host:
        raise ConfigError(f"{where} is no address of a server")
    if base.userinfo:
        raise ConfigError(f"{where} holds a name or password", f"put a key into {_KEY}")
    if base.query or base.fragment:
        raise ConfigError(f"{where} is no base of an API: it has a ? or #", "as http://127.0.0.1:8000/v1")
    return base


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).host or "another path"
    except httpx2.InvalidURL:
        return "nowhere"


def _pause_s(attempt: int, asked: str | None) -> float:
    """Seconds before the next try: what the server asks for, else twice as long each time, never all at one moment."""
    wanted = _seconds(asked or "")
    if wanted is None:
        wanted = 0.5 * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
    return min(max(wanted, 0.0), _LONGEST_PAUSE_S)


def _seconds(retry_after: str) -> float | None:
    """Retry-After: a number of seconds, or the date of when."""
    try:
        wanted = float(retry_after)
        return None if math.isnan(wanted) else wanted
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return None


def _reason(body: str) -> str:
    """What a server says to an error; nothing where it says nothing that can be understood."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return reason(answer)


def reason(answer: Any) -> str:
    """The words of {"error": ...} or {"detail": ...}, as one line of at most 300 characters; empty without any."""
    if not isinstance(answer, dict):
        return ""
    found = answer.get("error", answer.get("detail"))
    if isinstance(found, dict):
        found = found.get("message")
    if isinstance(found, list):  # FastAPI's: one entry for each field
        found = "; ".join(f"{entry.get('msg')} {entry.get('loc')}" for entry in found if isinstance(entry, dict))
    return " ".join(found.split())[:_SAID] if isinstance(found, str) else ""
