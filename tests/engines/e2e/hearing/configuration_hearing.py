"""A model of a program of its own, as its folder carries it: an encoder of sound, a projector, a language model."""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig


class HearingConfig(PreTrainedConfig):
    """`stack_factor` frames of the encoder become one token."""

    model_type = "hearing"

    def __init__(self, audio_config: Any = None, text_config: Any = None, stack_factor: int = 8, **given: Any) -> None:
        self.audio_config = CONFIG_MAPPING["whisper"](**_table(audio_config))
        self.text_config = CONFIG_MAPPING["llama"](**_table(text_config))
        self.stack_factor = stack_factor
        super().__init__(**given)


def _table(config: Any) -> dict[str, Any]:
    return config if isinstance(config, dict) else config.to_dict() if config is not None else {}
