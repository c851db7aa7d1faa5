"""Voices that are vectors in files, for models that speak with the voice of a speaker embedding; nothing in them is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmcli.engines.tts.transformers_tts.loading import choose_voice, language
from mmcli.errors import ConfigError, UsageError, one_line
from mmcli.stages import Voice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcli.engines.tts.transformers_tts.loading import Source

SETTINGS = ("speaker_embedding",)
NEUTRAL = "neutral"
_FOLDER = "speaker_embeddings"
_FORMATS = (".npy", ".safetensors")
_MAX_EMBEDDING_BYTES = 1 << 20


class Embeddings:
    """The file of `settings.speaker_embedding`, those in a folder of the model, or any by its path."""

    def __init__(self, source: Source, width: int) -> None:
        """UsageError for a file that holds no vector of that width."""
        self._card = source.card
        self._width = width
        self._files: dict[str, Path | None] = {}
        for file in _files(source):
            self._files.setdefault(file.stem, file)
        self._files[NEUTRAL] = None
        self._language = language(source.card)
        for name in self._files:
            self.vector(name)

    def voices(self) -> tuple[Voice, ...]:
        return tuple(
            Voice(name, self._language, "" if file else "nobody's: an embedding of zeros")
            for name, file in self._files.items()
        )

    def voice(self, name: str | None, language: str | None) -> str:
        """The one to speak with. UsageError for a name that is none, and a language that it does not speak."""
        if name is not None and name.endswith(_FORMATS) and Path(name).expanduser().is_file():
            choose_voice(self._card, self.voices(), language=language)
            return name
        return choose_voice(self._card, self.voices(), name, language)

    def vector(self, voice: str) -> NDArray[np.float32]:
        """[width]. UsageError for a file that holds no such vector."""
        file = self._files.get(voice, Path(voice).expanduser())
        return np.zeros(self._width, np.float32) if file is None else _read(file, self._width)


def _files(source: Source) -> list[Path]:
    """The embedding of the settings, then those that lie in the model's folder, by their names."""
    inside = source.folder / _FOLDER
    found = sorted(file for file in inside.iterdir() if file.suffix in _FORMATS) if inside.is_dir() else []
    named = source.card.settings.get("speaker_embedding")
    if named is None:
        return found
    where = f"{source.card.origin}: [models.{source.card.name}] speaker_embedding"
    if not isinstance(named, str) or not named.endswith(_FORMATS):
        raise ConfigError(f"{where} is no file that ends in {' or '.join(_FORMATS)}")
    if not Path(named).expanduser().is_file():
        raise ConfigError(f"{where}: there is no file {named}")
    return [Path(named).expanduser(), *found]


def _read(file: Path, width: int) -> NDArray[np.float32]:
    """The one vector of a file; nothing in it is run."""
    try:
        if file.stat().st_size > _MAX_EMBEDDING_BYTES:
            raise ValueError("it is too large")
        if file.suffix == ".npy":
            values = np.load(file, allow_pickle=False)
        else:
            from safetensors.numpy import load_file

            tensors = load_file(file)
            if len(tensors) != 1:
                raise ValueError(f"it holds {len(tensors)} tensors")
            (values,) = tensors.values()
        values = np.asarray(values, np.float32).reshape(-1)
        if len(values) != width or not np.isfinite(values).all():
            raise ValueError(f"it holds {len(values)} numbers")
    except Exception as error:
        why = one_line(error)
        raise UsageError(f"{file} is no speaker embedding of {width} numbers ({why})") from error
    return values
