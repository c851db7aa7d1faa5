"""The process in which PocketSphinx decodes. Run as a file: it needs the standard library and pocketsphinx, nothing else.

PocketSphinx keeps the interpreter locked while it decodes, so that in the program itself Ctrl+C would have to wait.
Jobs come on standard input, results go to standard output, as frames: two lengths, then JSON of the first length, then
bytes of the second. The process ends when its standard input does.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
from functools import lru_cache
from typing import IO, Any

_LENGTHS = struct.Struct("<II")


def write_frame(stream: IO[bytes], head: Any, body: bytes = b"") -> None:
    """Send JSON and bytes; OSError where the other side has gone."""
    text = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(text), len(body)) + text)
    stream.write(body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[Any, bytes] | None:
    """The next frame, or None where the other side has gone."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text_length, body_length = _LENGTHS.unpack(lengths)
    text, body = stream.read(text_length), stream.read(body_length)
    if len(text) < text_length or len(body) < body_length:
        return None
    return json.loads(text), body


# One at a time: a decoder takes more than a hundred megabytes.
@lru_cache(maxsize=1)
def _decoder(config: str) -> Any:
    import pocketsphinx

    return pocketsphinx.Decoder(loglevel="FATAL", **json.loads(config))


def _decode(decoder: Any, pcm: bytes) -> list[tuple[str, int, int, float]]:
    """Words with their first and last frame (of 10 ms) and posterior probability, fillers included."""
    # What it has heard before would change what it hears now.
    decoder.reinit_feat()
    decoder.start_utt()
    try:
        # The whole utterance at once: its cepstral mean is then known from the start.
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()
    if decoder.hyp() is None:
        return []
    return [(part.word, part.start_frame, part.end_frame, part.prob) for part in decoder.seg()]


def _end_with_reader(stream: IO[bytes], on: bool) -> None:
    """While on, the kernel ends this process (SIGIO) as soon as nobody can read the stream any more."""
    flags = fcntl.fcntl(stream, fcntl.F_GETFL)
    fcntl.fcntl(stream, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(stream, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)


def main() -> None:
    """Decode until the input ends. A frame is a configuration and sound; without sound it is only to be loaded."""
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    while (frame := read_frame(jobs)) is not None:
        config, pcm = frame
        # The answer before was read before this job was sent, so nothing but the reader's end can raise the signal.
        _end_with_reader(results, on=bool(pcm))
        try:
            decoder = _decoder(json.dumps(config))
            answer: dict[str, Any] = {"words": _decode(decoder, pcm)} if pcm else {}
        except (RuntimeError, ValueError, KeyError, MemoryError, ImportError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _end_with_reader(results, on=False)
        if pcm:
            try:
                write_frame(results, answer)
            except OSError:
                return


if __name__ == "__main__":
    main()
