"""Answers by any server with OpenAI's `/chat/completions`: vLLM, llama.cpp, Ollama, transformers serve, hosted ones.

The whole conversation goes there with every question, and the answer comes back as server-sent events. What servers differ
in is found out by asking: a field that a server refuses and that can be done without is left out from then on. Addresses,
keys, time-outs and refusals are those of engines/served.py.

Some servers pass over what they do not know, `top_k`, `min_p`, `repetition_penalty` and the schema among it; of these only
the schema can be checked afterwards, and is.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from httpx2 import EventSource

from mmcli.engines.answers import check_document, coordinates, places, read_schema, until
from mmcli.engines.backbone.openai_messages import SIDE, longer_side, messages, pictures, seen
from mmcli.engines.served import ServedError, Server, Watched, reason
from mmcli.errors import ConfigError, ContextOverflow, EngineError, MissingModel, MmcliError, UsageError
from mmcli.stages import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx2

    from mmcli.catalogue import ModelCard
    from mmcli.options import AnswerOptions
    from mmcli.places import Region
    from mmcli.stages import Conversation, Part

# A server may load a large model before its first word.
_TIMEOUT_S = 300.0
# Parts whose pictures are kept as they were sent: those of one conversation.
_KEPT = 16
# Our option: the fields of the request. llama.cpp says repeat_penalty, vLLM repetition_penalty.
_FIELDS = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "min_p": ("min_p",),
    "repetition_penalty": ("repetition_penalty", "repeat_penalty"),
    "seed": ("seed",),
    "stop": ("stop",),
}
# Without these an answer is still one: its usage stays unknown, it comes all at once, or the schema is only checked
# afterwards. OpenAI's newer models want max_completion_tokens, which older servers pass over; llama.cpp's Python server
# knows schemas under another name.
_OPTIONAL = ("stream_options", "max_tokens", "response_format", "stream")
_REFUSED = (400, 422)
_TOO_LONG = (400, 413, 422, 500)
_OVERFLOW = re.compile(
    r"context[ _](length|size|window)|maximum (model |sequence )?length|(prompt|request|input) is too long|"
    r"`inputs` tokens|reduce the length",
    re.IGNORECASE,
)
# That server answers 500 to what it does not understand, with much else in the text.
_OPTIONAL_500 = ("response_format",)


@dataclass(slots=True)
class _Ask:
    """One question: the fields of its request as a server would best have them, and how its answer ended."""

    fields: dict[str, Any]
    options: AnswerOptions
    finish: str = ""


class OpenAiBackbone:
    """A chat model on a server."""

    device = "server"

    def __init__(self, card: ModelCard) -> None:
        """Sends nothing yet. ConfigError for settings, a source or a key that make no sense."""
        self._card = card
        self.server = Server(card, "answer", _TIMEOUT_S)
        self._model = self.server.model
        self._encode = functools.lru_cache(_KEPT)(pictures)
        self._coordinates = coordinates(card)
        self._left_out: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def prepare(self, parts: Iterable[Part]) -> None:
        """Make the pictures ready to be sent."""
        for part in seen(parts):
            self._encode(part, SIDE)

    def answer(self, conversation: Conversation, options: AnswerOptions) -> Iterator[str | Region | Usage]:
        """The answer as the server writes it, then the places that it names where the card tells what they count; closing it closes the connection.

        UsageError for an option or a schema that makes no sense or that the server refuses, MissingModel for a model
        that it has not, ContextOverflow for what is too long for it, EngineError for what else goes wrong; what came before an error stays.
        """
        schema = read_schema(options.schema) if options.schema is not None else None
        ask = _Ask(self._fields(conversation, options, schema), options)
        said: list[str] = []
        with closing(until(self.server.again(lambda: self._attempt(ask)), options.stop)) as pieces:
            for piece in pieces:
                if isinstance(piece, str):
                    said.append(piece)
                yield piece
        if schema is not None:
            check_document("".join(said), schema, whole=ask.finish != "length")
        yield from places("".join(said), self._coordinates, conversation, longer_side(options.detail)[0])

    # ---------------------------------------------------------------- what is sent

    def _fields(
        self, conversation: Conversation, options: AnswerOptions, schema: dict[str, Any] | None
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self._named(),
            "messages": messages(conversation, options.detail, self._encode),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": options.max_new_tokens,
        }
        for option, names in _FIELDS.items():
            value = getattr(options, option)
            if value not in (None, ()):
                fields |= dict.fromkeys(names, value)
        if schema is not None:
            form = {"name": "answer", "schema": schema, "strict": _is_strict(schema)}
            fields["response_format"] = {"type": "json_schema", "json_schema": form}
        return fields

    def _formed(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields as this server wants them, as far as is known."""
        formed = {name: value for name, value in fields.items() if name not in self._left_out}
        if "max_tokens" in self._left_out:
            formed["max_completion_tokens"] = fields["max_tokens"]
        if "stream" in self._left_out:
            formed.pop("stream_options", None)
        if "response_format" in self._left_out and "response_format" in fields:
            schema = fields["response_format"]["json_schema"]["schema"]
            formed["response_format"] = {"type": "json_object", "schema": schema}
        return formed

    def _named(self) -> str:
        """The model's name on the server; where the card tells none, the only one that the server has."""
        if not self._model:
            names = self.server.models()
            if len(names) != 1:
                has = f"it has {', '.join(names[:10])}" if names else "it lists none"
                raise ConfigError(
                    f"{self.server.where}: no model is named, and {has}",
                    f"set `settings.model` of [models.{self._card.name}] in {self._card.origin}",
                )
            self._model = names[0]
        return self._model

    # ---------------------------------------------------------------- asking

    def _attempt(self, ask: _Ask) -> Iterator[str | Usage]:
        while True:
            try:
                yield from self._stream(self._formed(ask.fields), ask)
                return
            except ServedError as error:
                if _overflows(error):
                    raise ContextOverflow(
                        "the question", f"is too long for {self.server.where} ({error.said or error.status})"
                    ) from error
                if error.status == 404:
                    raise self._unknown(error) from error
                if not self._leave_out(error, ask.fields):
                    raise self._refused(error, ask.options) from error

    def _leave_out(self, error: ServedError, fields: dict[str, Any]) -> bool:
        """Whether the server complains of a field that can be left out or said otherwise, and was not yet."""
        for name in _OPTIONAL if error.status in _REFUSED else _OPTIONAL_500 if error.status == 500 else ():
            if name in fields and name not in self._left_out and _complains(error, name):
                with self._lock:
                    self._left_out |= {name}
                return True
        return False

    def _refused(self, error: ServedError, options: AnswerOptions) -> MmcliError:
        """The option that the server complains of, where it names one that was given; else the error as it is."""
        for option, names in {**_FIELDS, "schema": ("response_format", "json_schema")}.items():
            given = error.status in _REFUSED and getattr(options, option) not in (None, ())
            if given and any(_complains(error, name) for name in names):
                flag = f"--{option.replace('_', '-')}"
                return UsageError(f"{self.server.where} refuses {flag} ({error.said or error.status})", "leave it out")
        return error

    def _unknown(self, error: ServedError) -> MissingModel:
        try:
            names = self.server.models()
        except ServedError:
            names = []
        has = f"it has {', '.join(names[:10])}" if names else "or no chat"
        return MissingModel(
            f'{self.server.where} has no model "{self._model}" ({error.said or 404}); {has}',
            f"correct `source` or `settings.model` of [models.{self._card.name}] in {self._card.origin}",
        )

    def _stream(self, fields: dict[str, Any], ask: _Ask) -> Iterator[str | Usage]:
        with self.server.asked("POST", "chat/completions", json=fields) as response:
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind == "application/json":
                chunks = iter([self._chunk(response.read().decode("utf-8", "replace"))])
            elif kind == "text/event-stream":
                chunks = self._chunks(response)
            else:
                raise self.server.garbage(f"its answer is {kind or 'of no type'}, not a chat completion")
            yield from self._pieces(chunks, ask)

    def _chunks(self, response: httpx2.Response) -> Iterator[dict[str, Any]]:
        """The JSON of each event up to [DONE], which some servers leave out."""
        watched = response.stream
        assert isinstance(watched, Watched)
        for event in EventSource(response, max_event_size=None):
            if event.data.strip() == "[DONE]":
                return
            if event.data.strip():
                yield self._chunk(event.data)
            watched.heard = time.monotonic()

    def _chunk(self, text: str) -> dict[str, Any]:
        try:
            chunk = json.loads(text)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            raise self.server.garbage("its answer is no chat completion")
        if chunk.get("error"):
            raise self.server.failed(f"it reports {reason(chunk) or 'an error'}")
        return chunk

    def _pieces(self, chunks: Iterator[dict[str, Any]], ask: _Ask) -> Iterator[str | Usage]:
        finish, usage, spoke, thought = "", None, False, False
        for chunk in chunks:
            usage = chunk.get("usage") or usage
            choice = _first(chunk.get("choices"))
            said = choice.get("delta") or choice.get("message")
            said = said if isinstance(said, dict) else {}
            finish = choice.get("finish_reason") or finish
            thought = thought or bool(said.get("reasoning_content") or said.get("reasoning"))
            text = _text(said.get("content")) + _text(said.get("refusal"))
            if text:
                spoke = True
                yield text
        if not finish:
            if not (spoke or thought or usage):
                raise self.server.garbage("its answer is no chat completion")
            raise self.server.failed("it broke off before the end of its answer")
        if finish == "content_filter":
            raise EngineError(f"{self.server.where} broke off: its filter does not allow the answer")
        if finish == "length" and thought and not spoke:
            tokens = ask.options.max_new_tokens
            raise EngineError(
                f"{self.server.where} has spent all of {tokens} tokens on thinking", "allow it more --max-tokens"
            )
        ask.finish = finish
        if isinstance(usage, dict):
            yield _usage(usage, finish)


# ---------------------------------------------------------------- what comes back


def _first(choices: Any) -> dict[str, Any]:
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def _text(content: Any) -> str:
    """Text as most servers write it, or as a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _usage(usage: dict[str, Any], finish: str) -> Usage:
    def count(value: Any) -> int:
        return value if isinstance(value, int) and value > 0 else 0

    details = usage.get("prompt_tokens_details")
    return Usage(
        count(usage.get("prompt_tokens")),
        count(usage.get("completion_tokens")),
        count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
        finish="length" if finish == "length" else "stop",
    )


def _overflows(error: ServedError) -> bool:
    """Whether the server says that what was sent is longer than the context of its model: each has its own words."""
    return error.status in _TOO_LONG and _OVERFLOW.search(error.body) is not None


def _complains(error: ServedError, field: str) -> bool:
    return re.search(rf"\b{field}\b", error.said or error.body) is not None


def _is_strict(schema: Any) -> bool:
    """Whether every object of a schema names all that it has, which OpenAI asks for before it guarantees the document."""
    if isinstance(schema, dict):
        if "properties" in schema or schema.get("type") == "object":
            named = set(schema.get("properties", {}))
            if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != named:
                return False
        return all(map(_is_strict, schema.values()))
    return all(map(_is_strict, schema)) if isinstance(schema, list) else True
