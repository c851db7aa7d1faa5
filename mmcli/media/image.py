"""Pictures in: any common format as upright RGB, checked before a pixel is decoded."""

from __future__ import annotations

import functools
import io
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import PIL.Image
from PIL import ExifTags, ImageCms

from mmcli.errors import InputError
from mmcli.media.files import check_size, display_name, is_stream, open_input, read_limited, source_name, too_large
from mmcli.stages import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_PIXELS = 100_000_000
MAX_BYTES = 256_000_000

# Those left out start programs (EPS), open other files, or have no signature that tells them from noise.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF", "BMP", "ICO", "PPM", "JPEG2000", "QOI")
_MOVING = ("GIF", "PNG", "WEBP", "AVIF")
_TURN = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def open_image(path: str | Path | bytes, source: str | None = None) -> Image:
    """A picture from a file, "-" (standard input) or its bytes; `source` is what messages call it.

    The header is read now, pixels are decoded by each call of `pixels()`: RGB, upright, transparency on white, deep
    grey scaled to its own range, colours as sRGB, the first frame of an animation. InputError: what `open_input`
    refuses, no picture, more than 256 MB or 100 million pixels; from `pixels()`: damaged or cut off.
    """
    label, opener = _opener(path, source)
    with _header(label, opener) as picture:
        turn = None if picture.format == "TIFF" else _orientation(picture)  # Pillow turns a TIFF by itself
        width, height = picture.size if turn is None or turn < 5 else picture.size[::-1]
        facts = _facts(picture, width, height)

    def pixels() -> PIL.Image.Image:
        with _header(label, opener) as picture:
            try:
                picture.load()
                rgb = _rgb(picture)
            except Exception as error:  # Pillow's decoders raise whatever they trip over
                raise InputError(label, f"the picture is damaged or cut off ({_reason(error)})") from error
            return rgb if turn is None else rgb.transpose(_TURN[turn])

    return Image(label, width, height, pixels, facts)


def open_moving(path: str | Path) -> Iterator[tuple[float, PIL.Image.Image]]:
    """The pictures of an animation with the seconds at which each is shown; of anything else its one picture.

    RGB, transparency on white. InputError as `open_image`.
    """
    label, opener = _opener(path, None)
    with _header(label, opener) as picture:
        # The pages of a TIFF are not moments of one picture.
        count = getattr(picture, "n_frames", 1) if picture.format in _MOVING else 1
        now = 0.0
        for index in range(count):
            try:
                picture.seek(index)
                picture.load()
                rgb = _rgb(picture)
            except Exception as error:
                raise InputError(label, f"the animation is damaged or cut off ({_reason(error)})") from error
            yield now, rgb
            # Without a duration it is shown as browsers do.
            now += (picture.info.get("duration") or 100) / 1000


def _opener(path: str | Path | bytes, source: str | None) -> tuple[str, Callable[[], BinaryIO]]:
    """What messages call the picture, and what gives its bytes from the beginning, as often as wanted."""
    if isinstance(path, bytes):
        data, label = path, source or "the picture"
        if not data:
            raise InputError(label, "is empty")
        if len(data) > MAX_BYTES:
            raise too_large(label, MAX_BYTES)
        return label, lambda: io.BytesIO(data)
    label = source or source_name(path)
    with open_input(path) as stream:
        if is_stream(stream):
            data = read_limited(stream, label, MAX_BYTES)
            return label, lambda: io.BytesIO(data)
        check_size(stream, label, MAX_BYTES)
    return label, lambda: open_input(path)


@functools.cache
def _prepare_pillow() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    # What it logs of a damaged file would go to the terminal; the error says it.
    logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def _header(label: str, opener: Callable[[], BinaryIO]) -> Iterator[PIL.Image.Image]:
    """The picture, header read and checked. What Pillow would warn of stays off the terminal."""
    _prepare_pillow()
    with opener() as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = PIL.Image.open(stream, formats=_FORMATS)
        except PIL.Image.DecompressionBombError as error:
            raise InputError(label, f"has more than {MAX_PIXELS // 1_000_000} million pixels") from error
        except PIL.UnidentifiedImageError as error:
            raise InputError(label, "is not a picture that can be read") from error
        except Exception as error:
            raise InputError(label, f"the picture's header is damaged ({_reason(error)})") from error
        with picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                limit = f"more than {MAX_PIXELS // 1_000_000} million"
                raise InputError(label, f"has {width} x {height} pixels, {limit}", "make it smaller first")
            yield picture


def _reason(error: Exception) -> str:
    return display_name(str(error) or type(error).__name__)


# ---------------------------------------------------------------- pixels


def _rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    profile = _profile(picture)
    space = profile.profile.xcolor_space.strip() if profile is not None else ""
    direct = (picture.mode, space) in (("CMYK", "CMYK"), ("L", "GRAY"))
    flat = picture if direct else _flattened(picture)
    if profile is None or not (direct or space == "RGB"):
        return flat.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(flat, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:  # a profile that cannot be used: its colours are near enough
        converted = None
    return converted or flat.convert("RGB")


def _profile(picture: PIL.Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The colour profile, where there is one and it is not sRGB anyway."""
    data = picture.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        description = ImageCms.getProfileDescription(profile)
    except (ImageCms.PyCMSError, OSError):
        return None
    return None if description.startswith("sRGB") else profile


def _flattened(picture: PIL.Image.Image) -> PIL.Image.Image:
    """RGB, on white where it is transparent."""
    if picture.mode.startswith(("I", "F")):
        return _deep_grey(picture)
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", clear.size, "white")
        return PIL.Image.alpha_composite(white, clear).convert("RGB")
    return picture.convert("RGB")


def _deep_grey(picture: PIL.Image.Image) -> PIL.Image.Image:
    """16-bit, 32-bit and float grey, its darkest value black and its brightest white."""
    values = np.asarray(picture)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scale = 255 / (high - low) if high > low else 0.0
    # A picture of one value has no range: white or black, by its sign.
    offset = -low * scale if scale else 255.0 * (high > 0)
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):  # row by row, as 64-bit floats of all of it are eight times its size
        rows = values[top : top + 256].astype(np.float64)
        grey[top : top + 256] = np.nan_to_num(rows * scale + offset, posinf=255, neginf=0).clip(0, 255).round()
    return PIL.Image.fromarray(grey).convert("RGB")


# ---------------------------------------------------------------- facts


def _exif(picture: PIL.Image.Image) -> PIL.Image.Exif:
    # A PNG's own method decodes the whole picture to look behind it.
    try:
        return PIL.Image.Image.getexif(picture)
    except Exception:  # noqa: BLE001 - a damaged block raises anything, and the picture is good without it
        return PIL.Image.Exif()


def _orientation(picture: PIL.Image.Image) -> int | None:
    turn = _exif(picture).get(ExifTags.Base.Orientation)
    return turn if turn in _TURN else None


def _facts(picture: PIL.Image.Image, width: int, height: int) -> dict[str, str]:
    facts = {"size": f"{width} x {height} pixels", "format": str(picture.format)}
    exif = _exif(picture)
    for name, fact in (("taken", _taken), ("camera", _camera), ("place", _place)):
        try:
            value = display_name(fact(exif)).strip("\ufffd ")
        except (AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError, ZeroDivisionError):
            continue  # a damaged or hostile tag does not spoil the picture
        if value:
            facts[name] = value
    return facts


def _taken(exif: PIL.Image.Exif) -> str:
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    taken = str(detail.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime) or "")
    return taken.replace(":", "-", 2)


def _camera(exif: PIL.Image.Exif) -> str:
    maker, model = (str(exif.get(tag) or "").strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _place(exif: PIL.Image.Exif) -> str:
    """Latitude and longitude in decimal degrees, south and west negative."""
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    latitude = _degrees(gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef])
    longitude = _degrees(gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef])
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # not a number compares false too
        raise ValueError("no place on Earth")
    return f"{latitude:.6f}, {longitude:.6f}"


def _degrees(parts: Any, side: str) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    size = degrees + minutes / 60 + seconds / 3600
    return -size if side.upper().startswith(("S", "W")) else size
