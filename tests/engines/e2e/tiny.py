"""Tiny checkpoints of transformers' end-to-end speech families, as `save_pretrained` writes them: random weights.

Each builder takes an empty folder. The weights are drawn wide enough that what comes out depends on what is heard.
"""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.engines.stt import tiny as speech
from tests.tiny import parts

CODES = ("eng", "deu", "fra")


def seamless_m4t_v2(folder: Path) -> None:
    """The same as for transcription, with what it needs to speak: codes of its voices, and the letters of its words."""
    speech.build("SeamlessM4Tv2Model", folder)
    file = folder / "generation_config.json"
    kept = json.loads(file.read_text())
    words = tf.AutoTokenizer.from_pretrained(folder).get_vocab()
    numbers = {code: number for number, code in enumerate(CODES)}
    kept["t2u_lang_code_to_id"] = {code: words[f"__{code}__"] for code in CODES}
    kept["vocoder_lang_code_to_id"] = {code: numbers[code] for code in CODES if code != "deu"}
    kept["id_to_text"] = {str(number): word for word, number in words.items()}
    letters = sorted({letter for word in words for letter in word})
    kept["char_to_id"] = {letter: 4 + index % 36 for index, letter in enumerate(letters)}
    file.write_text(json.dumps(kept))


def _tokenizer(*specials: str, **given: Any) -> Any:
    return parts.new_tokenizer(("<|im_start|>", "<|im_end|>", *specials), **given)


def _text(tokenizer: Any, kind: str) -> dict[str, Any]:
    return {"model_type": kind, **parts.text(tokenizer)}


def qwen2_audio(folder: Path) -> None:
    marks = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
    tokenizer = _tokenizer(*marks)
    processor = tf.Qwen2AudioProcessor(tf.WhisperFeatureExtractor(feature_size=16), tokenizer)
    config = tf.Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder", "num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 48, "d_model": 32, "max_source_positions": 1500,
        },
        text_config=_text(tokenizer, "qwen2"),
        audio_token_index=parts.token_id(tokenizer, "<|AUDIO|>"),
    )  # fmt: skip
    parts.save(folder, tf.Qwen2AudioForConditionalGeneration(config), processor)


def granite_speech(folder: Path) -> None:
    speech.build("GraniteSpeechForConditionalGeneration", folder)


def voxtral(folder: Path) -> None:
    tokenizer = _tekken(folder)
    config = tf.VoxtralConfig(
        audio_config={
            "num_mel_bins": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128,
            "hidden_size": 32, "max_source_positions": 1500, "head_dim": 16,
        },
        text_config={**_text(tokenizer, "llama"), "vocab_size": _TEKKEN_SIZE, "hidden_size": 32},
        audio_token_id=24,
    )  # fmt: skip
    model = parts.spread(tf.VoxtralForConditionalGeneration(config))
    letters = {100 + ord(letter) for letter in string.ascii_letters}
    model.generation_config.suppress_tokens = [number for number in range(_TEKKEN_SIZE) if number not in letters]
    model.generation_config._from_model_config = False
    model.save_pretrained(folder)
    tf.WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)


_SPECIALS = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[UNUSED_22]"),
    *("[UNUSED_23]", "[AUDIO]", "[BEGIN_AUDIO]"),
)
_TEKKEN_SIZE = 100 + 256


def _tekken(folder: Path) -> Any:
    """A tokenizer of mistral-common whose words are the bytes."""
    names = [
        *_SPECIALS,
        *(f"<SPECIAL_{number}>" for number in range(len(_SPECIALS), 98)),
        "[TRANSCRIBE]",
        "<SPECIAL_99>",
    ]
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(bytes([rank])).decode(), "token_str": None}
        for rank in range(256)
    ]
    document = {
        "config": {
            "pattern": "[^\\s]+|\\s+", "num_vocab_tokens": 256, "default_vocab_size": _TEKKEN_SIZE,
            "default_num_special_tokens": 100, "version": "v7",
        },
        "vocab": vocabulary,
        "special_tokens": [
            {"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(names)
        ],
        "audio": {
            "sampling_rate": 16000, "frame_rate": 12.5, "audio_encoding_config":
            {"num_mel_bins": 128, "hop_length": 160, "window_size": 400}, "chunk_length_s": 30.0,
        },
    }  # fmt: skip
    (folder / "tekken.json").write_text(json.dumps(document))
    return range(_TEKKEN_SIZE)


def moshi(folder: Path) -> None:
    tokenizer = speech._metaspace_bpe(["<unk>", "<s>", "</s>", "<pad>"])
    tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    tf.EncodecFeatureExtractor(sampling_rate=24000, feature_size=1, chunk_length_s=None).save_pretrained(folder)
    size = tokenizer.get_vocab_size()
    mimi = {
        "model_type": "mimi", "sampling_rate": 24000, "num_filters": 4, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "codebook_size": 32,
        "codebook_dim": 16, "vector_quantization_hidden_dimension": 16, "num_quantizers": 4,
        "num_semantic_quantizers": 1, "head_dim": 8, "upsample_groups": 16,
    }  # fmt: skip
    depth = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "ffn_dim": 32,
        "vocab_size": size, "audio_vocab_size": 32, "num_codebooks": 4, "head_dim": 8, "input_size": 32,
    }  # fmt: skip
    config = tf.MoshiConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, ffn_dim=64,
        head_dim=16, audio_vocab_size=32, num_codebooks=4, audio_encoder_config=mimi, depth_decoder_config=depth,
        max_position_embeddings=400, sliding_window=400,
    )  # fmt: skip
    model = speech._wide(tf.MoshiForConditionalGeneration(config))
    model.generation_config.suppress_tokens = [0, 1, 2]
    model.generation_config._from_model_config = False
    model.save_pretrained(folder)


def speecht5_vc(folder: Path) -> None:
    """And its vocoder in the folder `vocoder` beside it."""
    tf.SpeechT5FeatureExtractor(num_mel_bins=20).save_pretrained(folder)
    config = tf.SpeechT5Config(
        vocab_size=40, hidden_size=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, conv_dim=[16] * 7, num_mel_bins=20,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
        speech_decoder_prenet_units=32, speech_decoder_postnet_units=32, speaker_embedding_dim=24,
    )  # fmt: skip
    model = speech._wide(tf.SpeechT5ForSpeechToSpeech(config), 0.2)
    with torch.no_grad():  # the end comes after a few frames
        model.speech_decoder_postnet.prob_out.bias.fill_(1.0)
    model.save_pretrained(folder)
    hifigan = tf.SpeechT5HifiGanConfig(model_in_dim=20, upsample_initial_channel=16)
    speech._wide(tf.SpeechT5HifiGan(hifigan)).save_pretrained(folder.with_name(folder.name + "-vocoder"))


_OMNI_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif part['type'] == 'image' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif part['type'] == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _omni_processor() -> tuple[Any, Any]:
    marks = {
        "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
    }  # fmt: skip
    tokenizer = _tokenizer(**marks)
    pixels = {"min_pixels": 784, "max_pixels": 3136, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    processor = tf.Qwen2_5OmniProcessor(
        tf.Qwen2VLImageProcessor(**pixels), tf.Qwen2VLVideoProcessor(**pixels),
        tf.WhisperFeatureExtractor(feature_size=16), tokenizer, chat_template=_OMNI_CHAT,
    )  # fmt: skip
    return processor, tokenizer


def omni(folder: Path, *, talker: bool = False) -> None:
    """Its thinker speaks whole words; with `talker` it has a voice, too, called Chelsie."""
    processor, tokenizer = _omni_processor()
    marks = {
        f"{name}_token_{end}": parts.token_id(tokenizer, mark)
        for name, end, mark in (
            *(("audio", "index", "<|AUDIO|>"), ("image", "index", "<|IMAGE|>"), ("video", "index", "<|VIDEO|>")),
            *(("audio_start", "id", "<|audio_bos|>"), ("audio_end", "id", "<|audio_eos|>")),
            *(("vision_start", "id", "<|vision_bos|>"), ("vision_end", "id", "<|vision_eos|>")),
        )
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    thinker = {
        "audio_config": {
            "num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 48,
            "d_model": 32, "output_dim": 32, "max_source_positions": 1500, "n_window": 100,
        },
        "vision_config": {
            "depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "fullatt_block_indexes": [0], "patch_size": 14, "window_size": 56,
        },
        "text_config": {**parts.text(tokenizer), "rope_parameters": rope},
        "user_token_id": parts.token_id(tokenizer, "<|im_start|>"), **marks,
    }  # fmt: skip
    voice = _omni_voice(marks, rope) if talker else {}
    model = tf.Qwen2_5OmniForConditionalGeneration(
        tf.Qwen2_5OmniConfig(thinker_config=thinker, enable_audio_output=talker, **voice)
    )
    parts.spread(model.thinker)
    parts.speak_words(model.thinker, tokenizer)
    for key, value in parts.ids().items():
        setattr(model.thinker.generation_config, key, value)
    model.generation_config = model.thinker.generation_config
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if talker:
        chelsie = {"bos_token": 3, "cond": torch.randn(1, 16), "ref_mel": torch.randn(1, 50, 20)}
        torch.save({"Chelsie": chelsie}, folder / "spk_dict.pt")


def _omni_voice(marks: dict[str, int], rope: dict[str, Any]) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16}
    talker = {
        **marks, **sizes, "vocab_size": 64, "embedding_size": 32, "intermediate_size": 48, "num_key_value_heads": 2,
        "tts_text_start_token_id": 3, "tts_text_end_token_id": 2, "tts_text_pad_token_id": 0,
        "tts_codec_start_token_id": 61, "tts_codec_end_token_id": 62, "tts_codec_pad_token_id": 60,
        "tts_codec_mask_token_id": 63, "rope_parameters": rope,
    }  # fmt: skip
    diffusion = {
        **sizes, "emb_dim": 16, "num_embeds": 70, "mel_dim": 20, "enc_emb_dim": 16, "enc_dim": 16,
        "enc_channels": [16, 16, 16, 16, 48], "enc_attention_channels": 8, "enc_se_channels": 8,
        "look_ahead_layers": [0], "look_backward_layers": [0],
    }  # fmt: skip
    vocoder = {"mel_dim": 20, "upsample_initial_channel": 64}
    return {"talker_config": talker, "token2wav_config": {"dit_config": diffusion, "bigvgan_config": vocoder}}


BUILDERS: dict[str, Callable[..., None]] = {
    "SeamlessM4Tv2Model": seamless_m4t_v2,
    "Qwen2AudioForConditionalGeneration": qwen2_audio,
    "GraniteSpeechForConditionalGeneration": granite_speech,
    "VoxtralForConditionalGeneration": voxtral,
    "MoshiForConditionalGeneration": moshi,
    "SpeechT5ForSpeechToSpeech": speecht5_vc,
    "Qwen2_5OmniForConditionalGeneration": omni,
}


def build(name: str, folder: Path) -> None:
    """The checkpoint of an architecture, the same each time."""
    torch.manual_seed(1)
    BUILDERS[name](folder)
