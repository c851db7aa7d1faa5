"""A conversation as servers with OpenAI's chat API take it: texts, pictures and recordings, each in its place.

Pictures go as data URIs, made anew from their pixels, so that neither the file's own facts (where it was taken) nor a
format that the server has not go there: a drawing as PNG, a photo as JPEG. The longer side has at most 2048 pixels, 512
with the detail low, N with the detail N; none is made larger.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from mmcli.errors import InputError, UsageError
from mmcli.media.audio_out import wav_bytes
from mmcli.stages import Audio, AudioSource, Document, Image, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mmcli.stages import Conversation, Message, Part

SIDE = 2048
"""Pixels of the longer side; OpenAI's own models scale what is larger down to this."""
_LOW_SIDE = 512
# Colours that a drawing or a screenshot may have; a photo has more.
_DRAWING = 4096
_JPEG_QUALITY = 90
_RATE = 16000
_MAX_AUDIO_S = 600.0


def messages(
    conversation: Conversation,
    detail: str | None,
    encode: Callable[[Image | Video, int], tuple[tuple[float, str], ...]],
) -> list[dict[str, Any]]:
    """The `messages` of a request; `encode` is `pictures` or a function that remembers what that gave.

    UsageError for a detail that is none, InputError for a document, a broken picture or more than 10 minutes of sound.
    """
    side, named = longer_side(detail)

    def parts(message: Message) -> Iterator[dict[str, Any]]:
        for part in message.parts:
            if isinstance(part, str):
                yield _text(part)
            elif isinstance(part, AudioSource):
                yield _sound(part)
            elif isinstance(part, Document):
                raise InputError(part.source, "goes to no server as a document", "give its text or its pages")
            else:
                for seconds, uri in encode(part, side):
                    if isinstance(part, Video):
                        yield _text(f"{int(seconds // 60)}:{seconds % 60:04.1f}")
                    picture = {"url": uri, **({"detail": named} if named else {})}
                    yield {"type": "image_url", "image_url": picture}

    def content(message: Message) -> str | list[dict[str, Any]]:
        # Models for text alone, and the system's message, often have to be plain.
        plain = message.role == "system" or all(isinstance(part, str) for part in message.parts)
        return message.text if plain else list(parts(message))

    return [{"role": message.role, "content": content(message)} for message in conversation.messages]


def pictures(part: Image | Video, side: int) -> tuple[tuple[float, str], ...]:
    """The pictures of a part as data URIs, each with its time in seconds (0 for a still one)."""
    if isinstance(part, Image):
        return ((0.0, _data_uri(part.pixels(), side)),)
    return tuple((seconds, _data_uri(frame, side)) for seconds, frame in part.frames())


def seen(parts: Iterable[Part]) -> Iterator[Image | Video]:
    """Those of the parts that have pictures."""
    return (part for part in parts if isinstance(part, Image | Video))


def longer_side(detail: str | None) -> tuple[int, str | None]:
    """Most pixels of the longer side, and what the API calls that detail, if it has a word for it."""
    if detail is None:
        return SIDE, None
    if detail in ("low", "high"):
        return (_LOW_SIDE if detail == "low" else SIDE), detail
    if detail.isascii() and detail.isdigit() and int(detail) > 0:
        return int(detail), None
    raise UsageError(f'the detail is low, high or a number of pixels, not "{detail}"')


def _data_uri(picture: PIL.Image.Image, side: int) -> str:
    if max(picture.size) > side:
        scale = side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, PIL.Image.Resampling.LANCZOS)
    held = io.BytesIO()
    if picture.getcolors(_DRAWING) is not None:
        picture.save(held, "PNG")
        kind = "png"
    else:
        picture.save(held, "JPEG", quality=_JPEG_QUALITY)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode('ascii')}"


def _sound(source: AudioSource) -> dict[str, Any]:
    blocks, seconds = [], 0.0
    for block in source.blocks(_RATE):
        blocks.append(block.samples)
        seconds += block.seconds
        if seconds > _MAX_AUDIO_S:
            raise InputError(source.source, f"is longer than {_MAX_AUDIO_S / 60:g} minutes", "cut it, or transcribe it")
    whole = Audio(np.concatenate(blocks) if blocks else np.zeros(0, np.float32), _RATE)
    data = base64.b64encode(wav_bytes(whole)).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
