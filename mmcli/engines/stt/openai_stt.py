"""Speech-to-text by any server with OpenAI's `/audio/transcriptions`: one upload of a WAV file for each window.

Addresses, keys, time-outs and refusals are those of engines/served.py.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mmcli.engines.options import refuse_others, written_in
from mmcli.engines.served import ServedError, Server
from mmcli.errors import MissingModel, UsageError, did_you_mean
from mmcli.media.audio_out import wav_bytes
from mmcli.stages import Segment, Word
from mmcli.text import primary
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mmcli.catalogue import ModelCard
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Window

_HONOURED = ("language", "word_timestamps", "fast", "task", "temperature", "initial_prompt")
_TASKS = {"transcribe": "audio/transcriptions", "translate": "audio/translations"}
_TIMEOUT_S = 120.0
# The richest form first; a server that has not the first may have the second.
_FORMATS = ("verbose_json", "json", "text")


class OpenAiTranscriber:
    """A model on a server. Segments and words have the server's times where it gives any."""

    rate = 16000
    packs = False
    words = True

    device = "server"

    def __init__(self, card: ModelCard) -> None:
        """Sends nothing yet. ConfigError for settings, a source or a key that make no sense."""
        self._card = card
        self.server = Server(card, "transcribe", _TIMEOUT_S)
        self._model = self.server.model or "whisper-1"
        self._format = 0
        self._granular = True
        self._lock = threading.Lock()

    def transcribe(
        self, windows: Iterable[Window], options: TranscribeOptions, carried: Mapping[str, Any] | None = None
    ) -> Iterator[Segment]:
        """Segments in order, those of a window as soon as the server has answered, within the window's times.

        Nothing is carried from one window to the next.
        UsageError for options that go to no server, EngineError or MissingModel for what the server answers.
        """
        given = self._given(options)
        with closing(closable(windows)) as source:
            for window in source:
                if len(window.audio.samples):
                    answer = self._ask(wav_bytes(window.audio), given, options)
                    yield from _segments(answer, window, options)
                window.done(window.end, {})

    def _given(self, options: TranscribeOptions) -> dict[str, Any]:
        refuse_others(options, _HONOURED, f'model "{self._card.name}" on a server')
        if options.task not in _TASKS:
            raise UsageError(
                f'the task is {" or ".join(_TASKS)}, not "{options.task}"', did_you_mean(options.task, _TASKS)
            )
        given: dict[str, Any] = {"model": self._model}
        if options.language is not None and options.task == "transcribe":
            given["language"] = primary(options.language)
        if options.initial_prompt is not None:
            given["prompt"] = options.initial_prompt
        if options.temperature != type(options)().temperature:
            if len(options.temperature) != 1:
                raise UsageError("--temperature is one number for a model on a server")
            given["temperature"] = options.temperature[0]
        return given

    # ---------------------------------------------------------------- asking

    def _ask(self, content: bytes, given: dict[str, Any], options: TranscribeOptions) -> Any:
        """The server's answer: a JSON object, or a text. A form of answer that it has not is given up for good."""
        while True:
            number, granular = self._format, self._granular
            fields = {**given, "response_format": _FORMATS[number]}
            if _FORMATS[number] == "verbose_json" and options.word_timestamps and granular:
                fields["timestamp_granularities[]"] = ["word", "segment"]
            try:
                body = next(self.server.again(lambda: self._send(_TASKS[options.task], fields, content)))  # noqa: B023
            except ServedError as error:
                if error.status in (400, 415, 422) and number + 1 < len(_FORMATS) and _about_format(error.body):
                    with self._lock:
                        if "timestamp_granularities[]" in fields:
                            self._granular = False
                        elif self._format == number:
                            self._format += 1
                    continue
                if error.status == 404:
                    raise MissingModel(
                        f'{self.server.where} has no model "{self._model}" or no transcriptions ({error.said or 404})',
                        f"correct `source` or `settings.model` of [models.{self._card.name}] in {self._card.origin}",
                    ) from error
                raise
            return self._read(body, _FORMATS[number])

    def _send(self, path: str, fields: dict[str, Any], content: bytes) -> Iterator[bytes]:
        files = {"file": ("speech.wav", content, "audio/wav")}
        with self.server.asked("POST", path, data=fields, files=files) as response:
            yield response.read()

    def _read(self, body: bytes, form: str) -> Any:
        if form == "text":
            return body.decode("utf-8", "replace")
        try:
            answer = json.loads(body)
            if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
                raise ValueError("no text in it")
        except (ValueError, RecursionError) as error:
            raise self.server.garbage("its answer is no transcription") from error
        return answer


# ---------------------------------------------------------------- what comes back


def _about_format(text: str) -> bool:
    return re.search(r"response_format|verbose_json|timestamp_granularities", text) is not None


def _segments(answer: Any, window: Window, options: TranscribeOptions) -> Iterator[Segment]:
    first, last = window.start, window.start + window.audio.seconds
    if isinstance(answer, str):
        answer = {"text": answer}
    language = written_in(options, _language(answer.get("language"), options))
    words = _words(answer.get("words"), (first, last)) if options.word_timestamps else []
    segments = [part for part in _timed(answer.get("segments"), (first, last)) if _text(part[2]).strip()]
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
        yield Segment(start, end, _text(part).strip(), inside, language)


def _language(named: Any, options: TranscribeOptions) -> str | None:
    """What was asked for, else the server's code; the names in English that some give are no codes."""
    if options.language is not None:
        return primary(options.language)
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
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _text(part: dict[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _words(parts: Any, bounds: tuple[float, float]) -> list[Word]:
    words = []
    for start, end, part in _timed(parts, bounds):
        text = part.get("word", part.get("text"))
        if isinstance(text, str) and text.strip():
            chance: Any = part.get("probability")
            known = _is_number(chance) and 0 <= chance <= 1
            words.append(Word(text, start, end, float(chance) if known else None))
    return words
