"""What the config.json of a Coqui model tells before anything loads: which model it is, and its spectrograms. No torch."""

from __future__ import annotations

import io
import json
import math
import pickle  # only for a reader that takes nothing but arrays of numbers
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from mmcli import store
from mmcli.errors import ConfigError, EngineError, MissingModel, did_you_mean
from mmcli.families import CONFIG, MAX_CONFIG_BYTES
from mmcli.mel import MelFacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mmcli.catalogue import ModelCard

ACOUSTIC = ("tacotron2", "fast_pitch", "fastspeech2", "fast_speech", "speedy_speech", "glow_tts")
END_TO_END = ("vits", "xtts")
VOCODERS = (
    *("hifigan", "melgan", "multiband_melgan", "fullband_melgan", "univnet", "parallel_wavegan"),
    *("wavernn", "wavegrad"),
)
HIFI_GAN = "hifi-gan"
"""The model of HiFi-GAN's own repository, whose config.json has another form."""

# What a config.json that says nothing else means, by TTS.config.shared_configs.BaseAudioConfig.
_AUDIO: dict[str, Any] = {
    "fft_size": 1024,
    "win_length": 1024,
    "hop_length": 256,
    "frame_shift_ms": None,
    "frame_length_ms": None,
    "sample_rate": 22050,
    "preemphasis": 0.0,
    "ref_level_db": 20,
    "log_func": "np.log10",
    "num_mels": 80,
    "mel_fmin": 0.0,
    "mel_fmax": None,
    "spec_gain": 20,
    "signal_norm": True,
    "min_level_db": -100,
    "symmetric_norm": True,
    "max_norm": 4.0,
    "clip_norm": True,
    "stats_path": None,
}
_MAX_STATS_BYTES = 10 << 20
_COMMENTS = re.compile(r'("(?:\\.|[^"\\])*")|/\*.*?\*/|//[^\n]*', re.DOTALL)


def mel_facts(card: ModelCard) -> MelFacts | None:
    """The spectrograms of a model; None for one that goes from text to sound by itself.

    MissingModel, ConfigError or EngineError where its folder, its config.json or its statistics are not as they should.
    """
    folder = store.locate(card)
    config = read_config(card, folder)
    name = model_name(card, config)
    if name in END_TO_END:
        return None
    try:
        if name == HIFI_GAN:
            return _of_hifi_gan(config)
        audio = {**_AUDIO, **config.get("audio", {})}
        return _of_audio(audio, _statistics(folder, audio))
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise damaged(card, folder, f"the sound in its {CONFIG} makes no sense: {error}") from error


def read_config(card: ModelCard, folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """config.json, which in older models has comments. MissingModel or EngineError."""
    try:
        with (folder / name).open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES).decode()
        try:
            config = json.loads(text)
        except ValueError:
            config = json.loads(_COMMENTS.sub(lambda match: match[1] or "", text))
    except FileNotFoundError as error:
        raise MissingModel(f'model "{card.name}": {folder} has no {name}', "it is needed there") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(card, folder, f"{name} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise damaged(card, folder, f"{name} is no table")
    return config


def model_name(card: ModelCard, config: Mapping[str, Any]) -> str:
    """Which of the models above it is. ConfigError for another one, or one of another role."""
    if "upsample_rates" in config:
        name = HIFI_GAN
    else:
        name = str(config.get("model") or config.get("generator_model")).lower().removesuffix("_generator")
    known = (*VOCODERS, HIFI_GAN) if card.role == "vocoder" else (*ACOUSTIC, *END_TO_END)
    if name not in known:
        raise ConfigError(
            f'model "{card.name}": the engine {card.engine} knows no {name}',
            did_you_mean(name, known) or f"it knows {', '.join(known)}",
        )
    return name


def damaged(card: ModelCard, folder: Path, why: str) -> EngineError:
    return EngineError(f'model "{card.name}": {folder} is no model that can be used ({why})', "fetch it anew")


def _of_hifi_gan(config: Mapping[str, Any]) -> MelFacts:
    rate = int(config["sampling_rate"])
    return MelFacts(
        rate=rate,
        n_fft=int(config["n_fft"]),
        hop=int(config["hop_size"]),
        win=int(config["win_size"]),
        n_mels=int(config["num_mels"]),
        fmin=float(config["fmin"]),
        fmax=float(config["fmax"] or rate / 2),
        floor=1e-5,
    )


def _of_audio(audio: Mapping[str, Any], statistics: Mapping[str, Any] | None) -> MelFacts:
    """An [audio] table as TTS.utils.audio.AudioProcessor understands it."""
    rate = int(audio["sample_rate"])
    win, hop = audio["win_length"], audio["hop_length"]
    if hop is None:
        win = int(audio["frame_length_ms"] / 1000 * rate)
        hop = int(win / (audio["frame_length_ms"] / audio["frame_shift_ms"]))
    slope: float | tuple[float, ...] = audio["spec_gain"] / (1 if audio["log_func"] == "np.log" else math.log(10))
    offset: float | tuple[float, ...] = 0.0
    low, high = -math.inf, math.inf
    if audio["signal_norm"] and statistics is not None:
        scale = np.asarray(statistics["mel_std"], np.float64).ravel()
        offset = tuple(-np.asarray(statistics["mel_mean"], np.float64).ravel() / scale)
        slope = tuple(slope / scale)
        if len(slope) != audio["num_mels"]:
            raise ValueError(f"{len(slope)} bands in its statistics and {audio['num_mels']} in its spectrograms")
    elif audio["signal_norm"]:
        floor, limit = audio["min_level_db"], float(audio["max_norm"])
        least = -limit if audio["symmetric_norm"] else 0.0
        gain = (limit - least) / -floor
        slope, offset = slope * gain, least - gain * (audio["ref_level_db"] + floor)
        if audio["clip_norm"]:
            low, high = least, limit
    return MelFacts(
        rate=rate,
        n_fft=int(audio["fft_size"]),
        hop=int(hop),
        win=int(win),
        n_mels=int(audio["num_mels"]),
        fmin=float(audio["mel_fmin"]),
        fmax=float(audio["mel_fmax"] or rate / 2),
        preemphasis=float(audio["preemphasis"]),
        slope=slope,
        offset=offset,
        low=low,
        high=high,
    )


def _statistics(folder: Path, audio: Mapping[str, Any]) -> dict[str, Any] | None:
    """Mean and deviation of each band, out of the file beside config.json that it names by a path of another machine."""
    if not audio["stats_path"] or not audio["signal_norm"]:
        return None
    name = re.split(r"[\\/]", str(audio["stats_path"]))[-1]
    try:
        return read_table(folder / name)
    except OSError as error:
        raise ValueError(f"it needs {name}, which is not there") from error


def read_table(path: Path) -> dict[str, Any]:
    """Numbers and arrays by name, as the library leaves statistics. OSError, or ValueError for anything else.

    The file is a pickle by its nature: only arrays are read out of it, anything else is refused.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_STATS_BYTES)
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    try:
        holder = _Arrays(stream).load()
        found = holder.item() if isinstance(holder, np.ndarray) else holder
        return dict(found)
    except (pickle.UnpicklingError, EOFError, IndexError, MemoryError) as error:
        raise ValueError(f"{path.name} is refused: {error}") from error


class _Arrays(pickle.Unpickler):
    """Builds arrays and plain values; whatever else a pickle names is refused, so that nothing of it runs."""

    _ALLOWED = frozenset(
        (f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")
    ) | {("numpy", "ndarray"), ("numpy", "dtype")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it would run {module}.{name}")
        return super().find_class(module, name)
