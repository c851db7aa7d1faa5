"""Tiny checkpoints that tell speakers apart, as `save_pretrained` writes them: right shapes, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf

_ENCODER: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "tdnn_dim": (24, 24, 40), "tdnn_kernel": (5, 3, 1), "tdnn_dilation": (1, 2, 1), "xvector_output_dim": 20,
    "num_labels": 4,
}  # fmt: skip
_BERT = {"conv_depthwise_kernel_size": 7, "add_adapter": False}

XVECTORS = {
    "WavLMForXVector": tf.WavLMConfig,
    "Wav2Vec2ForXVector": tf.Wav2Vec2Config,
    "Wav2Vec2ConformerForXVector": tf.Wav2Vec2ConformerConfig,
    "UniSpeechSatForXVector": tf.UniSpeechSatConfig,
    "Data2VecAudioForXVector": tf.Data2VecAudioConfig,
    "Wav2Vec2BertForXVector": tf.Wav2Vec2BertConfig,
}


def _wide(model: Any, spread: float = 0.3) -> Any:
    """Matrices drawn anew: with the usual small ones a model of this size says the same to everything."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return model.eval()


def xvector(folder: Path, name: str = "WavLMForXVector") -> None:
    bert = name == "Wav2Vec2BertForXVector"
    extractor = tf.SeamlessM4TFeatureExtractor() if bert else tf.Wav2Vec2FeatureExtractor()
    extractor.save_pretrained(folder)
    config = XVECTORS[name](**_ENCODER, **(_BERT if bert else {}))
    _wide(getattr(tf, name)(config)).save_pretrained(folder)


def nemotron(folder: Path) -> None:
    """Chunks of 20 encoder frames, so that a recording of some seconds has several."""
    config = tf.Nemotron3DiarizationConfig(
        audio_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_mel_bins": 16,
        },
        head_config={"hidden_size": 24, "num_speakers": 4, "audio_hidden_size": 32},
        streaming_config={"num_speakers": 4, "speaker_cache_length": 24},
        chunk_length=20, chunk_right_context=5, fifo_length=10, speaker_cache_update_period=12,
    )  # fmt: skip
    extractor = tf.NemotronAsrStreamingFeatureExtractor(feature_size=16)
    tf.Nemotron3DiarizationProcessor(extractor).save_pretrained(folder)
    _wide(tf.Nemotron3DiarizationForAudioFrameClassification(config)).save_pretrained(folder)
