"""libespeak-ng through ctypes: its voices, and the sound of one piece of text.

The library keeps one state for the whole process (voice, rate, pitch, the text in work), so one thread owns it and all
calls go through that thread one after the other. This also keeps Ctrl+C alive: in the main thread Python raises
KeyboardInterrupt at the start of the callback, where ctypes drops it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import espeakng_loader
import numpy as np

from mmcli.errors import EngineError, MissingPackage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RATE = 22050

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_BUFFER_MS = 100
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_ENDPAUSE = 0x1000
_IPA = 0x02
_EVENT_END_OF_LIST, _EVENT_WORD = 0, 1
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
# The library keeps the path of its data in 160 bytes and cuts a longer one.
_MAX_DATA_PATH = 159

_REINSTALL = "pip install --force-reinstall espeakng-loader"
_WORKER = ThreadPoolExecutor(1, thread_name_prefix="espeak")


@dataclass(frozen=True, slots=True)
class Prosody:
    """How to speak: words a minute (80..450), base pitch and pitch range (0..99, 50 is the voice's own)."""

    words_per_minute: int
    pitch: int
    pitch_range: int


@dataclass(frozen=True, slots=True)
class VoiceFile:
    """A voice of the library. `identifier` is its file, `languages` its tags with priorities (lower is better)."""

    name: str
    identifier: str
    languages: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class WordEvent:
    """A word begins: where and how long it is in the text, in characters, and when, in seconds of its sound."""

    position: int
    length: int
    start: float


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


Synthesized = tuple[list["NDArray[np.float32]"], list[WordEvent]]


class _Library:
    """The library made ready. Used in the worker thread only."""

    def __init__(self) -> None:
        path = espeakng_loader.get_library_path()
        if not Path(path).is_file():
            raise MissingPackage(f"espeak: there is no library at {path}", _REINSTALL)
        try:
            self.lib = ctypes.CDLL(path)
            self.lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
            self.lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
            self._data = _data_folder()
            rate = self.lib.espeak_Initialize(
                _AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, os.fsencode(self._data), _DONT_EXIT
            )
            # Breath noise comes from random numbers; the same run then gives the same sound.
            self.lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
        except (OSError, AttributeError) as error:
            raise EngineError(f"espeak: its library cannot be loaded ({error})", _REINSTALL) from error
        if rate != RATE:
            raise EngineError("espeak: its library does not start", _REINSTALL)
        self._blocks: list[NDArray[np.float32]] = []
        self._words: list[WordEvent] = []
        # ctypes does not keep a callback alive; this attribute does.
        self._callback = _Callback(self._take)
        self.lib.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: int | None, count: int, events: Any) -> int:
        if samples and count > 0:
            block = np.frombuffer(ctypes.string_at(samples, 2 * count), np.int16)
            self._blocks.append(block.astype(np.float32) / np.float32(32768))
        index = 0
        while events and events[index].type != _EVENT_END_OF_LIST:
            event = events[index]
            if event.type == _EVENT_WORD and event.length > 0:
                # Positions are counted from 1, times in milliseconds.
                self._words.append(WordEvent(event.text_position - 1, event.length, event.audio_position / 1000))
            index += 1
        return 0

    def voices(self, languages: bytes | None = None) -> list[VoiceFile]:
        wanted = _Voice(languages=ctypes.cast(ctypes.c_char_p(languages), ctypes.c_void_p))
        found = self.lib.espeak_ListVoices(ctypes.byref(wanted) if languages else None)
        return [_voice_file(voice) for voice in _until_null(found)]

    def usable_voices(self) -> list[VoiceFile]:
        """Some builds list voices without the dictionary that they need; those would be silent."""
        return [voice for voice in self.voices() if _dictionary(self._data, voice).is_file()]

    def synthesize(self, text: bytes, voice: bytes, prosody: Prosody) -> Synthesized:
        self._blocks, self._words = [], []
        failed = self.lib.espeak_SetVoiceByName(voice)
        for parameter, value in (
            (_PARAMETER_RATE, prosody.words_per_minute),
            (_PARAMETER_PITCH, prosody.pitch),
            (_PARAMETER_RANGE, prosody.pitch_range),
        ):
            failed = failed or self.lib.espeak_SetParameter(parameter, value, 0)
        flags = _CHARS_UTF8 | _ENDPAUSE
        failed = failed or self.lib.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, flags, None, None)
        if failed:
            raise EngineError(f"espeak: the voice {voice.decode()} failed with status {failed}", _REINSTALL)
        return self._blocks, self._words

    def phonemes(self, text: bytes, voice: bytes) -> list[str]:
        if self.lib.espeak_SetVoiceByName(voice):
            raise EngineError(f"espeak: there is no voice {voice.decode()}")
        rest = ctypes.c_void_p(ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value)
        clauses = []
        while rest.value:
            clauses.append(self.lib.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _IPA).decode())
        return clauses


def _data_folder() -> Path:
    """The folder of phonemes and voices, through a short link where its path is too long for the library."""
    try:
        data = Path(espeakng_loader.get_data_path())
    except RuntimeError as error:
        raise MissingPackage("espeak: its voices are not there", _REINSTALL) from error
    if not (data / "phontab").is_file():
        raise MissingPackage(f"espeak: there are no voices in {data}", _REINSTALL)
    if len(os.fsencode(data)) <= _MAX_DATA_PATH:
        return data
    link = Path(_link_folder().name, "espeak-ng-data")
    link.symlink_to(data)
    return link


def _dictionary(data: Path, voice: VoiceFile) -> Path:
    """The voice's file may name one; else it is that of the first language."""
    usual = data / f"{voice.languages[0][0].partition('-')[0]}_dict"
    if usual.is_file():
        return usual
    lines = (data / "lang" / voice.identifier).read_text(encoding="utf-8").splitlines()
    named = [line.split()[1] for line in lines if line.startswith("dictionary ")]
    return data / f"{named[0]}_dict" if named else usual


@functools.cache
def _link_folder() -> tempfile.TemporaryDirectory[str]:
    """Kept until the program ends: the library opens its files again at each change of voice."""
    return tempfile.TemporaryDirectory(prefix="espeak-")


def _until_null(pointers: Any) -> Iterator[_Voice]:
    index = 0
    while pointers[index]:
        yield pointers[index].contents
        index += 1


def _voice_file(voice: _Voice) -> VoiceFile:
    languages = []
    # A list of: one byte of priority, the tag, a zero byte; a priority of zero ends it.
    at = voice.languages
    while priority := ctypes.string_at(at, 1)[0]:
        tag = ctypes.string_at(at + 1)
        languages.append((tag.decode().lower(), priority))
        at += len(tag) + 2
    return VoiceFile(voice.name.decode().strip(), voice.identifier.decode(), tuple(languages))


@functools.cache
def _library() -> _Library:
    return _Library()


@functools.cache
def list_voices() -> tuple[tuple[VoiceFile, ...], tuple[VoiceFile, ...]]:
    """The voices, one for a language or dialect, and the variants that each of them can take."""
    voices = _WORKER.submit(lambda: (_library().usable_voices(), _library().voices(b"variant"))).result()
    return tuple(voices[0]), tuple(voices[1])


def synthesize(text: str, voice: str, prosody: Prosody) -> Synthesized:
    """The sound of a text at 22050 Hz in blocks of up to 0.1 s, and its words. `voice` is an identifier, perhaps with "+variant".

    EngineError where the library fails.
    """
    # Surrogates cannot be written in UTF-8 and a NUL would end the text.
    data = text.replace("\0", " ").encode("utf-8", "replace")
    return _WORKER.submit(lambda: _library().synthesize(data, voice.encode(), prosody)).result()


def phonemes(text: str, voice: str) -> list[str]:
    """The text in the International Phonetic Alphabet, clause by clause. EngineError where there is no such voice."""
    data = text.replace("\0", " ").encode("utf-8", "replace")
    return _WORKER.submit(lambda: _library().phonemes(data, voice.encode())).result()
