"""A folder with a Whisper model for CTranslate2 into memory, and the steps down where it does not fit.

Nothing here reaches for the network: what faster-whisper would fetch has to be in the folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Read when the library loads: how long its threads spin before they sleep. The default of 300000 turns more than doubles the time
# beside other busy processes; sleeping at once costs a third where there are none.
os.environ.setdefault("GOMP_SPINCOUNT", "100000")

import ctranslate2
import faster_whisper
import numpy as np
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import _LANGUAGE_CODES
from threadpoolctl import threadpool_limits

from mmcli.engines.options import BALANCED, check_runtime
from mmcli.errors import EngineError, MissingModel, MissingPackage, MmcliError, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mmcli.options import Runtime

# After a spectrogram numpy's threads would spin for a while beside the model's.
threadpool_limits(1, user_api="blas")

# The scores of attention are tens of megabytes, taken and given back for every layer; the system would give their pages anew each
# time. So what is freed is kept, and in one place, as the places of threads are too small. glibc's mallopt(3), where it is glibc.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
with suppress(AttributeError, TypeError):
    for setting, value in ((_TRIM_THRESHOLD, 1 << 30), (_MMAP_MAX, 0), (_ARENA_MAX, 1)):
        ctypes.CDLL(None).mallopt(setting, value)

__all__ = ["LANGUAGES", "RATE", "BatchedInferencePipeline", "Loaded", "Place", "load"]

BatchedInferencePipeline = faster_whisper.BatchedInferencePipeline
RATE = 16000
"""Hertz."""
LANGUAGES: tuple[str, ...] = tuple(_LANGUAGE_CODES)

# What faster-whisper and its times are built on; a folder may say so, and may not say otherwise.
_FIXED = {"sampling_rate": RATE, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
_MAX_MELS = 1024
# More hardly help one stream; fewer where the machine has fewer.
_MAX_THREADS = 4
_MAX_WORKERS = 4
# For a batch that is at work to end.
_PATIENCE_S, _POLL_S = 60.0, 0.005
_MAX_CONFIG_BYTES = 50_000_000
_MEMORY = re.compile(r"out of memory|bad_alloc|alloc\w* failed|fail\w* to allocate|cannot allocate", re.IGNORECASE)
_CUDA = re.compile(r"cuda|cublas|cudnn|libcu|curand", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model computes and how: `device` is cpu or cuda:N; `batch` is the most windows that it may be given at once."""

    device: str
    compute_type: str
    batch: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in memory and its place, with the compute type that CTranslate2 chose."""

    model: Any
    place: Place
    workers: int = 1
    """Windows that it decodes side by side with gain."""
    ahead: int = 0
    """Windows that it encodes with gain while the one before them is decoded."""
    languages: tuple[str, ...] = ()
    """The codes of those that it knows; none where it is English alone."""


class _Model(faster_whisper.WhisperModel):  # type: ignore[misc]
    """Keeps what it encoded ahead, or to tell the language, until that is decoded."""

    def __init__(self, *args: Any, most: int, **given: Any) -> None:
        """`most` of them are kept."""
        super().__init__(*args, **given)
        self._kept: deque[tuple[Any, Any]] = deque(maxlen=most)
        self._lock = threading.Lock()
        self._use = threading.local()

    def spectrogram(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [mels, 3000] as the library makes it of a window: padded, without the frame that is over."""
        features: NDArray[np.float32] = pad_or_trim(self.feature_extractor(samples)[:, :-1])
        return features

    def encode_ahead(self, samples: NDArray[np.float32]) -> None:
        """Encode a window that is decoded later."""
        with self._keeping():
            self.encode(self.spectrogram(samples))

    def detect_language(self, *args: Any, **given: Any) -> Any:
        with self._keeping():
            return super().detect_language(*args, **given)

    def encode(self, features: NDArray[np.float32]) -> Any:
        features = features if features.ndim == 3 else features[None]
        # numpy puts rows together on the CPU alone, and knows no bfloat16.
        apart = self.model.device == "cpu" and "float16" not in self.model.compute_type
        kept = [self._taken(row) for row in features] if apart or len(features) == 1 else [None]
        if all(row is None for row in kept):
            encoded = super().encode(features)
        elif len(kept) == 1:
            encoded = kept[0]
        else:
            left = [number for number, row in enumerate(kept) if row is None]
            made = iter(np.asarray(super().encode(features[left]))) if left else iter(())
            rows = [next(made) if row is None else np.asarray(row)[0] for row in kept]
            encoded = ctranslate2.StorageView.from_array(np.stack(rows))
        if getattr(self._use, "keeps", False):
            with self._lock:
                self._kept.append((features[0], encoded))
        return encoded

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        self._use.keeps = True
        try:
            yield
        finally:
            self._use.keeps = False

    def _taken(self, features: NDArray[np.float32]) -> Any:
        """What was kept of these features, which is then kept no more; None where nothing was."""
        with self._lock:
            for index, (kept, encoded) in enumerate(self._kept):
                if np.array_equal(kept, features):
                    del self._kept[index]
                    return encoded
        return None


def first_place(runtime: Runtime) -> Place:
    """Where the model is to be tried first. UsageError, or MissingPackage for a CUDA device that is not here."""
    check_runtime(runtime)
    name, _, index = runtime.device.partition(":")
    if name == BALANCED:
        raise UsageError("--device balanced is for models of transformers", "take --device auto")
    if name == "cpu":
        return Place("cpu", runtime.compute_type)
    count = ctranslate2.get_cuda_device_count()
    if name == "auto":
        return Place("cuda:0" if count else "cpu", runtime.compute_type)
    if int(index or 0) >= count:
        here = f"only cuda:0 to cuda:{count - 1}" if count else "no CUDA device"
        raise MissingPackage(
            f"--device {runtime.device}: CTranslate2 finds {here} on this machine",
            "take --device auto or cpu, or install the NVIDIA driver",
        )
    return Place(f"cuda:{int(index or 0)}", runtime.compute_type)


# ---------------------------------------------------------------- stepping down


def is_lack(error: BaseException, place: Place) -> bool:
    """Whether memory or a CUDA library is lacking, so that another place may help."""
    return _of_memory(error) or (place.device.startswith("cuda") and bool(_CUDA.search(str(error))))


def _of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or bool(_MEMORY.search(str(error)))


def step_down(place: Place, error: BaseException, runtime: Runtime, batch: int = 1) -> Place | None:
    """The next place to try after a lack at this one: half the batch, then int8, then the CPU; None where none is left.

    What was asked for by name stays: a compute type, a CUDA device.
    """
    on_cuda = place.device.startswith("cuda")
    memory = _of_memory(error)
    if memory and batch > 1:
        return Place(place.device, place.compute_type, batch // 2)
    if memory and not place.compute_type.startswith("int8") and runtime.compute_type in ("auto", "default"):
        return Place(place.device, "int8", place.batch)
    if on_cuda and runtime.device == "auto":
        return Place("cpu", runtime.compute_type)
    return None


def told(old: Place, new: Place, error: BaseException, batch: int = 1) -> str:
    """One line on a step down."""
    if new.device != old.device:
        change = f"{old.device} -> {new.device}"
    elif new.compute_type != old.compute_type:
        change = f"{old.device} {old.compute_type} -> {new.compute_type}"
    else:
        change = f"{old.device} batch size {batch} -> {new.batch}"
    return f"{change} ({one_line(error)})"


def lacking(name: str, error: BaseException) -> MmcliError:
    """What to raise where no step is left."""
    if not _of_memory(error):
        return MissingPackage(
            f'model "{name}" cannot compute on CUDA ({one_line(error)})',
            "take --device auto or cpu, or install NVIDIA's driver, cuBLAS 12 and cuDNN 9",
        )
    return EngineError(
        f'model "{name}" does not fit into memory ({one_line(error)})', "take a smaller model, or --compute-type int8"
    )


# ---------------------------------------------------------------- loading


def _shares(place: Place, runtime: Runtime) -> tuple[int, int, dict[str, int]]:
    """How many windows are decoded side by side, how many encoded ahead, and what the library is told of that.

    Two windows with one thread each outrun one with two. Where they have to wait for each other, that holds for int8 alone,
    whose decoder gains nothing from a second thread.
    """
    most = runtime.threads or len(os.sched_getaffinity(0))
    shared = min(_MAX_WORKERS, most) if place.device == "cpu" else 1
    workers = runtime.workers or shared
    quick = place.compute_type == "auto" or place.compute_type.startswith("int8")
    ahead = shared if runtime.ahead and workers == 1 and shared > 1 and quick else 0
    parts = max(workers, ahead)
    threads = min(_MAX_THREADS, most // parts) if parts > 1 else runtime.threads or min(_MAX_THREADS, most)
    given = {"num_workers": workers + ahead, "cpu_threads": max(1, threads), "most": 2 * workers + 4 * ahead}
    return workers, ahead, given


def load(name: str, folder: Path, place: Place, runtime: Runtime) -> Loaded:
    """The model of a folder in memory. MissingModel for files that are not there, EngineError for files that are damaged.

    UsageError for a compute type that the device cannot do. RuntimeError and MemoryError where something lacks.
    """
    _check_folder(name, folder)
    device, _, index = place.device.partition(":")
    workers, ahead, shares = _shares(place, runtime)
    try:
        model = _Model(
            str(folder),
            device=device,
            device_index=int(index or 0),
            compute_type=place.compute_type,
            local_files_only=True,
            **shares,
        )
        _check_model(name, folder, model)
    except MmcliError:
        raise
    except Exception as error:
        if "compute type" in str(error):
            kinds = ", ".join(sorted(ctranslate2.get_supported_compute_types(device, int(index or 0))))
            raise UsageError(
                f"--compute-type {place.compute_type} is not for this {device} device", f"auto, default, {kinds} are"
            ) from error
        if is_lack(error, place):
            raise
        raise _damaged(name, folder, one_line(error)) from error
    place = Place(place.device, model.model.compute_type, place.batch)
    return Loaded(model, place, workers, ahead, _languages(model))


def _languages(model: _Model) -> tuple[str, ...]:
    if not model.model.is_multilingual:
        return ()
    return tuple(c for c in model.supported_languages if model.hf_tokenizer.token_to_id(f"<|{c}|>") is not None)


def let_go(loaded: Loaded) -> None:
    """Free the memory of a model once nothing computes with it, which is waited for. Its next use is a RuntimeError."""
    model = loaded.model.model
    limit = time.monotonic() + _PATIENCE_S
    while time.monotonic() < limit:
        # It does nothing while one of its batches is at work.
        model.unload_model()
        if not model.model_is_loaded:
            return
        time.sleep(_POLL_S)


def _damaged(name: str, folder: Path, why: str) -> EngineError:
    return EngineError(
        f'model "{name}": {folder} is no Whisper model that can be used ({why})', "fetch or convert it anew"
    )


def _check_folder(name: str, folder: Path) -> None:
    for file, what in (("model.bin", "the weights"), ("config.json", ""), ("tokenizer.json", "the tokenizer")):
        if not (folder / file).is_file():
            raise MissingModel(
                f'model "{name}": {folder} has no {file}{what and ", " + what}',
                "it has to be a Whisper model converted for CTranslate2, or one of transformers",
            )
    read_json(name, folder / "config.json")
    if not (folder / "preprocessor_config.json").is_file():
        return
    features = read_json(name, folder / "preprocessor_config.json")
    for key, value in _FIXED.items():
        if features.get(key, value) != value:
            raise _damaged(name, folder, f"its {key} is {features[key]!r}, not {value}")
    mels = features.get("feature_size", 80)
    if not isinstance(mels, int) or not 1 <= mels <= _MAX_MELS:
        raise _damaged(name, folder, f"its feature_size is {mels!r}")


def read_json(name: str, file: Path) -> dict[str, Any]:
    """A JSON object of a model's folder. EngineError where it is none."""
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError("it is too large")
        value = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(name, file.parent, f"{file.name}: {one_line(error)}") from error
    return value


def _check_model(name: str, folder: Path, model: Any) -> None:
    mels = model.feature_extractor.mel_filters.shape[0]
    if mels != model.model.n_mels:
        raise _damaged(name, folder, f"it hears {model.model.n_mels} mels and preprocessor_config.json gives {mels}")
    needed = ["<|startoftranscript|>", "<|endoftext|>", "<|notimestamps|>", "<|startofprev|>"]
    if model.model.is_multilingual:
        needed += ["<|transcribe|>", "<|translate|>", "<|en|>"]
        if not read_json(name, folder / "config.json").get("lang_ids"):
            raise _damaged(name, folder, "config.json names no lang_ids")
    for token in needed:
        if model.hf_tokenizer.token_to_id(token) is None:
            raise _damaged(name, folder, f"tokenizer.json has no {token}")
