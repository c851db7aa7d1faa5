"""Text-to-speech by any server with OpenAI's `/audio/speech`: one request for each sentence, heard while it still comes.

A WAV is asked for, as its header tells the rate; bare samples where a server has none. What a server sends in another
form than it was asked for is decoded all the same, once it is whole. Addresses, keys, time-outs and refusals are those of engines/served.py.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from mmcli.engines import served
from mmcli.engines.options import refuse_others
from mmcli.engines.served import ServedError, Server, Watched
from mmcli.errors import MissingModel, UsageError
from mmcli.stages import Audio, Voice
from mmcli.text import has_words, utterances
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx2

    from mmcli.catalogue import ModelCard
    from mmcli.options import SpeakOptions

# A server may load its model before the first sound.
_TIMEOUT_S = 120.0
# OpenAI's servers take 4096 characters; half a minute of speech is as much as most models keep together.
_MAX_CHARACTERS = 500
_SPEEDS = 0.25, 4.0
_FORMATS = ("wav", "pcm")
# What OpenAI's `pcm` is: 16 bits, one channel, this rate; some servers tell theirs in the type of the answer.
_PCM_RATE = 24000
_RATES = 4000, 192_000
_MAX_HEADER = 1 << 16
_TYPES = ("audio/", "application/octet-stream", "binary/octet-stream", "video/")
# Those that OpenAI's own models have; most servers take these names for voices of theirs.
_VOICES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse")


class OpenAiSynthesizer:
    """A voice on a server. The language is the server's to hear from the text."""

    device = "server"

    def __init__(self, card: ModelCard) -> None:
        """Sends nothing yet. ConfigError for settings, a source or a key that make no sense."""
        self._card = card
        self.server = Server(card, "speak", _TIMEOUT_S)
        self._model = self.server.model or "tts-1"
        self._format = 0

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """Sound as the server sends it, at its rate; closing it closes the connection.

        UsageError at once for options that go to no server; EngineError or MissingModel for what the server answers.
        """
        refuse_others(options, ("voice", "language", "speed"), f'model "{self._card.name}" on a server')
        if not _SPEEDS[0] <= options.speed <= _SPEEDS[1]:
            raise UsageError(f"the speed goes from {_SPEEDS[0]:g} to {_SPEEDS[1]:g}, not {options.speed:g}")
        fields: dict[str, Any] = {"model": self._model, "voice": options.voice or _VOICES[0]}
        if options.speed != 1:
            fields["speed"] = options.speed
        return self._speak(sentences, fields)

    def voices(self) -> tuple[Voice, ...]:
        """Those that the server lists at `audio/voices`, as many do; else OpenAI's. The server is asked."""
        try:
            listed = next(self.server.again(self._list))
        except ServedError as error:
            if not 400 <= error.status < 500 or error.status in (401, 403, 429):
                raise
            listed = []
        return tuple(listed) or tuple(Voice(name, "*", "OpenAI's; this server lists none") for name in _VOICES)

    def _list(self) -> Iterator[list[Voice]]:
        with self.server.asked("GET", "audio/voices") as response:
            try:
                answer = json.loads(response.read())
            except (ValueError, RecursionError):
                answer = None
        entries = answer.get("voices", answer.get("data")) if isinstance(answer, dict) else answer
        yield [voice for entry in entries if (voice := _voice(entry))] if isinstance(entries, list) else []

    # ---------------------------------------------------------------- asking

    def _speak(self, sentences: Iterable[str], fields: dict[str, Any]) -> Iterator[Audio]:
        with closing(closable(sentences)) as source:
            for sentence in source:
                for piece in utterances(sentence, _MAX_CHARACTERS):
                    if has_words(piece):
                        yield from self._ask({**fields, "input": piece.strip()})

    def _ask(self, fields: dict[str, Any]) -> Iterator[Audio]:
        """The sound of one piece. A format that the server has not is given up for good."""
        while True:
            number = self._format
            try:
                yield from self.server.again(lambda: self._sound({**fields, "response_format": _FORMATS[number]}))  # noqa: B023
            except ServedError as error:
                if error.status in (400, 415, 422) and number + 1 < len(_FORMATS) and "format" in error.body:
                    self._format = number + 1
                    continue
                raise self._translated(error, fields) from error
            return

    def _translated(self, error: ServedError, fields: dict[str, Any]) -> Exception:
        if error.status == 404:
            return MissingModel(
                f'{self.server.where} has no model "{self._model}" or no speech ({error.said or 404})',
                f"correct `source` or `settings.model` of [models.{self._card.name}] in {self._card.origin}",
            )
        if error.status in (400, 422) and re.search(r"\bvoice", error.said or error.body):
            return UsageError(
                f'{self.server.where} refuses the voice "{fields["voice"]}" ({error.said or error.status})',
                "mmcli speak --list-voices may name others",
            )
        return error

    def _sound(self, fields: dict[str, Any]) -> Iterator[Audio]:
        with self.server.asked("POST", "audio/speech", json=fields) as response:
            kind = response.headers.get("Content-Type", "").lower()
            if kind and not kind.startswith(_TYPES):
                raise self.server.garbage(f"its answer is {kind.partition(';')[0]}, not sound")
            body = _Body(response)
            begun = body.peek(12)
            if not begun:
                raise self.server.garbage("its answer is empty")
            heard = False
            if _is_bare(begun, kind, fields["response_format"]):
                blocks = body.samples(_Wav(0, _rate(kind), 1, None))
            elif (wav := body.wav()) is not None:
                blocks = body.samples(wav)
            else:
                blocks = self._decoded(body.rest())
            for block in blocks:
                heard = True
                yield block
            if not heard:
                raise self.server.garbage("its answer holds no sound")
            if body.lacking:
                raise self.server.failed(f"it broke off {body.lacking} bytes before the end of its sound")

    def _decoded(self, content: bytes) -> Iterator[Audio]:
        """The sound of a whole file of any format that libsndfile knows."""
        try:
            with soundfile.SoundFile(io.BytesIO(content)) as file:
                if not _RATES[0] <= file.samplerate <= _RATES[1]:
                    raise self.server.garbage(f"its answer has {file.samplerate} samples a second")
                for block in file.blocks(file.samplerate, dtype="float32", always_2d=True):
                    mono = np.nan_to_num(block.mean(axis=1), nan=0.0)
                    yield Audio(np.clip(mono, -1, 1).astype(np.float32), file.samplerate)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise self.server.garbage("its answer is no sound that can be decoded") from error


# ---------------------------------------------------------------- what comes back


@dataclass(frozen=True, slots=True)
class _Wav:
    """Where the samples of 16 bits begin in a body, and how many bytes they are; None where it is not known."""

    start: int
    rate: int
    channels: int
    size: int | None


class _Body:
    """The body of an answer, read as it comes."""

    def __init__(self, response: httpx2.Response) -> None:
        self._chunks = response.iter_bytes()
        assert isinstance(response.stream, Watched)
        self._watched = response.stream
        self._held = b""
        self.lacking = 0
        """Bytes that a header promised and that never came."""

    def peek(self, size: int) -> bytes:
        """The first bytes; fewer where there are no more."""
        while len(self._held) < size and (chunk := self._next()):
            self._held += chunk
        return self._held[:size]

    def wav(self) -> _Wav | None:
        """What the header of a WAV of 16 bits says; None for any other file."""
        size = 64
        while size <= _MAX_HEADER:
            found = _read_header(self.peek(size))
            if found is not None or len(self._held) < size:
                return found
            size *= 2
        return None

    def rest(self) -> bytes:
        return self._held + b"".join(iter(self._next, b""))

    def samples(self, wav: _Wav) -> Iterator[Audio]:
        """Samples of 16 bits as they come, channels mixed."""
        left = math.inf if wav.size is None else wav.size
        data, self._held = self._held[wav.start :], b""
        width = 2 * wav.channels
        while data or (data := self._next()):
            data = data[: int(min(left, len(data)))]
            whole = len(data) - len(data) % width
            if whole:
                frames = np.frombuffer(data[:whole], "<i2").reshape(-1, wav.channels)
                yield Audio(frames.mean(axis=1, dtype=np.float32) / np.float32(32768), wav.rate)
                left -= whole
            rest = data[whole:]
            if left < width or not (chunk := self._next()):
                break
            data = rest + chunk
        self.lacking = 0 if wav.size is None else int(left)

    def _next(self) -> bytes:
        # However long whoever listens took for what came before, the server has its time from now on.
        self._watched.heard = time.monotonic()
        return next(filter(None, self._chunks), b"")


def _read_header(begun: bytes) -> _Wav | None:
    """The header of a WAV of 16 bits; None where it is another file, or not whole yet."""
    if begun[:4] != b"RIFF" or begun[8:12] != b"WAVE":
        return None
    at, form = 12, (0, 0, 0, 0)
    while at + 8 <= len(begun):
        name, size = begun[at : at + 4], int.from_bytes(begun[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt " and at + 16 <= len(begun):
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", begun, at)
            form = (kind, channels, rate, bits)
        elif name == b"data":
            kind, channels, rate, bits = form
            if kind != 1 or bits != 16 or not 1 <= channels <= 8 or not _RATES[0] <= rate <= _RATES[1]:
                return None
            # Who does not know the size beforehand writes 0 or some number that is too large.
            return _Wav(at, rate, channels, size if 0 < size < served.MAX_ANSWER_BYTES else None)
        at += size + size % 2
    return None


def _is_bare(begun: bytes, kind: str, asked: str) -> bool:
    """Whether an answer is samples without a header; neither what it was asked for nor what it calls itself is sure."""
    if begun.startswith((b"RIFF", b"fLaC", b"OggS", b"ID3")) or kind.startswith("audio/mpeg"):
        return False
    return asked == "pcm" or kind.startswith(("audio/pcm", "audio/l16"))


def _rate(kind: str) -> int:
    """The rate of bare samples, as in audio/pcm;rate=22050."""
    found = re.search(r"rate=(\d{4,6})\b", kind)
    rate = int(found[1]) if found else _PCM_RATE
    return rate if _RATES[0] <= rate <= _RATES[1] else _PCM_RATE


def _voice(entry: Any) -> Voice | None:
    """A voice as a name, or as an object with one."""
    if isinstance(entry, str):
        return Voice(entry, "*")
    if not isinstance(entry, dict):
        return None
    name = next((entry[key] for key in ("id", "voice_id", "name") if isinstance(entry.get(key), str)), None)
    language = entry.get("language", entry.get("locale"))
    about = entry.get("name") if entry.get("name") != name else entry.get("description")
    if not name:
        return None
    return Voice(name, language if isinstance(language, str) else "*", about if isinstance(about, str) else "")
