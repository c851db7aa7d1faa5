"""What the spectrograms of transformers' models are, from the files beside the weights alone; torch is not imported."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from mmcli import store
from mmcli.errors import EngineError
from mmcli.families import MAX_CONFIG_BYTES, parse_config, read_config
from mmcli.mel import MelFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcli.catalogue import ModelCard

ACOUSTIC = "SpeechT5ForTextToSpeech"
VOCODER = "SpeechT5HifiGan"
# What SpeechT5FeatureExtractor has where its file is silent; lengths in milliseconds.
_DEFAULTS = {"sampling_rate": 16000, "hop_length": 16, "win_length": 64, "num_mel_bins": 80, "fmin": 80, "fmax": 7600}


def of_model(card: ModelCard) -> MelFacts | None:
    """Of a model that speaks: None where it makes sound by itself. EngineError for a file that is damaged."""
    folder = store.locate(card)
    if ACOUSTIC not in (read_config(folder).get("architectures") or ()):
        return None
    try:
        with (folder / "preprocessor_config.json").open("rb") as file:
            told = parse_config(file.read(MAX_CONFIG_BYTES + 1))
    except OSError:
        told = {}
    has = _numbers(card, told)
    win = has["win_length"] * has["sampling_rate"] // 1000
    return MelFacts(
        rate=has["sampling_rate"],
        n_fft=2 ** math.ceil(math.log2(win)),
        hop=has["hop_length"] * has["sampling_rate"] // 1000,
        win=win,
        n_mels=has["num_mel_bins"],
        fmin=has["fmin"],
        fmax=has["fmax"],
        floor=1e-10,
        slope=1 / math.log(10),
    )


def of_vocoder(card: ModelCard) -> MelFacts:
    """Of a vocoder: its config.json tells rate, bands and hop; the rest is what every SpeechT5 has."""
    config = read_config(store.locate(card))
    has = _numbers(card, {"sampling_rate": config.get("sampling_rate"), "num_mel_bins": config.get("model_in_dim")})
    rates = config.get("upsample_rates") or (4, 4, 4, 4)
    if not isinstance(rates, list | tuple) or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise EngineError(
            f'model "{card.name}": its config.json has upsample_rates {json.dumps(rates)}', "fetch it anew"
        )
    win = has["win_length"] * has["sampling_rate"] // 1000
    return MelFacts(
        rate=has["sampling_rate"],
        n_fft=2 ** math.ceil(math.log2(win)),
        hop=math.prod(rates),
        win=win,
        n_mels=has["num_mel_bins"],
        fmin=has["fmin"],
        fmax=has["fmax"],
        floor=1e-10,
        slope=1 / math.log(10),
    )


def _numbers(card: ModelCard, told: Mapping[str, Any]) -> dict[str, int]:
    has = {}
    for key, default in _DEFAULTS.items():
        value = told.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 200_000:
            raise EngineError(f'model "{card.name}": its {key} is {json.dumps(value)}', "fetch it anew")
        has[key] = int(value)
    return has
