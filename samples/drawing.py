"""What the drawn samples share: paper, ink, and text set with the font that Pillow brings (basic Latin letters only)."""

from __future__ import annotations

from functools import cache

from PIL import Image, ImageDraw, ImageFont

PAPER = "#ffffff"
INK = "#1b1f24"
GREY = "#6b7480"
LINE = "#d5dae0"
# Pictures are drawn at this scale and made smaller at the end: lines and curves come out smooth.
SCALE = 2


@cache
def font(size: float) -> ImageFont.FreeTypeFont:
    loaded = ImageFont.load_default(size * SCALE)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise SystemExit("this Pillow has no FreeType; install one from the package index: pip install pillow")
    return loaded


class Canvas:
    """A picture in units of its final pixels. Text is placed by its baseline; anchors are l, m or r."""

    def __init__(self, width: int, height: int, background: str = PAPER) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), background)
        self._draw = ImageDraw.Draw(self._image)

    def text(self, at: tuple[float, float], text: str, size: float = 24, ink: str = INK, style: str = "l") -> None:
        """`style` is the anchor, followed by "b" for bold."""
        x, y = at[0] * SCALE, at[1] * SCALE
        weight = size / 22 * SCALE / 2 if style.endswith("b") else 0
        self._draw.text((x, y), text, ink, font(size), anchor=style[0] + "s", stroke_width=weight, stroke_fill=ink)

    def spaced(self, at: tuple[float, float], text: str, size: float, ink: str, spacing: float) -> None:
        """Text with its letters spread, centred."""
        widths = [font(size).getlength(letter) / SCALE + spacing for letter in text]
        x = at[0] - (sum(widths) - spacing) / 2
        for letter, width in zip(text, widths, strict=True):
            self.text((x, at[1]), letter, size, ink, "lb")
            x += width

    def box(self, box: tuple[float, float, float, float], fill: str, radius: float = 0) -> None:
        self._draw.rounded_rectangle([value * SCALE for value in box], radius * SCALE, fill)

    def frame(self, box: tuple[float, float, float, float], ink: str, width: float, radius: float = 0) -> None:
        self._draw.rounded_rectangle([v * SCALE for v in box], radius * SCALE, None, ink, round(width * SCALE))

    def rule(self, left: float, right: float, y: float, ink: str = LINE, width: float = 1.5) -> None:
        self._draw.line([left * SCALE, y * SCALE, right * SCALE, y * SCALE], ink, round(width * SCALE))

    def dashes(self, left: float, right: float, y: float, ink: str = GREY) -> None:
        x = left
        while x < right:
            self.rule(x, min(x + 6, right), y, ink, 1.5)
            x += 11

    def shape(self, points: list[tuple[float, float]], fill: str) -> None:
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill)

    def paste(self, image: Image.Image, left: float, top: float) -> None:
        self._image.paste(image, (round(left * SCALE), round(top * SCALE)))

    def finish(self, colours: int = 64) -> Image.Image:
        """The picture at its final size, with a palette: flat drawings stay small."""
        small = self._image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        return small.quantize(colours, dither=Image.Dither.NONE)
