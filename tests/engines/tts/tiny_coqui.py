"""Small real checkpoints of Coqui's models: the library's own layouts, weights drawn at random."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer
from TTS.config import register_config
from TTS.encoder.utils.generic_utils import setup_encoder_model
from TTS.tts.models import setup_model
from TTS.vocoder.models import setup_generator
from TTS.vocoder.models import setup_model as setup_vocoder

# log, no normalisation, up to 8000 Hz: as HiFi-GAN and most of the released models have it.
PLAIN = {"log_func": "np.log", "spec_gain": 1, "signal_norm": False, "mel_fmax": 8000.0, "do_trim_silence": False}
NARROW = {
    "encoder_params": {"hidden_channels_ffn": 16, "num_heads": 1, "num_layers": 1, "dropout_p": 0.1},
    "decoder_params": {"hidden_channels_ffn": 16, "num_heads": 1, "num_layers": 1, "dropout_p": 0.1},
}


def voice(folder: Path, name: str, **changes: Any) -> Path:
    """A model that speaks; `changes` are keys of its config.json."""
    config = register_config(name)()
    config.update({"text_cleaner": "basic_cleaners", "run_eval": False, "test_sentences": []})
    if name != "vits":
        config.audio.update(PLAIN)
    arguments: dict[str, dict[str, Any]] = {
        "fast_pitch": {"hidden_channels": 16, **NARROW},
        "fastspeech2": {"hidden_channels": 16, **NARROW},
        "speedy_speech": {"hidden_channels": 16},
        "vits": {
            "hidden_channels": 16,
            "hidden_channels_ffn_text_encoder": 16,
            "num_heads_text_encoder": 1,
            "num_layers_text_encoder": 1,
            "num_layers_flow": 1,
            "num_layers_posterior_encoder": 1,
            "num_layers_dp_flow": 1,
            "upsample_initial_channel_decoder": 32,
            "init_discriminator": False,
        },
    }
    if name in arguments:
        config.model_args.update(arguments[name])
    if name == "glow_tts":
        config.update({"hidden_channels_enc": 16, "hidden_channels_dec": 16, "hidden_channels_dp": 16})
        config.update({"num_flow_blocks_dec": 2, "num_block_layers": 1})
        config.encoder_params.update({"hidden_channels_ffn": 16, "num_heads": 1, "num_layers": 1})
    for key, value in changes.items():
        config[key] = value
        if key in config.model_args:
            config.model_args[key] = value
    torch.manual_seed(5)
    model = setup_model(config)
    if name == "glow_tts":
        with torch.no_grad():
            for parameter in model.decoder.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    return save(folder, model.config, model.state_dict())


def save(folder: Path, config: Any, weights: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config.save_json(str(folder / "config.json"))
    torch.save({"model": weights}, folder / "model_file.pth")
    return folder


def with_vectors(folder: Path, name: str, speakers: tuple[str, ...] = ("Ann", "Ben"), suffix: str = ".json") -> Path:
    """A model whose voices are d-vectors of 16 numbers: two clips of each speaker, in a file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(9)
    clips = {
        f"{speaker}/{number}.wav": {"name": speaker, "embedding": random.normal(size=16).tolist()}
        for speaker in speakers
        for number in range(2)
    }
    file = folder / f"vectors{suffix}"
    file.write_text(json.dumps(clips)) if suffix == ".json" else torch.save(clips, file)
    changes = {"use_d_vector_file": True, "d_vector_dim": 16}
    return voice(folder, name, **changes, **({"d_vector_file": str(file)} if speakers else {}))


def speaker_encoder(folder: Path, kind: str = "lstm", width: int = 16, **audio: Any) -> None:
    """A network that hears a voice, told of in the config.json of the folder by the paths of its files."""
    config = register_config("speaker_encoder")()
    bands = 64 if kind == "resnet" else 80
    config.audio.update(
        {"sample_rate": 16000, "num_mels": bands, "mel_fmax": 8000.0, "do_trim_silence": False, **audio}
    )
    config.update({"num_loader_workers": 0, "num_classes_in_batch": 2, "num_utter_per_class": 2})
    small = {"model_name": kind, "input_dim": bands, "proj_dim": width, "lstm_dim": 16, "num_lstm_layers": 1}
    of_waves = {"use_torch_spec": True, "log_input": True} if kind == "resnet" else {}
    config.model_params = {**small, **of_waves}
    torch.manual_seed(7)
    weights = setup_encoder_model(config).state_dict()
    config.save_json(str(folder / "config_se.json"))
    torch.save({"model": weights}, folder / "model_se.pth")
    paths = {
        "speaker_encoder_model_path": str(folder / "model_se.pth"),
        "speaker_encoder_config_path": str(folder / "config_se.json"),
    }
    change(folder, model_args=paths)


def vocoder(folder: Path, name: str, **audio: Any) -> Path:
    """A vocoder, of GANs the generator alone; `audio` are keys of its config.json's audio."""
    config = register_config(name)()
    config.audio.update({**PLAIN, **audio})
    torch.manual_seed(6)
    if name == "hifigan":
        config.generator_model_params.update(
            {
                "in_channels": config.audio.num_mels,
                "upsample_initial_channel": 16,
                "resblock_kernel_sizes": [3],
                "resblock_dilation_sizes": [[1, 3, 5]],
                "resblock_type": "1",
            }
        )
    if name == "wavernn":
        config.model_args.update(
            {"rnn_dims": 16, "fc_dims": 16, "compute_dims": 8, "res_out_dims": 8, "num_res_blocks": 1}
        )
        model = setup_vocoder(config)
        return save(folder, config, model.state_dict())
    model = setup_generator(config)
    save(folder, config, model.state_dict())
    torch.save({"model": model.state_dict(), "model_disc": {}}, folder / "model_file.pth")
    return folder


def statistics(folder: Path, bands: int = 80) -> None:
    """scale_stats.npy, as the library writes it: a pickled table of arrays."""
    random = np.random.default_rng(4)
    table = {
        "mel_mean": random.normal(-5, 1, bands),
        "mel_std": random.uniform(1, 2, bands),
        "linear_mean": np.zeros(513),
        "linear_std": np.ones(513),
        "audio_config": {},
    }
    np.save(folder / "scale_stats.npy", table, allow_pickle=True)


def change(folder: Path, **keys: Any) -> None:
    """Set keys of config.json; `audio` and `model_args` are merged."""
    config = json.loads((folder / "config.json").read_bytes())
    for key, value in keys.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))


def xtts(folder: Path, speakers: tuple[str, ...] = ("Alice", "Bob")) -> Path:
    """XTTS with one narrow layer; its decoder keeps its size, which no key changes."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    signs = ["[STOP]", "[UNK]", "[SPACE]", "[en]", "[de]", "[START]"]
    tokenizer.train_from_iterator(["abcdefghijklmnopqrstuvwxyz .,!?'"], BpeTrainer(special_tokens=signs))
    tokenizer.save(str(folder / "vocab.json"))
    config = register_config("xtts")()
    config.languages = ["de", "en"]
    config.model_args.update(
        {
            "gpt_layers": 1,
            "gpt_n_model_channels": 32,
            "gpt_n_heads": 2,
            "decoder_input_dim": 32,
            "gpt_max_audio_tokens": 60,
            "tokenizer_file": str(folder / "vocab.json"),
            "gpt_number_text_tokens": tokenizer.get_vocab_size(),
        }
    )
    torch.manual_seed(8)
    model = setup_model(config)
    # Where training put the weights of the decoder's last layers, chance puts silence.
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith("gpt.gpt_inference")}
    config.model_args.tokenizer_file = ""
    save(folder, config, weights)
    (folder / "model_file.pth").rename(folder / "model.pth")
    table = {
        name: {"gpt_cond_latent": torch.randn(1, 32, 32), "speaker_embedding": torch.randn(1, 512, 1)}
        for name in speakers
    }
    if speakers:
        torch.save(table, folder / "speakers_xtts.pth")
    return folder


class Runs:
    """What a pickle that runs a program looks like."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.marker}",))
