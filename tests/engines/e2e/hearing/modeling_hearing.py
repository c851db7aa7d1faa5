"""What the encoder hears stands in the place of the tokens that the processor left for it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationMixin, LlamaForCausalLM, PreTrainedModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from .configuration_hearing import HearingConfig


class HearingModel(PreTrainedModel, GenerationMixin):
    config_class = HearingConfig

    def __init__(self, config: HearingConfig) -> None:
        super().__init__(config)
        self.audio_tower = WhisperEncoder(config.audio_config)
        self.projector = torch.nn.Linear(
            config.audio_config.d_model * config.stack_factor, config.text_config.hidden_size, bias=False
        )
        self.language_model = LlamaForCausalLM(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.language_model.get_output_embeddings()

    def forward(
        self,
        input_ids: torch.Tensor,
        audio_values: torch.Tensor | None = None,
        audio_token_start_idx: torch.Tensor | None = None,
        audio_token_len: torch.Tensor | None = None,
        audio_batch_size: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        embedded = self.get_input_embeddings()(input_ids)
        if audio_values is not None:
            frames = self.audio_tower(audio_values).last_hidden_state
            width = frames.shape[-1] * self.config.stack_factor
            count = frames.shape[1] // self.config.stack_factor
            heard = self.projector(frames[:, : count * self.config.stack_factor].reshape(len(frames), count, width))
            for index, (start, length) in enumerate(zip(audio_token_start_idx, audio_token_len, strict=True)):
                embedded[0, start : start + length] = heard[index, :length]
        return self.language_model(inputs_embeds=embedded, attention_mask=attention_mask, **kwargs)

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **kwargs: Any) -> dict[str, Any]:
        ready = super().prepare_inputs_for_generation(input_ids, **kwargs)
        if ready.get("past_key_values") is not None and ready["past_key_values"].get_seq_length() > 0:
            ready["audio_values"] = None
        return ready
