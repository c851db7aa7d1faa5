"""Voices that are d-vectors: those of a file, by name, and those that the model's speaker encoder finds in recordings."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from TTS.config import get_from_config_or_model_args, register_config
from TTS.encoder.utils.generic_utils import setup_encoder_model
from TTS.tts.utils.speakers import SpeakerManager
from TTS.utils.audio import AudioProcessor
from TTS.utils.audio.numpy_transforms import rms_volume_norm

from mmcli.engines.tts.coqui import facts, loading
from mmcli.engines.tts.coqui.recordings import recording
from mmcli.errors import UsageError
from mmcli.media.voice_samples import MAX_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from mmcli.catalogue import ModelCard

# Of recordings whose vectors are kept.
_KEPT = 16


class DVectors:
    """The d-vectors of a model: names, and recordings where the model has a speaker encoder.

    The encoder stays on the CPU: it is asked once for a voice.
    """

    def __init__(self, card: ModelCard, model: Any, encoder: SpeakerManager | None) -> None:
        self._card = card
        self._manager = model.speaker_manager
        self._encoder = encoder
        self._device = model.device
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, ...], torch.Tensor] = {}
        self.names: list[str] = list(self._manager.embedding_names)

    def check(self, recordings: tuple[str, ...]) -> None:
        """UsageError for recordings that nothing can listen to, InputError for one that cannot be read or is too short."""
        if recordings and self._encoder is None:
            raise UsageError(
                f'model "{self._card.name}" has no speaker encoder, so it cannot take over a voice',
                "config_se.json and model_se.pth in its folder give it one",
            )
        if recordings:
            self._taken.pop(recordings, None)
            self.vector(None, recordings)

    def vector(self, voice: str | None, recordings: tuple[str, ...]) -> torch.Tensor:
        """[1, width]: the mean over the recordings, or over all clips of that name."""
        if not recordings:
            mean = self._manager.get_mean_embedding(voice or self.names[0])
            return torch.tensor(mean, dtype=torch.float, device=self._device)[None]
        with self._lock:
            if recordings not in self._taken:
                for old in list(self._taken)[: 1 - _KEPT]:
                    del self._taken[old]
                with torch.inference_mode():
                    self._taken[recordings] = self._heard(recordings)
            return self._taken[recordings]

    def _heard(self, recordings: tuple[str, ...]) -> torch.Tensor:
        assert self._encoder is not None
        vectors = [self._encoder.encoder.compute_embedding(_sound(self._encoder, name)) for name in recordings]
        return torch.stack(vectors).mean(dim=0).to(self._device)


def _sound(encoder: SpeakerManager, name: str) -> torch.Tensor:
    """A recording as the encoder was trained, as SpeakerManager.compute_embedding_from_clip makes it of a file.

    [1, samples], or [1, bands, frames].
    """
    processor = encoder.encoder_ap
    samples = recording(name, int(processor.sample_rate), MAX_SECONDS)
    if processor.do_trim_silence:
        with contextlib.suppress(ValueError):  # nothing would be left of it
            samples = processor.trim_silence(samples)
    if processor.do_sound_norm:
        samples = processor.sound_norm(samples)
    if processor.do_rms_norm:
        samples = rms_volume_norm(x=samples, db_level=processor.db_level)
    of_waves = encoder.encoder_config.model_params.get("use_torch_spec", False)
    values = samples if of_waves else processor.melspectrogram(samples)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]


def of_model(card: ModelCard, folder: Path, model: Any) -> DVectors | None:
    """The d-vectors of a model that speaks with them; None for others. MissingModel, EngineError."""
    if model.speaker_manager is None or not get_from_config_or_model_args(model.config, "use_d_vector_file"):
        return None
    with loading.translated(card, folder):
        width = int(model.embedded_speaker_dim)
        for clip in model.speaker_manager.embeddings.values():
            vector = np.asarray(clip["embedding"], np.float64)
            if vector.shape != (width,) or not np.isfinite(vector).all():
                raise ValueError(f"a d-vector of {clip['name']!r} is not {width} numbers")
        files = loading.encoder_files(card, folder)
        encoder = _encoder(card, *files) if files else None
        if encoder is not None and int(encoder.encoder.proj_dim) != width:
            raise ValueError(f"its speaker encoder makes {encoder.encoder.proj_dim} numbers, not {width}")
    return DVectors(card, model, encoder)


def _encoder(card: ModelCard, weights: Path, config_file: Path) -> SpeakerManager:
    """As SpeakerManager.init_encoder, but for statistics, which the library would read as a program."""
    raw = facts.read_config(card, config_file.parent, config_file.name)
    config = register_config("speaker_encoder")()
    config.from_dict({**raw, "audio": {**(raw.get("audio") or {}), "stats_path": None}})
    manager = SpeakerManager()
    manager.encoder_config = config
    manager.encoder = setup_encoder_model(config)
    manager.encoder.load_state_dict(loading.weights_of(card, weights))
    manager.encoder.eval()
    manager.encoder_ap = AudioProcessor(config.audio)
    return manager
