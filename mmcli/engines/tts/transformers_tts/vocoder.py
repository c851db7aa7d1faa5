"""HiFi-GAN as transformers has it for SpeechT5 and FastSpeech 2 (Kong et al. 2020, arXiv:2010.05646)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.engines.options import check_settings
from mmcli.engines.tts.transformers_tts import facts
from mmcli.engines.tts.transformers_tts.loading import Source, drawing, load, precise
from mmcli.errors import EngineError
from mmcli.stages import Audio

if TYPE_CHECKING:
    from mmcli.catalogue import ModelCard
    from mmcli.mel import Mel
    from mmcli.options import Runtime


class HifiGan:
    """It draws nothing at random."""

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """ConfigError for a setting or another architecture, MissingModel, EngineError for what is damaged."""
        folder = store.locate(card)
        name = torch_runtime.known_architecture(card, folder, facts.VOCODERS)
        check_settings(card, facts.SETTINGS if name == facts.VOCODERS[1] else (), name)
        self.facts = facts.of_vocoder(card)
        self._card = card
        device = torch_runtime.first_device(runtime)
        source = Source(card, folder, device, precise(runtime))
        self._model: Any = load(source, runtime, lambda source: source.model(name))
        self._device = device
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._device)

    def vocode(self, mel: Mel) -> Audio:
        """Sound of frames * hop samples."""
        values = torch.from_numpy(np.ascontiguousarray(mel.values.T)).to(self._device)
        with drawing(self._card, self._device, self._lock, 0, "a spectrogram"):
            samples = self._model(values).float().cpu().numpy()
        if len(samples) != mel.values.shape[1] * self.facts.hop:
            raise EngineError(f'model "{self._card.name}" made {len(samples)} samples of {mel.values.shape[1]} frames')
        return Audio(samples, self.facts.rate)
