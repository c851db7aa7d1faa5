"""Whatever is given beside a question, told apart by its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcli.errors import InputError, UsageError
from mmcli.media.document import HEAD_BYTES, MAX_PDF_BYTES, MAX_TEXT_BYTES, is_pdf, is_text, open_document
from mmcli.media.files import is_stream, open_input, peek, source_name, spool
from mmcli.options import AttachOptions

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from mmcli.stages import Attachment

MAX_FRAMES = 128
"""More pictures of one video are never given."""
_PICTURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"II*\0",  # TIFF, both byte orders, and BigTIFF
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\1\0",  # ICO
    b"\xff\x4f\xff\x51",  # JPEG 2000, bare and in its container
    b"\0\0\0\x0cjP  ",
    b"qoif",
    *(b"P%d" % kind + space for kind in range(1, 7) for space in (b"\n", b" ")),
)
# The kinds of an ISO media file that are pictures; the others are videos and recordings.
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def open_attachment(name: str | Path, options: AttachOptions | None = None) -> Attachment:
    """A picture, PDF, text, recording or video from a file, an http(s) address or "-" (standard input).

    Of a video, and with `frames` or `fps` of an animated picture, come the pictures that the options choose.
    InputError: what `open_input`, `fetch` and the opener of its kind refuse, or none of these kinds.
    """
    from mmcli.media import web

    options = options or AttachOptions()
    if web.is_address(str(name)):
        name = web.fetch(str(name), private=options.allow_private_addresses)
    stream = open_input(name)
    source = source_name(name)
    head = peek(stream, HEAD_BYTES)
    if is_stream(stream):
        return _from_stream(stream, head, source, options)
    stream.close()
    return _from_file(name, head, options)


def check_options(options: AttachOptions) -> None:
    """UsageError for a number or rate of pictures that makes no sense."""
    if options.frames is not None and options.fps is not None:
        raise UsageError("--frames and --fps do not go together")
    if options.frames is not None and not 1 <= options.frames <= MAX_FRAMES:
        raise UsageError(f"--frames is from 1 to {MAX_FRAMES}, not {options.frames}")
    if options.fps is not None and not 0 < options.fps <= 1000:
        raise UsageError(f"--fps is above 0, not {options.fps:g}")


def is_picture(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a picture."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _PICTURE_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    # "BM" alone begins many texts: a bitmap has four zero bytes after its size.
    return head.startswith(_PICTURES) or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")


def _from_file(name: str | Path, head: bytes, options: AttachOptions) -> Attachment:
    if is_picture(head):
        from mmcli.media.image import open_image

        return _animation(name, options) or open_image(name)
    if is_pdf(head) or is_text(head):
        return open_document(name)
    from mmcli.media.audio import open_audio
    from mmcli.media.containers import NotMedia
    from mmcli.media.video import open_video

    try:
        return open_video(name, options) or open_audio(name)
    except NotMedia as error:
        raise _unknown(source_name(name)) from error


def _animation(name: str | Path, options: AttachOptions) -> Attachment | None:
    if options.frames is None and options.fps is None:
        return None
    from mmcli.media.video import open_animation

    return open_animation(name, options)


def _from_stream(stream: BinaryIO, head: bytes, source: str, options: AttachOptions) -> Attachment:
    """By way of an unnamed file; of pictures and documents no more than would be read."""
    if is_picture(head):
        from mmcli.media.image import MAX_BYTES

        limit = MAX_BYTES
    elif is_pdf(head) or is_text(head):
        limit = MAX_PDF_BYTES if is_pdf(head) else MAX_TEXT_BYTES
    else:
        limit = None
    return _from_file(spool(stream, source, limit), head, options)


def _unknown(source: str) -> InputError:
    return InputError(source, "cannot be attached", "pictures, PDFs, texts, recordings and videos can")
