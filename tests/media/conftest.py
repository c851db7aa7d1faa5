"""What the tests of media share: tones, pipes that somebody writes to, PDFs made on the spot."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium
import pytest

from mmcli.stages import Audio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


@pytest.fixture(scope="session")
def tone() -> Callable[..., NDArray[np.float32]]:
    return _tone


@pytest.fixture(scope="session")
def heard() -> Callable[..., tuple[float, float, float]]:
    return _heard


@pytest.fixture
def piped() -> Callable[..., object]:
    return _piped


@pytest.fixture(scope="session")
def make_pdf() -> Callable[..., bytes]:
    return _make_pdf


@pytest.fixture(scope="session")
def pdf_with_password() -> bytes:
    return _with_password(b"secret")


def _tone(hertz: float = 440.0, seconds: float = 2.0, rate: int = 16000, level: float = 0.5) -> NDArray[np.float32]:
    """A sine of that peak level."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def _heard(blocks: Iterator[Audio]) -> tuple[float, float, float]:
    """Seconds, Hz of the loudest frequency, peak level of a sine as loud as the middle of the sound."""
    blocks = list(blocks)
    assert len({block.rate for block in blocks}) == 1
    samples = np.concatenate([block.samples for block in blocks])
    assert samples.dtype == np.float32
    rate = blocks[0].rate
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return len(samples) / rate, float(spectrum.argmax() * rate / len(middle)), float(np.sqrt(2 * (middle**2).mean()))


@contextmanager
def _piped(data: bytes) -> Iterator[str]:
    """The name of a pipe that gives `data`, as the shell's <(...) does."""
    reading, writing = os.pipe()

    def write() -> None:
        try:
            with open(writing, "wb") as stream:
                stream.write(data)
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
        thread.join()


# x and y in points from the bottom left, the size of the font, the text
Placed = tuple[float, float, float, str]


def _make_pdf(pages: Sequence[Sequence[Placed]], *, size: tuple[float, float] = (595, 842), turn: int = 0) -> bytes:
    """A PDF with a text layer in Helvetica; each page turned by `turn` degrees clockwise when shown."""
    pdf = pypdfium2.PdfDocument.new()
    for texts in pages:
        page = pdf.new_page(*size)
        for x, y, points, text in texts:
            item = pdfium.FPDFPageObj_NewTextObj(pdf, b"Helvetica", points)
            encoded = (text + "\0").encode("utf-16-le")
            pdfium.FPDFText_SetText(item, ctypes.cast(encoded, ctypes.POINTER(ctypes.c_ushort)))
            pdfium.FPDFPageObj_Transform(item, 1, 0, 0, 1, x, y)
            pdfium.FPDFPage_InsertObject(page, item)
        page.set_rotation(turn)
        pdfium.FPDFPage_GenerateContent(page)
        page.close()
    out = io.BytesIO()
    pdf.save(out)
    pdf.close()
    return out.getvalue()


def _with_password(password: bytes) -> bytes:
    """An empty page under the oldest standard protection: RC4 of 40 bits, revision 2 (ISO 32000-1, 7.6.3)."""
    padding = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    padded = (password + padding)[:32]
    owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
    allowed = -4 & 0xFFFFFFFF
    key = hashlib.md5(padded + owner + allowed.to_bytes(4, "little") + b"0123456789abcdef").digest()[:5]
    user = _rc4(key, padding)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>",
        b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (owner.hex().encode(), user.hex().encode()),
    ]
    body, places = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%sendobj\n" % (number, item)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    name = b"0123456789abcdef".hex().encode()
    trailer = b"trailer<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<%s><%s>]>>\n" % (name, name)
    return body + table + trailer + b"startxref\n%d\n%%%%EOF\n" % len(body)


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
