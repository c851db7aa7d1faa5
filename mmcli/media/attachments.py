"""Whatever is given beside a question, told apart by its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcli.errors import InputError
from mmcli.media.document import HEAD_BYTES, MAX_PDF_BYTES, MAX_TEXT_BYTES, is_pdf, is_text, open_document
from mmcli.media.files import is_stream, open_input, peek, read_limited, source_name

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from mmcli.stages import Attachment

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


def open_attachment(name: str | Path) -> Attachment:
    """A picture, PDF, text or recording (or a video's sound) from a file or "-" (standard input).

    InputError: what `open_input` and the opener of its kind refuse, or none of these kinds.
    """
    source = source_name(name)
    stream = open_input(name)
    head = peek(stream, HEAD_BYTES)
    if not is_stream(stream):
        stream.close()
        return _from_file(name, head, source)
    return _from_stream(stream, head, source)


def is_picture(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a picture."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _PICTURE_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    # "BM" alone begins many texts: a bitmap has four zero bytes after its size.
    return head.startswith(_PICTURES) or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")


def _from_file(name: str | Path, head: bytes, source: str) -> Attachment:
    if is_picture(head):
        from mmcli.media.image import open_image

        return open_image(name)
    if is_pdf(head) or is_text(head):
        return open_document(name)
    from mmcli.media.audio import NotMedia, open_audio

    try:
        return open_audio(name)
    except NotMedia as error:
        raise _unknown(source) from error


def _from_stream(stream: BinaryIO, head: bytes, source: str) -> Attachment:
    if is_picture(head):
        from mmcli.media.image import MAX_BYTES, open_image

        with stream:
            return open_image(read_limited(stream, source, MAX_BYTES), source)
    if is_pdf(head) or is_text(head):
        with stream:
            return open_document(
                read_limited(stream, source, MAX_PDF_BYTES if is_pdf(head) else MAX_TEXT_BYTES), source
            )
    from mmcli.media.audio import NotMedia, stream_audio

    try:
        return stream_audio(stream, source)
    except NotMedia as error:
        raise _unknown(source) from error


def _unknown(source: str) -> InputError:
    return InputError(source, "cannot be attached", "pictures, PDFs, texts, recordings and videos with sound can")
