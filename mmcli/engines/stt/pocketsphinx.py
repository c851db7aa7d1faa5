"""PocketSphinx with the English model that its package carries: each window decoded whole, in processes of their own.

The recognizer keeps the interpreter locked while it decodes; see sphinx_worker.py. Processes are started as windows
wait for them, are kept warm between uses, and end with the engine, with a use that is broken off, or with the program.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import closing, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli.engines.options import check_settings, refuse_others
from mmcli.engines.stt import sphinx_worker
from mmcli.errors import EngineError, UsageError
from mmcli.stages import Segment, Word
from mmcli.text import primary
from mmcli.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.options import TranscribeOptions
    from mmcli.stages import Window

# Each takes about 130 MB, and a program that hears should not need half a gigabyte.
_MAX_WORKERS = 2
_FRAMES_PER_S = 100
# Wide beams: more word errors are avoided than by any other setting, for about twice the time of the default ones.
_THOROUGH = {"beam": 1e-80, "wbeam": 1e-40, "maxhmmpf": 100000, "maxwpf": 60}
_FAST = {"maxhmmpf": 3000}
_VARIANT = re.compile(r"\(\d+\)$")
"""How the dictionary marks the second pronunciation of a word and those after it."""


class PocketSphinx:
    """English only. Text is lower case without punctuation; probabilities are posteriors in the word lattice."""

    rate = 16000
    packs = False
    words = True

    def __init__(self, card: ModelCard) -> None:
        """Begins to load in the background. ConfigError for a setting, as there are none."""
        check_settings(card)
        if find_spec("pocketsphinx") is None:
            raise ModuleNotFoundError("No module named 'pocketsphinx'", name="pocketsphinx")
        self.workers = min(_MAX_WORKERS, len(os.sched_getaffinity(0)))
        self._workers = _Workers(self.workers)

    def transcribe(
        self, windows: Iterable[Window], options: TranscribeOptions, carried: Mapping[str, Any] | None = None
    ) -> Iterator[Segment]:
        """One segment for each window in which words were heard, as soon as it and those before it are decoded.

        Nothing is carried from one window to the next.
        UsageError for another language than English, EngineError when a process of the recognizer is lost.
        """
        refuse_others(options, ("language", "word_timestamps", "fast"), "pocketsphinx")
        _check_language(options.language)
        config = _FAST if options.fast else _THOROUGH
        use = _Use(self._workers)

        def work(window: Window) -> tuple[Window, Segment | None]:
            pcm = _pcm16(window.audio.samples)
            # In a moment of digital silence the recognizer would hear "oh".
            words = use.decode(config, pcm) if pcm.strip(b"\0") else []
            return window, _segment(window, words or [], options)

        with closing(side_by_side(work, windows, self.workers, use.close)) as heard:
            for window, segment in heard:
                if segment is not None:
                    yield segment
                window.done(window.end, {})


def _check_language(language: str | None) -> None:
    if language is not None and primary(language) != "en":
        raise UsageError(
            f'pocketsphinx understands English only, not "{language}"',
            "choose another model with --model (mmcli models list --role stt)",
        )


def _pcm16(samples: NDArray[np.float32]) -> bytes:
    return (np.clip(np.nan_to_num(samples), -1, 1) * 32767).astype("<i2").tobytes()


def _segment(window: Window, parts: list[list[Any]], options: TranscribeOptions) -> Segment | None:
    end_of_window = window.start + window.audio.seconds
    words = []
    for text, first, last, probability in parts:
        # <s>, </s>, <sil>, [NOISE] and their like are sounds, not words.
        if text[0] in "<[+":
            continue
        start = window.start + first / _FRAMES_PER_S
        end = min(window.start + (last + 1) / _FRAMES_PER_S, end_of_window)
        words.append(Word(_VARIANT.sub("", text), start, end, min(max(probability, 0.0), 1.0)))
    if not words:
        return None
    text = " ".join(word.text for word in words)
    return Segment(words[0].start, words[-1].end, text, tuple(words) if options.word_timestamps else (), "en")


class _Worker:
    """One process of the recognizer."""

    def __init__(self) -> None:
        # Blocked signals stay blocked in a child: Ctrl+C is the program's to handle, from the child's first instant.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # -P: our own folder, where a file is called pocketsphinx too, is not searched for modules.
            self._process = subprocess.Popen(
                [sys.executable, "-P", sphinx_worker.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise EngineError(f"pocketsphinx cannot start a process ({error.strerror})") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def load(self, config: dict[str, Any]) -> None:
        """Let it load a configuration meanwhile; a process that has ended is found out at its first use."""
        assert self._process.stdin is not None
        with suppress(OSError):
            sphinx_worker.write_frame(self._process.stdin, config)

    def decode(self, config: dict[str, Any], pcm: bytes) -> list[list[Any]]:
        """The words of 16-bit samples; EngineError where there is no answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            sphinx_worker.write_frame(self._process.stdin, config, pcm)
            answer = sphinx_worker.read_frame(self._process.stdout)
        except (OSError, ValueError):
            answer = None
        if answer is None:
            self.kill()
            code = self._process.wait()
            reason = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit status {code}"
            raise EngineError(
                f"pocketsphinx: its process ended before its answer ({reason})", "try again with more free memory"
            )
        if "error" in answer[0]:
            raise EngineError(f"pocketsphinx failed ({answer[0]['error']})")
        words: list[list[Any]] = answer[0]["words"]
        return words

    def kill(self) -> None:
        """End it at once, in the middle of a decode too; whoever waits for its answer gets an EngineError."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # What could not be written any more is of no use.
            with suppress(OSError):
                if stream is not None:
                    stream.close()


class _Workers:
    """The processes of a loaded engine: no more than `limit` decode at a time, however many uses there are."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._slots = threading.BoundedSemaphore(limit)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        weakref.finalize(self, _kill_all, self._all)
        first = self.take()
        first.load(_THOROUGH)
        self._idle.append(first)

    def slot(self, timeout: float) -> bool:
        """Wait for the right to decode; False where there was none in `timeout` seconds."""
        return self._slots.acquire(timeout=timeout)

    def free_slot(self) -> None:
        self._slots.release()

    def take(self) -> _Worker:
        """A warm process where there is one, a new one otherwise."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._drop(worker)
            worker = _Worker()
            self._all.add(worker)
            return worker

    def give_back(self, worker: _Worker) -> None:
        with self._lock:
            if worker.alive:
                self._idle.append(worker)
            else:
                self._drop(worker)

    def _drop(self, worker: _Worker) -> None:
        worker.kill()
        self._all.discard(worker)


def _kill_all(workers: set[_Worker]) -> None:
    for worker in workers:
        worker.kill()


class _Use:
    """One transcription: it knows which processes work for it, so that ending it ends their work."""

    def __init__(self, workers: _Workers) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._busy: set[_Worker] = set()
        self._closed = False

    def decode(self, config: dict[str, Any], pcm: bytes) -> list[list[Any]] | None:
        """The words of the samples, None once the use is closed."""
        while not self._workers.slot(timeout=0.1):
            if self._closed:
                return None
        try:
            with self._lock:
                if self._closed:
                    return None
                worker = self._workers.take()
                self._busy.add(worker)
            try:
                return worker.decode(config, pcm)
            except EngineError:
                if self._closed:
                    return None
                raise
            finally:
                with self._lock:
                    self._busy.discard(worker)
                self._workers.give_back(worker)
        finally:
            self._workers.free_slot()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for worker in self._busy:
                worker.kill()
