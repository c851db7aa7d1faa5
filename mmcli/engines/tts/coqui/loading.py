"""Weights of Coqui's models into memory, by path only: the library's own download and its questions are never reached."""

from __future__ import annotations

import functools
import logging
import pickle  # only its error
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from TTS.config import register_config
from TTS.tts.layers.generic.res_conv_bn import Conv1dBN
from TTS.tts.models import setup_model
from TTS.utils.audio import processor
from TTS.vocoder.models import setup_generator
from TTS.vocoder.models import setup_model as setup_vocoder

from mmcli.engines import torch_runtime
from mmcli.engines.tts.coqui import facts, phonemes
from mmcli.errors import EngineError, MissingModel, UsageError
from mmcli.families import file_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmcli.catalogue import ModelCard
    from mmcli.options import Runtime

# Places in config.json that are paths of the machine where a model was trained; what they name lies beside config.json.
_PATHS = (
    *("speakers_file", "speaker_file", "d_vector_file", "language_ids_file", "tokenizer_file", "mel_norm_file"),
    *("speaker_encoder_model_path", "speaker_encoder_config_path", "stats_path", "xtts_checkpoint"),
    *("gpt_checkpoint", "decoder_checkpoint", "dvae_checkpoint", "init_discriminator_from"),
)
_USUAL_NAMES = {
    "speakers_file": ("speaker_ids.json", "speakers.pth", "speaker_ids.pth"),
    "d_vector_file": ("speakers.json", "speakers.pth"),
    "language_ids_file": ("language_ids.json",),
    "speaker_encoder_model_path": ("model_se.pth", "model_se.pth.tar"),
    "speaker_encoder_config_path": ("config_se.json",),
}
_ENCODER = ("speaker_encoder_model_path", "speaker_encoder_config_path")
_CHECKPOINTS = ("model_file.pth", "model_file.pth.tar", "model.pth", "checkpoint.pth", "best_model.pth")
_NO_CHECKPOINTS = re.compile(r"speakers.*|speaker_ids.*|language_ids.*|model_se.*|dvae.*|mel_stats.*")


def prepare(runtime: Runtime) -> torch.device:
    """Where to compute; the library's remarks off the terminal. UsageError for numbers other than float32."""
    if runtime.compute_type not in ("auto", "default", "float32"):
        raise UsageError(f"--compute-type {runtime.compute_type} is not for Coqui's models", "they compute in float32")
    torch_runtime.set_threads(runtime)
    for name in ("TTS", "trainer"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    phonemes.register()
    return torch_runtime.first_device(runtime)


def load_voice(card: ModelCard, folder: Path, device: torch.device) -> Any:
    """An acoustic or end-to-end model, ready to speak. MissingModel, EngineError, ConfigError."""
    with translated(card, folder):
        config = _config(card, folder)
        with _without_filters():
            model = setup_model(config)
        if config.model == "xtts":
            torch_runtime.quieten()
            # The library would write an old checkpoint anew over the file itself.
            model._load_checkpoint = lambda path: _xtts_weights(card, path)
            model.load_checkpoint(config, checkpoint_dir=folder, eval=True)
        else:
            model.load_checkpoint(config, checkpoint_path=_checkpoint(card, folder), eval=True)
        for module in model.modules():
            if isinstance(module, Conv1dBN):
                module.forward = functools.partial(_convolve_short_too, module)
        return model.to(device)


@contextmanager
def _without_filters() -> Iterator[None]:
    """The library makes the filters of a mel-spectrogram, which only training asks of a voice, with a second of imports."""
    make, processor.build_mel_basis = processor.build_mel_basis, lambda **_: None
    try:
        yield
    finally:
        processor.build_mel_basis = make


def load_vocoder(card: ModelCard, folder: Path, device: torch.device) -> Any:
    """The part of a vocoder that makes sound; what only training needs is not built. As `load_voice`."""
    with translated(card, folder):
        raw = facts.read_config(card, folder)
        hifi_gan = facts.model_name(card, raw) == facts.HIFI_GAN
        config = _hifi_gan(raw) if hifi_gan else _config(card, folder)
        weights = weights_of(card, _checkpoint(card, folder))
        gan = "generator_model" in config and "discriminator_model" in config
        model = setup_generator(config) if gan else setup_vocoder(config)
        generator = {
            key.removeprefix("model_g."): value for key, value in weights.items() if key.startswith("model_g.")
        }
        model.load_state_dict(generator or weights)
        model.eval()
        if gan and hasattr(model, "remove_weight_norm"):
            model.remove_weight_norm()
        return model.to(device)


def _convolve_short_too(layer: Conv1dBN, values: torch.Tensor) -> torch.Tensor:
    """SpeedySpeech's layer, which fails where there are fewer letters or frames than it sees at once."""
    length = values.shape[-1]
    seen = layer.conv1d.dilation[0] * (layer.conv1d.kernel_size[0] - 1) + 1
    long_enough = torch.nn.functional.pad(values, (0, max(0, seen - length)))
    made: torch.Tensor = layer.norm(torch.nn.functional.relu(layer.pad(layer.conv1d(long_enough))))
    return made[..., :length]


@contextmanager
def translated(card: ModelCard, folder: Path) -> Iterator[None]:
    """What the library raises while it loads, as one line."""
    with torch_runtime.while_loading(card, folder):
        try:
            yield
        except pickle.UnpicklingError as error:
            raise EngineError(
                f'model "{card.name}": {folder} holds more than weights, which could run any program; it is refused',
                "take it from a source that publishes weights alone",
            ) from error


def _config(card: ModelCard, folder: Path) -> Any:
    """The library's own configuration, whose paths all lead into the folder."""
    raw = facts.read_config(card, folder)
    name = facts.model_name(card, raw)
    if raw.get("base_model") not in (None, "forward_tts"):
        raise facts.damaged(card, folder, f"base_model {raw['base_model']!r}")
    characters = raw.get("characters") or {}
    if not str(characters.get("characters_class") or "TTS.").startswith("TTS."):
        raise facts.damaged(card, folder, f"characters_class {characters['characters_class']!r} is not the library's")
    places = [raw, raw.get("audio"), raw.get("model_args")]
    for table in (place for place in places if isinstance(place, dict)):
        for key in set(_PATHS) & set(table):
            table[key] = _beside(folder, key, table[key])
    _check_speakers(card, folder, raw)
    for table in (place for place in places if isinstance(place, dict)):
        # cloning.py loads the encoder; as a loss it is for training alone.
        table |= {key: None for key in _ENCODER if key in table}
        table |= {key: False for key in ("use_speaker_encoder_as_loss",) if key in table}
    config = register_config(name)()
    config.from_dict(raw)
    return config


def encoder_files(card: ModelCard, folder: Path) -> tuple[Path, Path] | None:
    """The weights and the configuration of the speaker encoder in a folder; None where it has none."""
    raw = facts.read_config(card, folder)
    told = {**raw, **(raw.get("model_args") or {})}
    weights, config = (_beside(folder, key, told.get(key)) for key in _ENCODER)
    return (Path(weights), Path(config)) if weights and config else None


def _beside(folder: Path, key: str, value: Any) -> Any:
    """The file in the folder at a relative path, of a path's name, or of the usual name; None where none is there."""
    if isinstance(value, list):
        found = [_beside(folder, key, item) for item in value]
        return [item for item in found if item] or None
    names = []
    if isinstance(value, str) and value:
        parts = re.split(r"[\\/]", value)
        names = ["/".join(parts), parts[-1]] if parts[0] and ".." not in parts else [parts[-1]]
    if key == "stats_path":  # facts.py has read it, and the library would run what is in it
        return None
    return next(
        (str(folder / name) for name in (*names, *_USUAL_NAMES.get(key, ())) if (folder / name).is_file()), None
    )


def _check_speakers(card: ModelCard, folder: Path, raw: dict[str, Any]) -> None:
    arguments = {**raw, **(raw.get("model_args") or {})}
    for needed, files in (
        ("use_speaker_embedding", ("speakers_file", "speaker_file")),
        ("use_d_vector_file", ("d_vector_file",)),
    ):
        if arguments.get(needed) and not raw.get("speakers") and not any(arguments.get(file) for file in files):
            names = _USUAL_NAMES[files[0]]
            if needed == "use_d_vector_file" and encoder_files(card, folder):
                continue
            raise MissingModel(f'model "{card.name}": {folder} has no {" or ".join(names)}', "its speakers stand there")


def _hifi_gan(raw: dict[str, Any]) -> Any:
    """The configuration of HiFi-GAN's own repository (Kong et al., 2020) as the library's."""
    config = register_config("hifigan")()
    config.audio.num_mels = raw["num_mels"]
    config.generator_model_params = {
        "in_channels": raw["num_mels"],
        "upsample_factors": raw["upsample_rates"],
        "upsample_kernel_sizes": raw["upsample_kernel_sizes"],
        "upsample_initial_channel": raw["upsample_initial_channel"],
        "resblock_kernel_sizes": raw["resblock_kernel_sizes"],
        "resblock_dilation_sizes": raw["resblock_dilation_sizes"],
        "resblock_type": str(raw["resblock"]),
        "inference_padding": 0,
    }
    return config


def _checkpoint(card: ModelCard, folder: Path) -> Path:
    """The file with the weights. MissingModel where there is none, or several and none has a usual name."""
    names = file_names(folder)
    usual = next((name for name in _CHECKPOINTS if name in names), None)
    if usual is not None:
        return folder / usual
    raw = facts.read_config(card, folder)
    told = [table.get(key) for table in (raw, raw.get("model_args") or {}) for key in _PATHS]
    companions = {re.split(r"[\\/]", value)[-1] for value in told if isinstance(value, str)}
    others = sorted(
        name
        for name in set(names) - companions
        if (name.endswith((".pth", ".pth.tar", ".pt")) and not _NO_CHECKPOINTS.fullmatch(name))
        or re.fullmatch(r"g_\d+|generator[^.]*", name)
    )
    if len(others) == 1:
        return folder / others[0]
    found = f"several ({', '.join(others[:3])})" if others else "none"
    raise MissingModel(f'model "{card.name}": {folder} has no model.pth but {found}', "name the right one model.pth")


def _xtts_weights(card: ModelCard, path: Path) -> dict[str, torch.Tensor]:
    """The same of XTTS, whose checkpoints carry their configuration as objects of the library's own classes."""
    from TTS.tts.models.xtts import _legacy_safe_globals  # brings transformers along: seconds that no other model needs

    with _legacy_safe_globals():
        return weights_of(card, path)


def weights_of(card: ModelCard, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, read as weights alone. pickle.UnpicklingError for one that holds a program."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights = next((state[key] for key in ("model", "generator") if isinstance(state, dict) and key in state), None)
    if not isinstance(weights, dict):
        raise facts.damaged(card, path.parent, f"{path.name} holds no weights of a model")
    return weights
