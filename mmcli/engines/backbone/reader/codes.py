"""QR codes, DataMatrix, EAN and the other printed codes that zxing-cpp knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import zxingcpp

from mmcli.errors import EngineError

if TYPE_CHECKING:
    import PIL.Image

_NAMES = {"QRCode": "QR code", "MicroQRCode": "QR code", "DataMatrix": "DataMatrix code", "Aztec": "Aztec code"}
# A code that fills 1 / 50 of a picture of this many pixels a side still has several pixels a module.
_LARGEST = 3000


@dataclass(frozen=True, slots=True)
class Code:
    """What a printed code holds, the name of its kind, and its box in pixels of the picture."""

    kind: str
    text: str
    box: tuple[float, float, float, float]


def read_codes(picture: PIL.Image.Image) -> tuple[Code, ...]:
    """The codes in a picture, from top to bottom; those that hold bytes without text are left out."""
    scale = min(1.0, _LARGEST / max(picture.size))
    grey = picture.convert("L")
    if scale < 1:
        grey = grey.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    try:
        found = zxingcpp.read_barcodes(np.asarray(grey))
    except Exception as error:
        raise EngineError(f"the search for printed codes failed ({type(error).__name__})") from error
    codes = []
    for code in found:
        corners = [getattr(code.position, name) for name in ("top_left", "top_right", "bottom_right", "bottom_left")]
        across, down = [corner.x / scale for corner in corners], [corner.y / scale for corner in corners]
        if code.valid and code.text:
            codes.append(Code(_name(str(code.format)), code.text, (min(across), min(down), max(across), max(down))))
    return tuple(sorted(codes, key=lambda code: (code.box[1], code.box[0])))


def _name(form: str) -> str:
    plain = form.rpartition(".")[2].replace(" ", "").replace("-", "").replace("_", "")
    return _NAMES.get(plain, f"{form.rpartition('.')[2]} barcode")
