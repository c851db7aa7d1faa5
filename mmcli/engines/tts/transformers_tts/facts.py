"""What the spectrograms of transformers' models are, from the files beside the weights alone; torch is not imported.

FastSpeech 2's files tell only the bands and the vocoder's hop: the rest is ESPnet's recipe for LJSpeech, of which the model's
entry may say otherwise. Its values are scaled to mean 0 and variance 1 in each band, by statistics that ESPnet keeps in
feats_stats.npz; without that file, only a vocoder that was trained with the model understands them.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli import store
from mmcli.errors import ConfigError, EngineError
from mmcli.families import MAX_CONFIG_BYTES, parse_config, read_config
from mmcli.mel import MelFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmcli.catalogue import ModelCard

ACOUSTIC = "SpeechT5ForTextToSpeech"
FASTSPEECH2 = "FastSpeech2ConformerModel"
VOCODERS = ("SpeechT5HifiGan", "FastSpeech2ConformerHifiGan")
# What SpeechT5FeatureExtractor has where its file is silent; lengths in milliseconds.
_DEFAULTS = {"sampling_rate": 16000, "hop_length": 16, "win_length": 64, "num_mel_bins": 80, "fmin": 80, "fmax": 7600}
# ESPnet's egs2/ljspeech; lengths in samples.
_ESPNET = {"sampling_rate": 22050, "n_fft": 1024, "hop_length": 256, "win_length": 1024, "fmin": 80, "fmax": 7600}
STATISTICS = "statistics"
SETTINGS = (*_ESPNET, STATISTICS)
"""Of FastSpeech 2 and its vocoder."""
_STATISTICS_FILE = "feats_stats.npz"
_MAX_STATISTICS_BYTES = 1 << 20


def of_model(card: ModelCard) -> MelFacts | None:
    """Of a model that speaks: None where it makes sound by itself.

    EngineError for a file that is damaged, ConfigError for a setting without sense.
    """
    folder = store.locate(card)
    config = read_config(folder)
    names = config.get("architectures") or ()
    if FASTSPEECH2 in names:
        return _espnet(card, folder, {"num_mel_bins": config.get("num_mel_bins")})
    if ACOUSTIC not in names:
        return None
    try:
        with (folder / "preprocessor_config.json").open("rb") as file:
            told = parse_config(file.read(MAX_CONFIG_BYTES + 1))
    except OSError:
        told = {}
    has = _numbers(card, told, _DEFAULTS)
    return _speecht5(has, has["hop_length"] * has["sampling_rate"] // 1000)


def of_vocoder(card: ModelCard) -> MelFacts:
    """Of a vocoder: its config.json tells rate, bands and hop; the rest is what every SpeechT5 has, or ESPnet's."""
    folder = store.locate(card)
    config = read_config(folder)
    told = {"sampling_rate": config.get("sampling_rate"), "num_mel_bins": config.get("model_in_dim")}
    fastspeech2 = VOCODERS[1] in (config.get("architectures") or ())
    rates = config.get("upsample_rates") or ((8, 8, 2, 2) if fastspeech2 else (4, 4, 4, 4))
    if not isinstance(rates, list | tuple) or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise EngineError(
            f'model "{card.name}": its config.json has upsample_rates {json.dumps(rates)}', "fetch it anew"
        )
    if fastspeech2:
        return _espnet(card, folder, {**told, "hop_length": math.prod(rates)})
    return _speecht5(_numbers(card, told, _DEFAULTS), math.prod(rates))


def _speecht5(has: Mapping[str, int], hop: int) -> MelFacts:
    win = has["win_length"] * has["sampling_rate"] // 1000
    return MelFacts(
        rate=has["sampling_rate"],
        n_fft=2 ** math.ceil(math.log2(win)),
        hop=hop,
        win=win,
        n_mels=has["num_mel_bins"],
        fmin=has["fmin"],
        fmax=has["fmax"],
        floor=1e-10,
        slope=1 / math.log(10),
    )


def _espnet(card: ModelCard, folder: Path, told: Mapping[str, Any]) -> MelFacts:
    """As espnet2.layers.log_mel analyses and espnet2.layers.global_mvn scales."""
    given = {key: card.settings[key] for key in _ESPNET if key in card.settings}
    for key, value in given.items():
        if not _is_number(value):
            raise ConfigError(f"{card.origin}: [models.{card.name}] {key} cannot be {value!r}")
    has = _numbers(card, {**told, **given}, {**_ESPNET, "num_mel_bins": 80})
    bands = has["num_mel_bins"]
    slope: float | tuple[float, ...] = 1 / math.log(10)
    offset: float | tuple[float, ...] = 0.0
    statistics = _statistics(card, folder, bands)
    if statistics is not None:
        mean, deviation = statistics
        slope, offset = tuple(slope / deviation), tuple(-mean / deviation)
    return MelFacts(
        rate=has["sampling_rate"],
        n_fft=has["n_fft"],
        hop=has["hop_length"],
        win=has["win_length"],
        n_mels=bands,
        fmin=has["fmin"],
        fmax=has["fmax"],
        floor=1e-10,
        slope=slope,
        offset=offset,
        own_scale=statistics is None,
    )


def _statistics(card: ModelCard, folder: Path, bands: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and deviation of each band, out of the file of the settings or the one beside the weights; None without any."""
    named = card.settings.get(STATISTICS)
    where = f"{card.origin}: [models.{card.name}] {STATISTICS}"
    if named is not None and not (isinstance(named, str) and Path(named).expanduser().is_file()):
        raise ConfigError(f"{where}: there is no file {named}")
    file = folder / _STATISTICS_FILE if named is None else Path(named).expanduser()
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > _MAX_STATISTICS_BYTES:
            raise ValueError("it is too large")
        with np.load(file, allow_pickle=False) as table:
            count, total, squares = (np.asarray(table[key], np.float64) for key in ("count", "sum", "sum_square"))
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-20))
        if mean.shape != (bands,) or not np.isfinite([mean, deviation]).all():
            raise ValueError(f"it is not of {bands} bands")
    except Exception as error:  # an .npz is a zip archive: many kinds of damage
        why = str(error).partition("\n")[0]
        raise EngineError(
            f'model "{card.name}": {file} has no statistics of its bands ({why})', "fetch it anew"
        ) from error
    return mean, deviation


def _numbers(card: ModelCard, told: Mapping[str, Any], defaults: Mapping[str, int]) -> dict[str, int]:
    has = {}
    for key, default in defaults.items():
        value = told.get(key)
        value = default if value is None else value
        if not _is_number(value):
            raise EngineError(f'model "{card.name}": its {key} is {json.dumps(value)}', "fetch it anew")
        has[key] = int(value)
    return has


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 200_000
