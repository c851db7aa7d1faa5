"""Silero VAD 6, on the ONNX file that the faster-whisper package carries; that package itself is never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from mmcli.engines.options import check_settings
from mmcli.errors import EngineError, MissingPackage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.catalogue import ModelCard
    from mmcli.stages import Audio

_CONTEXT = 64
"""Samples of the frame before that the network sees again."""
_STATE = (1, 1, 128)
_MAX_FRAMES = 1024
"""Frames in one call, about half a minute: more would only need more memory."""


class Silero:
    """The probability of speech for each 32 ms of 16 kHz sound. Loaded once; every stream has a state of its own."""

    rate = 16000
    frame = 512

    def __init__(self, card: ModelCard) -> None:
        """ConfigError for a setting, as there are none; MissingPackage where the file is not installed."""
        check_settings(card)
        options = onnxruntime.SessionOptions()
        # The network is so small that a second thread costs more than it gives.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        path = _weights()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes have no common base but this
            raise EngineError(
                f"{path}: is not a usable ONNX file", "pip install --force-reinstall faster-whisper"
            ) from error

    def probabilities(self, blocks: Iterable[Audio]) -> Iterator[float]:
        """One number in 0..1 for each 512 samples, as soon as they are there; an incomplete last frame gives none.

        EngineError for blocks of another rate than 16 kHz.
        """
        hidden, cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        context = np.zeros(_CONTEXT, np.float32)
        rest = np.zeros(0, np.float32)
        for block in blocks:
            if block.rate != self.rate:
                raise EngineError(f"silero hears sound of {self.rate} Hz, not of {block.rate} Hz")
            samples = np.concatenate([rest, block.samples])
            whole = len(samples) // self.frame * self.frame
            rest = samples[whole:]
            for first in range(0, whole, _MAX_FRAMES * self.frame):
                chunk = np.concatenate([context, samples[first : min(whole, first + _MAX_FRAMES * self.frame)]])
                frames = np.lib.stride_tricks.sliding_window_view(chunk, _CONTEXT + self.frame)[:: self.frame]
                speech, hidden, cell = self._session.run(
                    None, {"input": np.ascontiguousarray(frames), "h": hidden, "c": cell}
                )
                context = chunk[-_CONTEXT:]
                yield from speech.ravel().tolist()


def _weights() -> Path:
    # find_spec does not run the package: its import would bring CTranslate2 and more.
    spec = find_spec("faster_whisper")
    path = Path(spec.origin).parent / "assets" / "silero_vad_v6.onnx" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingPackage(
            "the silero voice detector is not installed (faster-whisper brings it)",
            "pip install 'faster-whisper>=1.2.1'",
        )
    return path
