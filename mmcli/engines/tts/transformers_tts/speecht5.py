"""SpeechT5: text to spectrograms with the voice of a speaker embedding (Ao et al. 2022, arXiv:2110.07205).

The embedding is an x-vector of 512 numbers, as speechbrain's spkrec-xvect-voxceleb makes them; one that another model
makes means another voice, or none. Without any it is all zeros: clear speech in nobody's voice.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmcli.engines import torch_runtime
from mmcli.engines.options import refuse_others
from mmcli.engines.tts.transformers_tts import facts
from mmcli.engines.tts.transformers_tts.loading import Source, choose_voice, drawing, drawn_seed, language
from mmcli.errors import ConfigError, UsageError
from mmcli.mel import Mel
from mmcli.stages import Voice
from mmcli.text import utterances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmcli.engines.tts.transformers_tts.loading import Source
    from mmcli.mel import MelFacts
    from mmcli.options import SpeakOptions

_HONOURED = ("voice", "language", "seed")
SETTINGS = ("speaker_embedding",)
NEUTRAL = "neutral"
_FOLDER = "speaker_embeddings"
_FORMATS = (".npy", ".safetensors")
_MAX_EMBEDDING_BYTES = 1 << 20


class SpeechT5:
    """Voices are embeddings: the file of `settings.speaker_embedding`, those in a folder of the model, or any by its path."""

    reads_numbers = False

    def __init__(self, source: Source) -> None:
        self.card = source.card
        made = facts.of_model(source.card)
        assert made is not None
        self.facts: MelFacts = made
        self._device = source.device
        self._tokenizer = source.part("SpeechT5Tokenizer")
        self._model = source.model("SpeechT5ForTextToSpeech")
        config = self._model.config
        # Positions beyond are unknown to it; the end of the text is one more.
        self._longest = int(config.max_text_positions) - 1
        self._embeddings: dict[str, Path | None] = {}
        for file in _files(source):
            self._embeddings.setdefault(file.stem, file)
        self._embeddings[NEUTRAL] = None
        self._language = language(source.card)
        self._english = set(source.card.languages) & {"*", "en"} != set()
        self._lock = threading.Lock()
        for name in self._embeddings:
            self._embedding(name)

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._device)

    def voices(self) -> tuple[Voice, ...]:
        return tuple(
            Voice(name, self._language, "" if file else "nobody's: an embedding of zeros")
            for name, file in self._embeddings.items()
        )

    def check(self, options: SpeakOptions) -> None:
        refuse_others(options, _HONOURED, f'model "{self.card.name}"')
        self._embedding(self._voice(options))

    def spectrogram(self, text: str, options: SpeakOptions) -> Mel:
        """Frames of all pieces of the text, one after the other. The network draws at random while it speaks."""
        embedding, seed = self._embedding(self._voice(options)), drawn_seed(options)
        frames, left_out = [], ""
        for piece in utterances(text, self._longest):
            ids = self._tokenizer(" ".join(piece.split()), normalize=self._english, return_tensors="pt")["input_ids"]
            left_out += self._left_out(piece)
            if ids.shape[1] <= 1:  # the end of the text alone
                continue
            with drawing(self.card, self._device, self._lock, seed, piece):
                said = self._model.generate_speech(ids[:, : self._longest + 1].to(self._device), embedding)
                frames.append(said.float().cpu().numpy().T)
        values = np.concatenate(frames, axis=1) if frames else np.zeros((self.facts.n_mels, 0), np.float32)
        return Mel(values.astype(np.float32), self.facts, left_out)

    def _left_out(self, text: str) -> str:
        """Letters without a sign; figures are written out in English."""
        unknown = self._tokenizer.unk_token_id
        return "".join(
            letter
            for letter in text
            if (letter.isalpha() or (letter.isdigit() and not self._english))
            and self._tokenizer.convert_tokens_to_ids(letter) == unknown
        )

    def _voice(self, options: SpeakOptions) -> str:
        named = options.voice or ""
        if named.endswith(_FORMATS) and Path(named).expanduser().is_file():
            choose_voice(self.card, self.voices(), language=options.language)
            return named
        return choose_voice(self.card, self.voices(), options.voice, options.language)

    def _embedding(self, voice: str) -> torch.Tensor:
        """[1, width]. UsageError for a file that holds no such vector."""
        width = int(self._model.config.speaker_embedding_dim)
        file = self._embeddings.get(voice, Path(voice).expanduser())
        values = np.zeros(width, np.float32) if file is None else _read(file, width)
        return torch.from_numpy(values)[None].to(self._device, self._model.dtype)


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
        why = torch_runtime.one_line(error)
        raise UsageError(f"{file} is no speaker embedding of {width} numbers ({why})") from error
    return values
