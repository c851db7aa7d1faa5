"""PDF pages through PDFium: text lines with boxes, and the page drawn."""

from __future__ import annotations

import ctypes
import threading
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from mmcli.errors import InputError
from mmcli.media.document import MAX_PDF_BYTES
from mmcli.media.files import check_size, too_large
from mmcli.stages import Document, Page, TextLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import PIL.Image

MAX_PAGES = 2000
MAX_RENDER_PIXELS = 100_000_000

# PDFium is not made for threads: every call into it stands under this lock.
_LOCK = threading.RLock()
# PDFium gives device positions as integers: this many to the point.
_PARTS = 64
# What it writes for a hyphen that parts a word at a line's end.
_HYPHENS = {0x02: "-", 0xFFFE: "-", 0xAD: "-"}
# Words further apart than this share of their line's height are in different columns or cells.
_WIDE_GAP = 1.0

_Data = bytes | BinaryIO
Box = tuple[float, float, float, float]


@dataclass(slots=True)
class _Word:
    """A word and its box on the page as it would lie with this word upright: `turn` quarter turns from how it is shown."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    turn: int

    @property
    def height(self) -> float:
        return self.bottom - self.top


def open_pdf(opener: Callable[[], _Data], label: str) -> Document:
    """A PDF from what gives its bytes or its file anew each time. InputError as `open_document`."""
    with _opened(opener, label) as pdf:
        count = len(pdf)
    if not count:
        raise InputError(label, "has no pages")
    if count > MAX_PAGES:
        raise InputError(label, f"has {count} pages, more than {MAX_PAGES}", "cut it into parts first")

    def pages() -> Iterator[Page]:
        with _opened(opener, label) as pdf:
            for index in range(count):
                yield _page(pdf, index, opener, label)

    return Document(label, count, pages)


@contextmanager
def _opened(opener: Callable[[], _Data], label: str) -> Iterator[Any]:
    data = opener()
    file = None if isinstance(data, bytes) else data
    try:
        if isinstance(data, bytes):
            if len(data) > MAX_PDF_BYTES:
                raise too_large(label, MAX_PDF_BYTES)
        else:
            check_size(data, label, MAX_PDF_BYTES)
        with _LOCK:
            try:
                pdf = pypdfium2.PdfDocument(data)
            except pypdfium2.PdfiumError as error:
                raise _broken(error, label) from error
        try:
            yield pdf
        finally:
            with _LOCK:
                pdf.close()
    finally:
        if file is not None:
            file.close()


def _broken(error: pypdfium2.PdfiumError, label: str) -> InputError:
    if error.err_code == pdfium.FPDF_ERR_PASSWORD:
        return InputError(label, "is protected with a password", "save a copy without one first")
    return InputError(label, "the PDF is damaged or cut off")


def _page(pdf: Any, index: int, opener: Callable[[], _Data], label: str) -> Page:
    with _LOCK:
        try:
            page = pdf[index]
        except pypdfium2.PdfiumError as error:
            raise InputError(label, f"page {index + 1} is damaged") from error
        try:
            width, height = page.get_size()
            lines = _lines(_words(page, width, height), width, height)
        except pypdfium2.PdfiumError as error:
            raise InputError(label, f"the text of page {index + 1} is damaged") from error
        finally:
            page.close()

    def render(pixels: int) -> PIL.Image.Image:
        with _opened(opener, label) as again:
            return _picture(again, index, pixels, label)

    return Page(index + 1, width, height, tuple(lines), render)


def _picture(pdf: Any, index: int, pixels: int, label: str) -> PIL.Image.Image:
    """The page `pixels` wide on white, with what is filled into its forms."""
    with _LOCK:
        try:
            pdf.init_forms()
            page = pdf[index]
            try:
                width, height = page.get_size()
                if pixels < 1 or pixels * max(1, pixels * height / width) > MAX_RENDER_PIXELS:
                    raise InputError(label, f"page {index + 1} cannot be drawn {pixels} pixels wide")
                # PDFium rounds the size up: a hair less, so that it is exactly what is wanted.
                bitmap = page.render(scale=(pixels - 1e-3) / width, rev_byteorder=True)
                picture: PIL.Image.Image = bitmap.to_pil().convert("RGB")
                bitmap.close()
            finally:
                page.close()
        except pypdfium2.PdfiumError as error:
            raise InputError(label, f"page {index + 1} cannot be drawn") from error
    return picture


# ---------------------------------------------------------------- text


def _words(page: Any, width: float, height: float) -> list[_Word]:
    """The words of the text layer in the order of the file; units are points, from the top left of the page as shown."""
    text = page.get_textpage()
    try:
        words: list[_Word] = []
        word: _Word | None = None
        place = _Placer(page, text, width, height)
        for index in range(text.count_chars()):
            letter = _letter(text, index)
            if not letter or letter.isspace():
                word = None
                continue
            turn = place.turn(index) if word is None else word.turn
            left, top, right, bottom = _turned(place.box(index), turn)
            if word is None or _apart(word, left, top, right, bottom):
                word = _Word("", left, top, right, bottom, turn)
                words.append(word)
            word.text += letter
            word.left, word.right = min(word.left, left), max(word.right, right)
            word.top, word.bottom = min(word.top, top), max(word.bottom, bottom)
    finally:
        text.close()
    # Characters beyond U+FFFF come as two halves.
    for word in words:
        word.text = word.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return words


def _letter(text: Any, index: int) -> str:
    code = pdfium.FPDFText_GetUnicode(text, index)
    letter = _HYPHENS.get(code) or chr(code)
    return "" if unicodedata.category(letter) in ("Cc", "Cf") and not letter.isspace() else letter


class _Placer:
    """Where a character is on the page as shown: turned, cropped, y downwards."""

    def __init__(self, page: Any, text: Any, width: float, height: float) -> None:
        self._page, self._text = page, text
        self._size = round(width * _PARTS), round(height * _PARTS)
        self._box, self._matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
        self._x, self._y = ctypes.c_int(), ctypes.c_int()

    def box(self, index: int) -> Box:
        # The loose box spans the height of the font, so that letters of one line overlap; zeros where there is none.
        pdfium.FPDFText_GetLooseCharBox(self._text, index, self._box)
        x0, y0 = self._shown(self._box.left, self._box.top)
        x1, y1 = self._shown(self._box.right, self._box.bottom)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def turn(self, index: int) -> int:
        """Quarter turns clockwise of the character's base line as shown: 0 runs right, 1 down, 2 left, 3 up."""
        if not pdfium.FPDFText_GetMatrix(self._text, index, self._matrix):
            return 0
        # 100 times, so that the direction survives the rounding.
        x0, y0 = self._shown(0, 0)
        x1, y1 = self._shown(self._matrix.a * 100, self._matrix.b * 100)
        if abs(x1 - x0) >= abs(y1 - y0):
            return 0 if x1 >= x0 else 2
        return 1 if y1 > y0 else 3

    def _shown(self, x: float, y: float) -> tuple[float, float]:
        pdfium.FPDF_PageToDevice(self._page, 0, 0, *self._size, 0, x, y, self._x, self._y)
        return self._x.value / _PARTS, self._y.value / _PARTS


def _turned(box: Box, turn: int) -> Box:
    """A box after `turn` quarter turns of the page counterclockwise about its top left."""
    left, top, right, bottom = box
    match turn % 4:
        case 1:
            return top, -right, bottom, -left
        case 2:
            return -right, -bottom, -left, -top
        case 3:
            return -bottom, left, -top, right
    return box


def _apart(word: _Word, left: float, top: float, right: float, bottom: float) -> bool:
    """Whether a letter lies too far from a word to be of it, though no space stands between them."""
    reach = max(word.height, bottom - top, word.right - word.left if len(word.text) == 1 else 0)
    return (
        left > word.right + reach or right < word.left - reach or top > word.bottom + reach or bottom < word.top - reach
    )


def _lines(words: list[_Word], width: float, height: float) -> list[TextLine]:
    """Words of one height joined to lines, cut at wide gaps, in the order in which the file gives their first words."""
    order = {id(word): index for index, word in enumerate(words)}
    rows: list[list[_Word]] = []
    for word in sorted(words, key=lambda word: (word.turn, (word.top + word.bottom) / 2)):
        # Only the latest rows can be at this height.
        row = next((row for row in reversed(rows[-8:]) if _same_height(row[-1], word)), None)
        if row is None:
            rows.append([word])
        else:
            row.append(word)
    runs = [run for row in rows for run in _runs(sorted(row, key=lambda word: word.left))]
    runs.sort(key=lambda run: min(order[id(word)] for word in run))
    lines = [_line(run) for run in runs]
    # Printers' marks and hidden texts beside the page are not seen on it.
    return [
        line for line in lines if line.box[2] > 0 and line.box[0] < width and line.box[3] > 0 and line.box[1] < height
    ]


def _same_height(one: _Word, other: _Word) -> bool:
    if one.turn != other.turn:
        return False
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared > 0.5 * min(one.height, other.height)


def _runs(row: list[_Word]) -> Iterator[list[_Word]]:
    run: list[_Word] = []
    for word in row:
        if run and word.left - max(other.right for other in run[-2:]) > _WIDE_GAP * min(run[-1].height, word.height):
            yield run
            run = []
        run.append(word)
    yield run


def _line(run: list[_Word]) -> TextLine:
    box = (
        min(word.left for word in run),
        min(word.top for word in run),
        max(word.right for word in run),
        max(word.bottom for word in run),
    )
    # A line of Arabic or Hebrew begins at its right end.
    rightwards = unicodedata.bidirectional(run[0].text[0]) not in ("R", "AL")
    return TextLine(" ".join(word.text for word in (run if rightwards else reversed(run))), _turned(box, -run[0].turn))
