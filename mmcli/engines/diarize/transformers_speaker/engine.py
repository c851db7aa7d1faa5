"""Speakers told apart by the models of transformers: x-vectors of short windows, or the activity of each speaker."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import torch
import transformers

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.engines.diarize.transformers_speaker.activity import Activity
from mmcli.engines.diarize.transformers_speaker.embedding import Embeddings
from mmcli.engines.options import check_settings
from mmcli.errors import ConfigError
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mmcli.catalogue import ModelCard
    from mmcli.options import DiarizeOptions, Runtime
    from mmcli.stages import SpeakerTurn, Window

_SORTFORMER = "Nemotron3DiarizationForAudioFrameClassification"
_XVECTORS = (
    "WavLMForXVector",
    "Wav2Vec2ForXVector",
    "Wav2Vec2BertForXVector",
    "Wav2Vec2ConformerForXVector",
    "UniSpeechSatForXVector",
    "Data2VecAudioForXVector",
)
_KNOWN = (*_XVECTORS, _SORTFORMER)
# What training needs and telling speakers does not.
_EXPENDABLE = ("masked_spec_embed", "objective.weight")
_MAX_RATE = 48000


class TransformersDiarizer:
    """Models with an x-vector head, and Nemotron Diarization."""

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights. ConfigError for a setting or an architecture that is unknown, or what the loading raises."""
        folder = store.locate(card)
        name = torch_runtime.known_architecture(card, folder, _KNOWN)
        threshold = _threshold(card, allowed=name in _XVECTORS)
        device = torch_runtime.first_device(runtime)
        dtype = torch_runtime.first_dtype(runtime, device)
        torch_runtime.check_weights(card, folder)
        torch_runtime.set_up(runtime)
        self._card = card
        auto = transformers.AutoProcessor if name == _SORTFORMER else transformers.AutoFeatureExtractor
        with torch_runtime.while_loading(card, folder):
            processor, model = _load(card, folder, (auto, getattr(transformers, name)), dtype)
            model = model.eval().to(device)
        self.rate = int(getattr(processor, "feature_extractor", processor).sampling_rate)
        if not 0 < self.rate <= _MAX_RATE:
            raise torch_runtime.damaged(card, folder, f"its sampling_rate is {self.rate}")
        self._device = device
        self._tell: Callable[[Iterable[Window], DiarizeOptions], tuple[SpeakerTurn, ...]] = (
            Activity(model, processor).turns
            if name == _SORTFORMER
            else Embeddings(model, processor, self.rate, threshold).turns
        )

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._device)

    def speakers(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        """Turns in order of time. EngineError where the model fails or memory does not suffice."""
        with torch_runtime.while_running(self._card), closing(closable(windows)) as source, torch.inference_mode():
            return self._tell((window for window in source if len(window.audio.samples)), options)


def _threshold(card: ModelCard, *, allowed: bool) -> float | None:
    check_settings(card, ("threshold",) if allowed else ())
    for value in card.settings.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2:
            raise ConfigError(
                f"{card.origin}: [models.{card.name}] setting threshold is a cosine distance between 0 and 2, not {value!r}"
            )
        return float(value)
    return None


def _load(card: ModelCard, folder: Path, classes: tuple[Any, Any], dtype: torch.dtype | str) -> tuple[Any, Any]:
    given = {"local_files_only": True, "trust_remote_code": False}
    processor = classes[0].from_pretrained(folder, **given)
    model, told = classes[1].from_pretrained(
        folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **given
    )
    torch_runtime.check_whole(card, folder, told, _EXPENDABLE)
    return processor, model
