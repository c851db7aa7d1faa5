from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pillow_heif
import pytest
from PIL import ExifTags, ImageCms

from mmcli.errors import InputError
from mmcli.media import image as media_image
from mmcli.media.image import open_image

PICTURES = [
    *("i01.png", "i02.png", "i03.png", "i04.png", "i05.png", "i06.tif", "i07.jpg", "i08.png", "i09.png", "i10.jpg"),
    *("i11.png", "i12.jpg", "i20.jpg", "i26.png", "i55.webp", "i62.avif", "i64_16bit.png", "x21_webp_named.png"),
]


def saved(picture: PIL.Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def refused(path: str | Path | bytes) -> str:
    with pytest.raises(InputError) as caught:
        open_image(path).pixels()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module", autouse=True)
def _heif() -> None:
    pillow_heif.register_heif_opener()


@pytest.mark.parametrize("name", PICTURES)
def test_real_pictures_are_rgb_of_the_size_that_was_announced(data: Path, name: str) -> None:
    picture = open_image(data / name)
    for _ in range(2):
        pixels = picture.pixels()
        assert (pixels.mode, pixels.size) == ("RGB", (picture.width, picture.height))
        assert np.asarray(pixels).std() > 10


def test_a_photo_taken_sideways_stands_upright(data: Path) -> None:
    picture = open_image(data / "i10.jpg")
    with PIL.Image.open(data / "i10.jpg") as raw:
        assert (picture.width, picture.height) == raw.size[::-1]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_of_every_format_is_turned(form: str, turn: int) -> None:
    flag = PIL.Image.new("RGB", (64, 32), "red")
    flag.paste((0, 0, 255), (0, 0, 32, 32))
    flag.paste((0, 255, 0), (0, 0, 32, 16))
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    picture = open_image(saved(flag, form, exif=exif.tobytes()))
    pixels = picture.pixels()
    # where EXIF says the stored first row and first column are to be seen
    corner = {1: "lt", 2: "rt", 3: "rb", 4: "lb", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}[turn]
    x = 8 if corner[0] == "l" else pixels.width - 8
    y = 8 if corner[1] == "t" else pixels.height - 8
    assert pixels.size == (picture.width, picture.height) == ((32, 64) if turn > 4 else (64, 32))
    assert pixels.getpixel((x, y)) == pytest.approx((0, 255, 0), abs=8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(mode: str) -> None:
    clear = PIL.Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 10, 20))
    if mode == "P":
        clear = clear.convert("P", palette=PIL.Image.Palette.ADAPTIVE)
        clear.info["transparency"] = clear.getpixel((15, 5))
        content = saved(clear, "PNG", transparency=clear.info["transparency"])
    else:
        content = saved(clear.convert(mode), "PNG")
    pixels = open_image(content).pixels()
    assert pixels.getpixel((2, 5)) == (0, 0, 0)
    assert pixels.getpixel((15, 5)) == (255, 255, 255)


def test_grey_and_rgb_with_one_transparent_colour_are_flattened() -> None:
    grey = PIL.Image.new("L", (8, 8), 7)
    assert open_image(saved(grey, "PNG", transparency=7)).pixels().getpixel((1, 1)) == (255, 255, 255)
    colour = PIL.Image.new("RGB", (8, 8), (1, 2, 3))
    assert open_image(saved(colour, "PNG", transparency=(1, 2, 3))).pixels().getpixel((1, 1)) == (255, 255, 255)


def test_half_transparent_is_half_white() -> None:
    glass = PIL.Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert open_image(saved(glass, "WEBP", lossless=True)).pixels().getpixel((1, 1)) == pytest.approx(
        (255, 127, 127), abs=2
    )


@pytest.mark.parametrize(
    "form, kind", [("TIFF", "<u2"), ("TIFF", ">u2"), ("TIFF", "<i4"), ("TIFF", "<f4"), ("PNG", "<u2")]
)
def test_deep_grey_is_scaled_to_its_own_range(form: str, kind: str) -> None:
    ramp = np.tile(np.linspace(1000, 3000, 256), (600, 1))
    values = (ramp / 1e6 if kind == "<f4" else ramp).astype(kind)
    pixels = np.asarray(open_image(saved(PIL.Image.fromarray(values), form)).pixels())
    assert np.abs(pixels[..., 0].astype(int) - np.arange(256)).max() <= 1
    assert (pixels[0] == pixels[-1]).all()


def test_deep_grey_of_one_value_and_of_no_number() -> None:
    for value, grey in ((0, 0), (40000, 255)):
        flat = PIL.Image.fromarray(np.full((4, 4), value, np.uint16))
        assert open_image(saved(flat, "TIFF")).pixels().getpixel((0, 0)) == (grey,) * 3
    wild = np.array([[np.nan, 0.0], [1.0, np.inf]], np.float32)
    assert np.asarray(open_image(saved(PIL.Image.fromarray(wild), "TIFF")).pixels())[..., 0].tolist() == [
        [0, 0],
        [255, 255],
    ]


def test_a_16_bit_photo_is_not_burnt_out(data: Path) -> None:
    grey = np.asarray(open_image(data / "i64_16bit.png").pixels())[..., 0]
    assert 50 < grey.mean() < 150


def test_one_bit_and_cmyk_keep_their_colours(data: Path) -> None:
    line = PIL.Image.new("1", (8, 8), 1)
    line.putpixel((0, 0), 0)
    pixels = open_image(saved(line, "TIFF", compression="group4")).pixels()
    assert (pixels.getpixel((0, 0)), pixels.getpixel((5, 5))) == ((0, 0, 0), (255, 255, 255))
    red = np.asarray(open_image(data / "i12.jpg").pixels()).reshape(-1, 3).astype(int)
    assert ((red[:, 0] > 200) & (red[:, 1] < 80)).mean() > 0.05
    assert (red.sum(axis=1) < 60).mean() > 0.5
    cyan = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert open_image(saved(cyan, "TIFF")).pixels().getpixel((3, 3)) == pytest.approx((0, 255, 255), abs=3)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_shows_its_first_frame(form: str) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
    assert open_image(content).pixels().getpixel((8, 8)) == pytest.approx((255, 0, 0), abs=3)


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "JPEG2000", "BMP", "QOI", "PPM", "ICO"])
def test_other_formats_keep_their_colour(form: str) -> None:
    picture = open_image(
        saved(PIL.Image.new("RGB", (64, 48), (200, 30, 90)), form, **({"sizes": [(64, 48)]} if form == "ICO" else {}))
    )
    assert (picture.width, picture.height, picture.facts["format"]) == (64, 48, form)
    assert picture.pixels().getpixel((20, 20)) == pytest.approx((200, 30, 90), abs=6)


def test_a_colour_profile_is_turned_to_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    plain = PIL.Image.new("RGB", (8, 8), (200, 100, 50))
    # A profile of another kind than the picture is passed over.
    assert open_image(saved(plain, "PNG", icc_profile=lab.tobytes())).pixels().getpixel((1, 1)) == (200, 100, 50)
    assert open_image(saved(plain, "PNG", icc_profile=b"nonsense")).pixels().getpixel((1, 1)) == (200, 100, 50)
    wide = open_image(saved(plain, "PNG", icc_profile=_swapped_profile())).pixels().getpixel((1, 1))
    assert wide == pytest.approx((100, 200, 50), abs=8)


def _swapped_profile() -> bytes:
    """sRGB under another name and with red and green exchanged."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", content, 128)[0]
    for index in range(count):
        place = 132 + 12 * index
        name = bytes(content[place : place + 4])
        if name in (b"rXYZ", b"gXYZ"):
            content[place : place + 4] = b"gXYZ" if name == b"rXYZ" else b"rXYZ"
        if name == b"desc":
            offset, size = struct.unpack_from(">II", content, place + 4)
            text = "sRGB".encode("utf-16-be")
            content[offset : offset + size] = content[offset : offset + size].replace(text, "swap".encode("utf-16-be"))
    return bytes(content)


# ---------------------------------------------------------------- facts


def test_a_photo_says_when_where_and_with_what_it_was_taken() -> None:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon", "Canon EOS R5\x1b[2J"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:17 10:20:30"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "S",
            ExifTags.GPS.GPSLatitude: (33.0, 51.0, 24.12),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (151.0, 12.0, 54.36),
        }
    )
    facts = open_image(saved(PIL.Image.new("RGB", (30, 20)), "JPEG", exif=exif.tobytes())).facts
    assert facts == {
        "size": "30 x 20 pixels",
        "format": "JPEG",
        "taken": "2024-05-17 10:20:30",
        "camera": "Canon EOS R5\ufffd[2J",
        "place": "-33.856700, 151.215100",
    }


def test_a_real_camera_is_named(data: Path) -> None:
    facts = open_image(data / "i55.webp").facts
    assert (facts["camera"], facts["taken"]) == ("Canon PowerShot S40", "2003-12-14 12:01:44")


def test_damaged_facts_do_not_spoil_the_picture() -> None:
    content = saved(PIL.Image.new("RGB", (30, 20), "red"), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(40))
    assert open_image(content).pixels().getpixel((3, 3)) == pytest.approx((254, 0, 0), abs=3)


# ---------------------------------------------------------------- damage and size


def test_cut_and_empty_pictures_are_one_line(data: Path, tmp_path: Path) -> None:
    assert "damaged or cut off" in refused(data / "x20_trunc.jpg")
    assert "damaged or cut off" in refused(data / "x42_trunc.png")
    assert "is empty" in refused(data / "x22_zero.jpg")
    assert "is empty" in refused(b"")
    assert "is not a picture" in refused(data / "a01.wav")
    for name in ("i01.png", "i07.jpg", "i55.webp", "i62.avif", "i06.tif"):
        content = (data / name).read_bytes()
        assert refused(content[: len(content) // 2])
    (tmp_path / "eps.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    assert "is not a picture" in refused(tmp_path / "eps.eps")


def _huge_png(width: int, height: int) -> bytes:
    """A black picture of one bit a pixel: kilobytes on disk, gigabytes as RGB."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj()
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10001, 12000, 20000])
def test_a_small_file_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(_huge_png(side, side))
    with pytest.raises(InputError, match=r"more than 100 million"):
        open_image(tmp_path / "bomb.png")


def test_as_many_pixels_as_are_allowed_open_without_a_warning() -> None:
    assert open_image(_huge_png(10000, 10000)).width == 10000


def test_a_file_beyond_the_size_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.write(_huge_png(8, 8))
        file.truncate(media_image.MAX_BYTES + 1)
    with pytest.raises(InputError, match="larger than 256 MB"):
        open_image(tmp_path / "sparse.png")


def test_damage_is_told_once_and_nowhere_else(tmp_path: Path) -> None:
    content = bytearray(saved(PIL.Image.new("RGB", (16, 16)), "TIFF"))
    place = content.index(struct.pack("<HHII", 277, 3, 1, 3))  # samples per pixel
    content[place + 8 : place + 10] = struct.pack("<H", 2048)
    (tmp_path / "t.tif").write_bytes(content)
    code = "import sys; from mmcli.media.image import open_image; open_image(sys.argv[1]).pixels()"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "t.tif"], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("Traceback")
    assert "mmcli.errors.InputError" in done.stderr.splitlines()[-1]


def test_a_picture_through_a_pipe(data: Path, piped) -> None:
    with piped((data / "i01.png").read_bytes()) as name:
        picture = open_image(name)
    assert np.array_equal(np.asarray(picture.pixels()), np.asarray(open_image(data / "i01.png").pixels()))
    assert np.array_equal(np.asarray(picture.pixels()), np.asarray(open_image(data / "i01.png").pixels()))


def test_no_file_stays_open(data: Path) -> None:
    before = os.listdir("/proc/self/fd")
    picture = open_image(data / "i06.tif")
    picture.pixels()
    refused(data / "x42_trunc.png")
    assert os.listdir("/proc/self/fd") == before
