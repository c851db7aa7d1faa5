"""SpeechT5 voice conversion (arXiv:2110.07205): the same words in another voice, through the vocoder HiFi-GAN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.engines.e2e.transformers_e2e.loading import setting
from mmcli.errors import ConfigError, InputError, UsageError
from mmcli.stages import Audio, AudioSource, Spoke

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmcli.engines.e2e.transformers_e2e.loading import Loaded
    from mmcli.options import ConverseOptions
    from mmcli.stages import Conversation

_MAX_VOICE_BYTES = 1 << 20


def more(loaded: Loaded) -> Mapping[str, Any]:
    """The vocoder of `settings.vocoder`, hf:ORG/NAME or path:FOLDER; `settings.vocoder_revision` is its commit.

    ConfigError where none is named, MissingModel where it is not here, EngineError where it does not fit.
    """
    source = setting(loaded.card, "vocoder")
    if source is None:
        raise ConfigError(
            f"{loaded.card.origin}: [models.{loaded.card.name}] needs settings.vocoder, a HiFi-GAN for SpeechT5",
            'as in settings = { vocoder = "hf:microsoft/speecht5_hifigan" }',
        )
    revision = setting(loaded.card, "vocoder_revision") or ""
    name = f"{source}@{revision}" if revision else source
    card = replace(loaded.card, name=name, source=source, revision=revision, settings={})
    folder = store.locate(card)
    torch_runtime.check_weights(card, folder)
    with torch_runtime.while_loading(card, folder):
        vocoder = transformers.SpeechT5HifiGan.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=loaded.model.dtype
        )
    if vocoder.config.model_in_dim != loaded.model.config.num_mel_bins:
        raise ConfigError(
            f'vocoder "{source}" takes {vocoder.config.model_in_dim} mel bands, and model "{loaded.card.name}" gives '
            f"{loaded.model.config.num_mel_bins}"
        )
    return {"vocoder": vocoder.eval().to(loaded.device)}


def answer(loaded: Loaded, conversation: Conversation, options: ConverseOptions) -> Iterator[Spoke]:
    """What is said, in the voice of `speaker`. InputError or UsageError where there is no sound or no voice."""
    voice = _voice(loaded, options)
    vocoder = loaded.parts["vocoder"]
    for part in conversation.messages[-1].parts:
        if not isinstance(part, AudioSource):
            raise InputError("the question", f'model "{loaded.card.name}" takes speech alone', "--audio FILE")
        values = loaded.place(
            loaded.processor(audio=loaded.sound(part), sampling_rate=loaded.rate, return_tensors="pt")
        )
        with loaded.lock, torch.inference_mode():
            sound = loaded.model.generate_speech(values["input_values"], voice, vocoder=vocoder)
        yield Spoke(Audio(np.clip(sound.float().cpu().numpy(), -1, 1), vocoder.config.sampling_rate))


def _voice(loaded: Loaded, options: ConverseOptions) -> torch.Tensor:
    """The x-vector of a voice, [1, n], out of a .npy file."""
    size = loaded.model.config.speaker_embedding_dim
    name = options.speaker or setting(loaded.card, "speaker")
    if name is None:
        raise UsageError(
            f'model "{loaded.card.name}" has to be told the voice',
            f"--voice FILE.npy, an x-vector of {size} numbers",
        )
    file = Path(name).expanduser()
    try:
        if file.stat().st_size > _MAX_VOICE_BYTES:
            raise InputError(name, "is no voice: it is far too large", f"give a .npy of {size} numbers")
        values = np.load(file, allow_pickle=False)
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror or 'no voice'})") from error
    except (ValueError, EOFError) as error:
        raise InputError(name, "is no .npy file of numbers", f"give a .npy of {size} numbers") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.size != size:
        raise InputError(name, f"is no voice for this model, which takes {size} numbers")
    if not np.isfinite(values).all():
        raise InputError(name, "holds numbers that are none")
    vector = torch.from_numpy(values.astype(np.float32).reshape(1, size))
    # The embeddings that it was taught with have a length of one.
    return torch.nn.functional.normalize(vector).to(loaded.device, loaded.model.dtype)
