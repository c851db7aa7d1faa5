"""Coqui's vocoders: HiFi-GAN (also as its own repository publishes it), the MelGANs, UnivNet, WaveRNN and others."""

from __future__ import annotations

import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from mmcli import store
from mmcli.engines.options import check_settings
from mmcli.engines.torch_runtime import while_running
from mmcli.engines.tts.coqui import facts, loading
from mmcli.stages import Audio

if TYPE_CHECKING:
    from mmcli.catalogue import ModelCard
    from mmcli.mel import Mel, MelFacts
    from mmcli.options import Runtime


class CoquiVocoder:
    """A spectrogram as sound."""

    facts: MelFacts

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights. ConfigError for a vocoder that is unknown; MissingModel or EngineError for its folder."""
        check_settings(card)
        folder = store.locate(card)
        made = facts.mel_facts(card)
        assert made is not None
        self.facts = made
        device = loading.prepare(runtime)
        self.device = str(device)
        self._card = card
        self._model = loading.load_vocoder(card, folder, device)
        # WaveRNN copies its parameters before it goes into inference mode itself, and cannot once it is on.
        self._mode: type[AbstractContextManager[None]] = torch.inference_mode
        if hasattr(self._model, "gen_display"):
            self._mode = nullcontext
            self._model.gen_display = lambda *_: None  # it would draw a bar on standard output
        self._lock = threading.Lock()

    def vocode(self, mel: Mel) -> Audio:
        """Sound of about frames * hop samples. EngineError where the model fails."""
        frames = torch.from_numpy(mel.values)[None].to(self.device)
        with self._lock, while_running(self._card), self._mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # WaveRNN's way with numpy
            samples = torch.as_tensor(self._model.inference(frames)).float().cpu().numpy().reshape(-1)
        return Audio(samples, self.facts.rate)
