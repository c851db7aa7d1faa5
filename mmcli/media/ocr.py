"""Written text in a picture, with boxes: RapidOCR (PP-OCR on onnxruntime), whose models come inside its wheel."""

from __future__ import annotations

import functools
import math
import os
import re
import statistics
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from mmcli.errors import EngineError, MissingPackage
from mmcli.stages import TextLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Text is found at this many pixels of the longer side (letters of 6 pixels are still found, larger costs seconds), a
# smaller picture so many times enlarged (a lone number beside a bar is missed otherwise) ...
_DETECT = 1280
_ENLARGED = 1.6
# ... and recognised at this many at most, as small letters want the detail.
_RECOGNISE = 2600
# A smaller picture is looked at again enlarged, a larger one made smaller, where lines were garbled.
_SMALL = 800
# A picture longer than so many times its width is read in bands, as shrinking it whole would make it unreadable.
_LONG = 2.6
# Textures of photos give "text" up to 0.6, real letters rarely less than 0.8.
_MIN_PROBABILITY = 0.7
_MIN_PROBABILITY_SHORT = 0.9
_DOUBTFUL = 0.8
# Letters whose line is lower than so many pixels are looked at twice.
_TINY = 14
# Words further apart than so many line heights do not belong together.
_GAP = 1.3

# A zero among digits is often read as the letter.
_ZERO = re.compile(r"(?<=\d)[oO](?=[\doO]*\d)")

_Word = tuple[str, float, list[list[float]]]


class Ocr:
    """Loaded on the first picture; one picture at a time, whatever the number of threads that ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None

    def lines(self, picture: PIL.Image.Image) -> tuple[TextLine, ...]:
        """Lines in pixels of the picture, a slope taken out, cut where a wide gap parts two columns.

        EngineError where the recogniser fails.
        """
        with self._lock:
            if self._engine is None:
                self._engine = _load()
            try:
                lines = list(self._bands(picture))
            except Exception as error:
                raise EngineError(f"text recognition failed ({type(error).__name__})") from error
        return tuple(lines)

    def _bands(self, picture: PIL.Image.Image) -> Iterator[TextLine]:
        width, height = picture.size
        if height <= _LONG * width:
            yield from self._upright(picture)
            return
        step, overlap = 2 * width, width // 4
        for top in range(0, height, step):
            start, end = max(0, top - overlap), min(height, top + step + overlap)
            for line in self._upright(picture.crop((0, start, width, end))):
                left, upper, right, lower = line.box
                # a line in the overlap belongs to the band in which its middle lies
                if top <= start + (upper + lower) / 2 < top + step:
                    yield TextLine(line.text, (left, upper + start, right, lower + start), line.probability)

    def _upright(self, picture: PIL.Image.Image) -> list[TextLine]:
        scale = min(1.0, _RECOGNISE / max(picture.size))
        found = self._read(picture, scale)
        if any(line[2] < _DOUBTFUL or _height(line[1]) * scale < _TINY for line in found):
            # Another size often mends a garbled line.
            again = self._read(picture, scale * (2.0 if max(picture.size) * scale < _SMALL else 0.75))
            found = _better(found, again) if _clear(found) >= _clear(again) else _better(again, found)
        found = [
            line for line in found if line[2] >= (_MIN_PROBABILITY if len(line[0]) > 2 else _MIN_PROBABILITY_SHORT)
        ]
        angle = _slope([quad for _, quad, _, _ in found])
        return [piece for line in found for piece in _pieces(line, angle, picture.size)]

    def _read(self, picture: PIL.Image.Image, scale: float) -> list[_Found]:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        resized = picture if scale == 1 else picture.resize(size, PIL.Image.Resampling.BICUBIC)
        self._detect_at(min(_DETECT / max(size), _ENLARGED), size)
        result = self._engine(np.ascontiguousarray(np.asarray(resized)[:, :, ::-1]))
        texts = getattr(result, "txts", None)
        if result.boxes is None or not texts:
            return []
        words = result.word_results if len(result.word_results) == len(texts) else [()] * len(texts)
        shrink = np.array([picture.width / size[0], picture.height / size[1]])
        return [
            (_ZERO.sub("0", text), np.asarray(box, float) * shrink, float(score), _joined(text, parts, shrink))
            for text, box, score, parts in zip(texts, result.boxes, result.scores, words, strict=True)
        ]

    def _detect_at(self, scale: float, size: tuple[int, int]) -> None:
        """Lines are recognised at the picture's own size, whatever the size at which they are found."""
        detector = self._engine.text_det
        if detector is None:
            # only its first use makes the detector
            self._engine(np.full((64, 64, 3), 255, np.uint8))
            detector = self._engine.text_det
        detector.limit_type = "max" if scale < 1 else "min"
        detector.limit_side_len = scale * (max(size) if scale < 1 else min(size))


_Found = tuple[str, "np.ndarray[Any, Any]", float, list[tuple[str, "np.ndarray[Any, Any]"]]]


def _load() -> Any:
    try:
        from rapidocr import RapidOCR
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"reading pictures needs the Python package {error.name}", "pip install --force-reinstall mmcli"
        ) from error
    threads = min(4, os.cpu_count() or 1)
    try:
        return RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.text_score": 0.0,
                # turned lines are rare in upright pictures, and a lone 6 must not become a 9
                "Global.use_cls": False,
                "Global.max_side_len": 2 * _RECOGNISE,
                "Global.return_word_box": True,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            }
        )
    except Exception as error:
        raise EngineError(f"text recognition cannot be loaded ({error})") from error


def _joined(text: str, parts: Iterable[_Word], shrink: np.ndarray[Any, Any]) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """The words with their quads, or none where the recogniser's two outputs do not agree."""
    words = [(word, np.asarray(quad, float) * shrink) for word, _, quad in parts if quad is not None]
    whole = "".join(text.split())
    return words if "".join("".join(word.split()) for word, _ in words) == whole else []


def _clear(lines: list[_Found]) -> int:
    """How many characters were seen clearly."""
    return sum(len(text) for text, _, probability, _ in lines if probability >= _DOUBTFUL)


def _better(first: list[_Found], second: list[_Found]) -> list[_Found]:
    """Doubtful lines of one look exchanged for those that another saw clearly in their place."""
    result = []
    for line in first:
        if line[2] < _DOUBTFUL:
            others = [other for other in second if _same_place(line[1], other[1])]
            line = max([line, *others], key=lambda item: item[2])  # noqa: PLW2901
        result.append(line)
    return result


def _same_place(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    (left, top), (right, bottom) = one.min(0), one.max(0)
    x, y = other.mean(0)
    similar_width = 0.7 < (other[:, 0].max() - other[:, 0].min()) / max(1.0, right - left) < 1.4
    return bool(left < x < right and top < y < bottom and similar_width)


def _slope(quads: list[np.ndarray[Any, Any]]) -> float:
    """The angle in radians by which long lines go down to the right; 0 where they do not agree."""
    angles = []
    for quad in quads:
        dx, dy = quad[1] - quad[0]
        if dx > 4 * abs(quad[3][1] - quad[0][1]):
            angles.append(math.atan2(dy, dx))
    if len(angles) < 3 or statistics.pstdev(angles) > 0.05:
        return 0.0
    return statistics.median(angles)


def _pieces(line: _Found, angle: float, size: tuple[int, int]) -> list[TextLine]:
    text, quad, probability, words = line
    height = _height(quad)
    groups: list[list[tuple[str, np.ndarray[Any, Any]]]] = []
    last = None
    for word in words:
        if last is None or word[1][:, 0].min() - last > _GAP * height:
            groups.append([])
        groups[-1].append(word)
        last = word[1][:, 0].max()
    if len(groups) < 2:
        return [TextLine(text, _box(quad, angle, size), probability)]
    return [
        TextLine(
            # scripts without spaces come word by word, too
            _cut(text, [word for word, _ in group]),
            _box(np.concatenate([quad for _, quad in group]), angle, size),
            probability,
        )
        for group in groups
    ]


def _cut(text: str, words: list[str]) -> str:
    start = text.find(words[0])
    end = text.find(words[-1], max(0, start) + len("".join(words[:-1])))
    return text[start : end + len(words[-1])] if 0 <= start <= end else " ".join(words)


def _height(quad: np.ndarray[Any, Any]) -> float:
    sides = (np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[1] - quad[0]))
    return float(min(sides))


def _box(quad: np.ndarray[Any, Any], angle: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    middle = np.array(size) / 2
    turn = np.array([[math.cos(-angle), -math.sin(-angle)], [math.sin(-angle), math.cos(-angle)]])
    points = (quad - middle) @ turn.T + middle
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right), float(bottom)


@functools.cache
def shared() -> Ocr:
    """One recogniser for whoever keeps none of its own."""
    return Ocr()
