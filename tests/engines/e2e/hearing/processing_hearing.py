"""Text with a placeholder for each recording, and the recordings, as tensors. One text at a time."""

from __future__ import annotations

import math
from typing import Any

import transformers


class HearingProcessor(transformers.ProcessorMixin):
    attributes = ["audio_processor", "tokenizer"]  # noqa: RUF012
    audio_processor_class = ("WhisperFeatureExtractor",)
    tokenizer_class = ("PreTrainedTokenizerFast",)

    def __init__(self, audio_processor: Any = None, tokenizer: Any = None, stack_factor: int = 8) -> None:
        self.audio_placeholder = "<|audio|>"
        self.stack_factor = stack_factor
        super().__init__(audio_processor=audio_processor, tokenizer=tokenizer)

    @classmethod
    def from_pretrained(cls, folder: Any, **given: Any) -> HearingProcessor:
        config = transformers.AutoConfig.from_pretrained(folder, **given)
        audio_processor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
        return cls(audio_processor, transformers.AutoTokenizer.from_pretrained(folder, **given), config.stack_factor)

    def __call__(
        self,
        text: str | None = None,
        audio: Any = None,
        audios: Any = None,
        sampling_rate: int | None = None,
        return_tensors: str = "pt",
        **given: Any,
    ) -> transformers.BatchFeature:
        if not isinstance(text, str):
            raise ValueError("Text must be a string. Batch mode not supported yet.")
        audios = [audio] if audio is not None else audios or []
        pieces = text.split(self.audio_placeholder)
        if len(pieces) != len(audios) + 1:
            raise ValueError(f"{len(pieces) - 1} placeholders and {len(audios)} recordings")
        data: dict[str, Any] = {}
        lengths = []
        if audios:
            # Two frames of the spectrogram, of 10 ms each, are one of the encoder.
            lengths = [math.ceil(len(sound) / sampling_rate * 50 / self.stack_factor) for sound in audios]
            heard = self.audio_processor(audios, sampling_rate=sampling_rate, return_tensors="pt")
            data["audio_values"] = heard.input_features
            data["audio_token_len"] = lengths
            data["audio_batch_size"] = [len(audios)]
        ids: list[int] = []
        starts = []
        for index, piece in enumerate(pieces):
            ids += self.tokenizer.encode(piece, add_special_tokens=False)
            if index < len(lengths):
                starts.append(len(ids))
                ids += [self.tokenizer.eos_token_id] * lengths[index]
        if audios:
            data["audio_token_start_idx"] = starts
        return transformers.BatchFeature(
            {**data, "input_ids": [ids], "attention_mask": [[1] * len(ids)]}, tensor_type=return_tensors
        )
