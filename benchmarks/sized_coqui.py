"""Models of Coqui TTS in the sizes of the published ones, with weights drawn at random: the computing is theirs, the sound is noise."""

from __future__ import annotations

from pathlib import Path

import torch
from TTS.config import register_config
from TTS.tts.models import setup_model
from TTS.vocoder.models import setup_generator

PLAIN = {"log_func": "np.log", "spec_gain": 1, "signal_norm": False, "mel_fmax": 8000.0, "do_trim_silence": False}
"""How HiFi-GAN and most released models write a mel-spectrogram."""


def voice(name: str, folder: Path) -> Path:
    """The folder of `vits` or `fast_pitch`, built once."""
    config = register_config(name)()
    config.update({"text_cleaner": "basic_cleaners", "run_eval": False, "test_sentences": []})
    config.audio.update({"do_trim_silence": False} if name == "vits" else PLAIN)
    return _saved(folder / name, config, lambda: setup_model(config))


def hifi_gan(folder: Path) -> Path:
    """The folder of a HiFi-GAN V1, its generator alone, built once."""
    config = register_config("hifigan")()
    config.audio.update(PLAIN)
    return _saved(folder / "hifigan", config, lambda: setup_generator(config))


def _saved(folder: Path, config: object, build: object) -> Path:
    weights = folder / "model_file.pth"
    if not weights.exists():
        torch.manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        config.save_json(str(folder / "config.json"))  # type: ignore[attr-defined]
        # The mark of a generator alone; for voices it means nothing.
        torch.save({"model": build().state_dict(), "model_disc": {}}, weights)  # type: ignore[operator]
    return folder
