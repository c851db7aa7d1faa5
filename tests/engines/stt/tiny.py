"""Tiny checkpoints of transformers' speech families, as `save_pretrained` writes them: right shapes, random weights.

Each builder takes an empty folder. The weights are drawn wide enough that what comes out depends on what is heard.
"""

from __future__ import annotations

import io
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SENTENCES = [
    "How far is it to the harbour?",
    "The train leaves at seven in the morning.",
    "Please read me the total of the receipt.",
    "Which of the two bars is the taller one?",
    "What does the sign beside the road say?",
]
LETTERS = string.ascii_lowercase


def _wide(model: Any, spread: float = 0.3) -> Any:
    """Matrices drawn anew: with the usual small ones a model of this size says the same to everything."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        for name, buffer in model.named_buffers():
            if name.endswith("embed_sum"):  # the codebooks of a codec, else all zero
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * spread)
    return model.eval()


def _metaspace_bpe(specials: list[str], size: int = 200) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _byte_bpe(size: int = 300) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _keep(config: Any, **values: Any) -> Any:
    """A GenerationConfig that keeps keys of a family's own when it is read again."""
    for key, value in values.items():
        setattr(config, key, value)
    config._from_model_config = False
    return config


# ---------------------------------------------------------------- Whisper

_WHISPER_LANGUAGES = ("en", "de", "fr")


def whisper(folder: Path, *, alignment: bool = True) -> None:
    tokenizer = _byte_bpe()
    control = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in _WHISPER_LANGUAGES)]
    control += [
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
    ]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control])
    tokenizer.add_tokens([AddedToken(f"<|{step * 0.02:.2f}|>", normalized=False) for step in range(1501)])
    ids = {token: tokenizer.token_to_id(token) for token in control}
    tf.WhisperTokenizer(tokenizer_object=tokenizer).save_pretrained(folder)
    tf.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    end = ids["<|endoftext|>"]
    config = tf.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48,
        pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=ids["<|startoftranscript|>"],
        max_target_positions=64, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = _wide(tf.WhisperForConditionalGeneration(config), 0.2)
    model.generation_config = _keep(
        model.generation_config,
        lang_to_id={f"<|{code}|>": ids[f"<|{code}|>"] for code in _WHISPER_LANGUAGES},
        task_to_id={"translate": ids["<|translate|>"], "transcribe": ids["<|transcribe|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        is_multilingual=True,
        max_initial_timestamp_index=50,
        suppress_tokens=[id for id in ids.values() if id != end],
        begin_suppress_tokens=[end],
        max_length=40,
        **({"alignment_heads": [[0, 0], [1, 1]]} if alignment else {}),
    )
    model.save_pretrained(folder)


# ---------------------------------------------------------------- CTC

_WAV2VEC2: dict[str, Any] = {
    "vocab_size": len(LETTERS) + 5, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "pad_token_id": 0, "do_stable_layer_norm": True, "feat_extract_norm": "layer",
}  # fmt: skip


def _letters(folder: Path) -> Any:
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS]
    (folder / "vocab.json").write_text(json.dumps({symbol: index for index, symbol in enumerate(symbols)}))
    return tf.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))


def _wav2vec2(folder: Path, model: Any, *, masked: bool = True) -> None:
    extractor = tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked, do_normalize=True)
    tf.Wav2Vec2Processor(extractor, _letters(folder)).save_pretrained(folder)
    _wide(model).save_pretrained(folder)


def wav2vec2(folder: Path, *, masked: bool = True) -> None:
    norm = {} if masked else {"feat_extract_norm": "group", "do_stable_layer_norm": False}
    _wav2vec2(folder, tf.Wav2Vec2ForCTC(tf.Wav2Vec2Config(**{**_WAV2VEC2, **norm})), masked=masked)


def wav2vec2_conformer(folder: Path) -> None:
    _wav2vec2(folder, tf.Wav2Vec2ConformerForCTC(tf.Wav2Vec2ConformerConfig(**_WAV2VEC2)))


def wav2vec2_bert(folder: Path) -> None:
    config = tf.Wav2Vec2BertConfig(
        vocab_size=len(LETTERS) + 5, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        pad_token_id=0, conv_depthwise_kernel_size=7, add_adapter=True, num_adapter_layers=1, output_hidden_size=32,
    )  # fmt: skip
    extractor = tf.SeamlessM4TFeatureExtractor()
    tf.Wav2Vec2BertProcessor(extractor, _letters(folder)).save_pretrained(folder)
    _wide(tf.Wav2Vec2BertForCTC(config)).save_pretrained(folder)


# ---------------------------------------------------------------- Parakeet

_PARAKEET: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "subsampling_conv_channels": 8, "num_mel_bins": 80, "conv_kernel_size": 5, "scale_input": False,
}  # fmt: skip


def _parakeet_processor(folder: Path, *, transducer: bool) -> int:
    """Gives the size of the vocabulary; the blank is its last entry, and for CTC also the padding."""
    tokenizer = _metaspace_bpe(["<unk>", "<pad>"])
    blank = "<blank>" if transducer else "<pad>"
    if transducer:
        tokenizer.add_special_tokens(["<blank>"])
    fast = tf.ParakeetTokenizer(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    processor = tf.ParakeetProcessor(tf.ParakeetFeatureExtractor(), fast, blank_token=blank)
    if not transducer:
        processor = tf.ParakeetProcessor(tf.ParakeetFeatureExtractor(), fast)
    processor.save_pretrained(folder)
    return tokenizer.get_vocab_size()


def parakeet_ctc(folder: Path) -> None:
    size = _parakeet_processor(folder, transducer=False)
    config = tf.ParakeetCTCConfig(vocab_size=size, encoder_config=_PARAKEET, pad_token_id=1)
    _wide(tf.ParakeetForCTC(config), 0.6).save_pretrained(folder)


def parakeet_tdt(folder: Path) -> None:
    size = _parakeet_processor(folder, transducer=True)
    config = tf.ParakeetTDTConfig(
        vocab_size=size, encoder_config=_PARAKEET, pad_token_id=1, blank_token_id=size - 1,
        decoder_hidden_size=16, num_decoder_layers=1,
    )  # fmt: skip
    model = _wide(tf.ParakeetForTDT(config))
    model.generation_config.decoder_start_token_id = size - 1
    with torch.no_grad():
        # or it would say tokens without end that last no time
        model.joint.head.bias[size] = -9.0
        model.joint.head.bias[size - 1] = 1.0
    model.save_pretrained(folder)


# ---------------------------------------------------------------- encoder and decoder


def moonshine(folder: Path) -> None:
    tokenizer = _metaspace_bpe(["<unk>", "<s>", "</s>"])
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    extractor = tf.Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=False)
    tf.Wav2Vec2Processor(extractor, fast).save_pretrained(folder)
    config = tf.MoonshineConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=1, encoder_num_attention_heads=2, decoder_num_attention_heads=2,
        max_position_embeddings=256, pad_token_id=2,
    )  # fmt: skip
    model = _wide(tf.MoonshineForConditionalGeneration(config))
    model.generation_config = _keep(model.generation_config, max_length=194)
    model.save_pretrained(folder)


def _sentencepiece(file: Path) -> None:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, vocab_size=40, model_type="char",
        bos_id=0, pad_id=1, eos_id=2, unk_id=3, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    file.write_bytes(model.getvalue())


def speecht5(folder: Path) -> None:
    _sentencepiece(folder / "spm_char.model")
    tokenizer = tf.SpeechT5Tokenizer(str(folder / "spm_char.model"))
    tf.SpeechT5Processor(tf.SpeechT5FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = tf.SpeechT5Config(
        vocab_size=len(tokenizer), hidden_size=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, conv_dim=[16] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, max_length=60, feat_extract_norm="layer",
    )  # fmt: skip
    model = _wide(tf.SpeechT5ForSpeechToText(config))
    model.generation_config = _keep(
        model.generation_config, max_length=60, no_repeat_ngram_size=2, min_new_tokens=8, suppress_tokens=[0, 1, 3]
    )
    model.save_pretrained(folder)


_SEAMLESS_LANGUAGES = ("eng", "deu", "fra")


def seamless_m4t_v2(folder: Path) -> None:
    tokenizer = _metaspace_bpe(["<pad>", "<unk>", "<s>", "</s>"])
    state = json.loads(tokenizer.to_str())["model"]
    codes = [f"__{code}__" for code in _SEAMLESS_LANGUAGES]
    slow = tf.SeamlessM4TTokenizer(vocab=state["vocab"], merges=[tuple(pair) for pair in state["merges"]])
    slow.add_special_tokens({"additional_special_tokens": codes})
    tf.SeamlessM4TProcessor(tf.SeamlessM4TFeatureExtractor(), slow).save_pretrained(folder)
    config = tf.SeamlessM4Tv2Config(
        vocab_size=len(slow), hidden_size=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, speech_encoder_layers=1,
        speech_encoder_attention_heads=2, speech_encoder_intermediate_size=48, t2u_encoder_layers=1,
        t2u_decoder_layers=1, t2u_encoder_attention_heads=2, t2u_decoder_attention_heads=2, t2u_encoder_ffn_dim=48,
        t2u_decoder_ffn_dim=48, t2u_vocab_size=60, char_vocab_size=40, upsample_initial_channel=32,
        unit_embed_dim=16, t2u_variance_predictor_embed_dim=32,
        t2u_variance_predictor_hidden_dim=16, lang_embed_dim=8, spkr_embed_dim=8, vocoder_offset=0, unit_hifi_gan_vocab_size=60,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=3, max_new_tokens=24,
    )  # fmt: skip
    model = _wide(tf.SeamlessM4Tv2Model(config))
    said = {"min_new_tokens": 6, "suppress_tokens": [0, 1, 2, *slow.convert_tokens_to_ids(codes)]}
    ids = {code: slow.convert_tokens_to_ids(f"__{code}__") for code in _SEAMLESS_LANGUAGES}
    model.generation_config = _keep(
        model.generation_config, text_decoder_lang_to_code_id=ids, max_new_tokens=24, **said
    )
    model.save_pretrained(folder)


# ---------------------------------------------------------------- language models that hear

_CHAT = "{% for message in messages %}USER: {{ message['content'] }}\n ASSISTANT:{% endfor %}"


def granite_speech(folder: Path) -> None:
    tokenizer = _byte_bpe()
    tokenizer.add_special_tokens(["<|end_of_text|>", "<|audio|>"])
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end_of_text|>", pad_token="<|end_of_text|>", padding_side="left"
    )
    fast.chat_template = _CHAT
    extractor = tf.GraniteSpeechFeatureExtractor()
    tf.GraniteSpeechProcessor(extractor, fast).save_pretrained(folder)
    size = tokenizer.get_vocab_size()
    text: dict[str, Any] = {
        "model_type": "granite", "vocab_size": size, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
        "eos_token_id": size - 2, "pad_token_id": size - 2, "bos_token_id": size - 2,
    }  # fmt: skip
    projector = {
        "model_type": "blip_2_qformer", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 48, "encoder_hidden_size": 32, "cross_attention_frequency": 1,
    }  # fmt: skip
    config = tf.GraniteSpeechConfig(
        text_config=text, projector_config=projector, audio_token_index=size - 1, has_lora_adapter=False,
        encoder_config={"num_layers": 2, "hidden_dim": 32, "num_heads": 2, "output_dim": 20, "context_size": 50},
    )  # fmt: skip
    _wide(tf.GraniteSpeechForConditionalGeneration(config)).save_pretrained(folder)


def kyutai(folder: Path) -> None:
    # 3 is the padding of the text stream, and what begins a turn lies just behind the vocabulary
    tokenizer = _metaspace_bpe(["<unk>", "<s>", "</s>", "<pad>"])
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
    extractor = tf.KyutaiSpeechToTextFeatureExtractor(audio_delay_seconds=0.5, audio_silence_prefix_seconds=0.5)
    tf.KyutaiSpeechToTextProcessor(extractor, fast).save_pretrained(folder)
    size = tokenizer.get_vocab_size()
    codec = {
        "model_type": "mimi", "hidden_size": 16, "num_filters": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 32, "codebook_size": 32, "codebook_dim": 8,
        "vector_quantization_hidden_dimension": 8, "num_quantizers": 4, "num_semantic_quantizers": 1,
        "upsample_groups": 16, "sliding_window": 250,
    }  # fmt: skip
    config = tf.KyutaiSpeechToTextConfig(
        codec_config=codec, vocab_size=size + 1, codebook_vocab_size=33, hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, ffn_dim=64, num_codebooks=4, audio_bos_token_id=32, bos_token_id=size, pad_token_id=3,
        audio_pad_token_id=size + 1 + 4 * 33,
    )  # fmt: skip
    model = _wide(tf.KyutaiSpeechToTextForConditionalGeneration(config))
    model.generation_config = _keep(
        model.generation_config, bos_token_id=size, pad_token_id=3, cache_implementation=None
    )
    model.save_pretrained(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "WhisperForConditionalGeneration": whisper,
    "Wav2Vec2ForCTC": wav2vec2,
    "Wav2Vec2ConformerForCTC": wav2vec2_conformer,
    "Wav2Vec2BertForCTC": wav2vec2_bert,
    "ParakeetForCTC": parakeet_ctc,
    "ParakeetForTDT": parakeet_tdt,
    "MoonshineForConditionalGeneration": moonshine,
    "SpeechT5ForSpeechToText": speecht5,
    "SeamlessM4Tv2Model": seamless_m4t_v2,
    "GraniteSpeechForConditionalGeneration": granite_speech,
    "KyutaiSpeechToTextForConditionalGeneration": kyutai,
}


def build(name: str, folder: Path, **given: Any) -> None:
    """The checkpoint of an architecture, the same each time."""
    torch.manual_seed(1)
    BUILDERS[name](folder, **given)
