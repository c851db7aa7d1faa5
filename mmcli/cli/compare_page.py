"""The page of `mmcli compare`: one file with everything in it, that asks the network for nothing."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mmcli.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mmcli.cli.compare import Run

_STEPS = {
    "load": ("models loaded", "#9aa5b1"),
    "first_heard": ("first words heard", "#5b8def"),
    "first_text": ("first text", "#2f9e6e"),
    "first_audio": ("first sound", "#e08e2b"),
    "total": ("all", "#b8433a"),
}
_WINDOW, _BANDS, _COLUMNS = 512, 128, 560
_FLOOR_DB = 80.0
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 0; }
section { border: 1px solid #d5dbe2; border-radius: 8px; padding: 1rem; margin: 1rem 0; }
dl { display: grid; grid-template-columns: 8rem 1fr; gap: .2rem 1rem; margin: .6rem 0; } dt { color: #66717e; }
dd { margin: 0; overflow-wrap: anywhere; } audio { width: 100%; } img { width: 100%; height: 8rem; display: block; }
svg { width: 100%; height: auto; } .failed { color: #b8433a; } footer { color: #66717e; font-size: .85rem; }
"""


def page(runs: Sequence[Run], text: str, audio: str | None, attached: Sequence[str]) -> str:
    """HTML of the runs, whose replies still lie in their files. InputError for a reply that cannot be read."""
    longest = max((max(run.times.values(), default=0.0) for run in runs), default=0.0)
    asked = [("spoken", _name(audio)) if audio else None, ("typed", text) if text else None]
    asked += [("attached", _name(name)) for name in attached]
    rows = "".join(f"<dt>{_safe(what)}</dt><dd>{_safe(value)}</dd>" for what, value in filter(None, asked))
    body = "".join(_section(run, longest) for run in runs)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; media-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>Pipelines compared</title><style>{_STYLE}</style></head><body>"
        f"<h1>The same turn through {len(runs)} pipelines</h1><dl>{rows}</dl>{body}"
        "<footer>Times are seconds; memory is the most that the largest process had at once. The word error is that of "
        "the reply heard back by a small English recogniser, which makes errors of its own.</footer></body></html>\n"
    )


def _section(run: Run, longest: float) -> str:
    models = ", ".join(f"{role} {name}" for role, name in run.models.items())
    rows = [("models", models), ("memory", f"{run.memory_mb:.0f} MB")]
    rows += [("heard", run.heard)] if run.heard else []
    rows += [("answer", run.answer)] if run.answer else []
    if run.word_error is not None:
        rows += [("heard back", run.heard_back or "nothing"), ("word error", f"{run.word_error:.0%}")]
    facts = "".join(f"<dt>{_safe(what)}</dt><dd>{_safe(value)}</dd>" for what, value in rows)
    failed = f'<p class="failed">{_safe(run.error)}</p>' if run.error is not None else ""
    sound = _sound(run.reply) if run.reply is not None and run.reply_seconds else ""
    return f"<section><h2>{_safe(run.pipeline)}</h2>{failed}<dl>{facts}</dl>{_timeline(run.times, longest)}{sound}</section>"


def _timeline(times: Mapping[str, float], longest: float) -> str:
    """When each step was done, from the start of the process's work on: the turn begins when the models are loaded."""
    load = times.get("load", 0.0)
    steps = [(key, times[key] if key in ("load", "total") else load + times[key]) for key in _STEPS if key in times]
    if not steps or longest <= 0:
        return ""
    height = 22 * len(steps)
    bars = []
    for index, (key, end) in enumerate(steps):
        label, colour = _STEPS[key]
        start = 0.0 if key in ("load", "total") else load
        left, width = 160 + 560 * start / longest, max(1.0, 560 * (end - start) / longest)
        top = 22 * index
        bars.append(
            f'<text x="0" y="{top + 15}" font-size="13">{label}</text>'
            f'<rect x="{left:.1f}" y="{top + 4}" width="{width:.1f}" height="13" rx="2" fill="{colour}"/>'
            f'<text x="{left + width + 6:.1f}" y="{top + 15}" font-size="13">{end:.2f} s</text>'
        )
    return f'<svg viewBox="0 0 800 {height}" role="img" aria-label="time line">{"".join(bars)}</svg>'


def _sound(file: Path) -> str:
    from mmcli.media.audio import open_audio

    data = base64.b64encode(file.read_bytes()).decode()
    rate = 16000
    blocks = [block.samples for block in open_audio(str(file)).blocks(rate)]
    if not blocks:
        return ""
    import numpy as np

    picture = base64.b64encode(_spectrogram(np.concatenate(blocks))).decode()
    return (
        f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}"></audio>'
        f'<img alt="spectrogram, 0 to 8 kHz" src="data:image/png;base64,{picture}">'
    )


def _spectrogram(samples: NDArray[np.float32]) -> bytes:
    """A PNG: time to the right, 0 to half the rate upwards, 80 dB from white to black."""
    import numpy as np
    import PIL.Image

    samples = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    starts = np.linspace(0, len(samples) - _WINDOW, _COLUMNS).astype(int)
    frames = samples[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1))[:, : _WINDOW // 2] ** 2
    bands = power.reshape(_COLUMNS, _BANDS, -1).mean(axis=2)
    level = 10 * np.log10(bands / max(float(bands.max()), 1e-12) + 1e-12)
    shade = (255 * np.clip(-level / _FLOOR_DB, 0, 1)).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(shade.T[::-1])).save(file, "PNG", optimize=True)
    return file.getvalue()


def _name(source: str) -> str:
    """Where a file lies on this machine is nothing that a page that may be shared has to tell."""
    return PurePath(source).name or source


def _safe(text: str) -> str:
    return escape(visible(text, keep="\n"), quote=True)
