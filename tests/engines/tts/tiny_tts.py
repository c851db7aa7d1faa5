"""Tiny checkpoints of transformers' voices, as `save_pretrained` writes them: right shapes, random weights.

Each builder takes an empty folder. The weights are drawn so that what is said depends on the text.
"""

from __future__ import annotations

import json
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

LETTERS = "_ '" + string.ascii_lowercase


def _drawn(model: Any, spread: float) -> Any:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not name.startswith("codec_model"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        for name, buffer in model.named_buffers():
            if name.endswith(("embed_sum", "codebook.embed")):  # the codebooks of a codec, else all zero
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return model.eval()


def _keep(config: Any, **values: Any) -> Any:
    """A GenerationConfig that keeps keys of a family's own when it is read again."""
    for key, value in values.items():
        setattr(config, key, value)
    config._from_model_config = False
    return config


# ---------------------------------------------------------------- VITS


def vits(folder: Path, *, speakers: int = 1, uroman: bool = False, phonemes: bool = False) -> None:
    letters = LETTERS + ("ˈˌːəɑɛɪʊæɹŋɡðθʃʒɾɐɚɔʌ.,?" if phonemes else "")
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    tokenizer = tf.VitsTokenizer(
        str(folder / "vocab.json"), pad_token="_", unk_token="_", language="eng", phonemize=phonemes, is_uroman=uroman
    )
    tokenizer.save_pretrained(folder)
    config = tf.VitsConfig(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, flow_size=16,
        spectrogram_bins=9, upsample_initial_channel=16, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]], prior_encoder_num_flows=1,
        posterior_encoder_num_wavenet_layers=1, prior_encoder_num_wavenet_layers=1, duration_predictor_num_flows=2,
        duration_predictor_flow_bins=4, depth_separable_num_layers=1, wavenet_dilation_rate=1, num_speakers=speakers,
        speaker_embedding_size=8 if speakers > 1 else 0, sampling_rate=16000, duration_predictor_filter_channels=16,
    )  # fmt: skip
    model = tf.VitsModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "decoder.conv_p" in name or name.startswith("embed_speaker"):
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)


# ---------------------------------------------------------------- FastSpeech 2

_ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"


def nltk_data(folder: Path) -> None:
    """What g2p-en looks words up in, with a few of them, in NLTK's own formats."""
    (folder / "corpora").mkdir(parents=True)
    (folder / "taggers" / "averaged_perceptron_tagger_eng").mkdir(parents=True)
    with zipfile.ZipFile(folder / "corpora" / "cmudict.zip", "w") as file:
        file.writestr(
            "cmudict/cmudict", "HOW 1 HH AW1\nFAR 1 F AA1 R\nIS 1 IH1 Z\nTHE 1 DH AH0\nHARBOUR 1 HH AA1 R B ER0\n"
        )
    with zipfile.ZipFile(folder / "taggers" / "averaged_perceptron_tagger.zip", "w") as file:
        file.writestr("averaged_perceptron_tagger/README", "")
    tagger = folder / "taggers" / "averaged_perceptron_tagger_eng" / "averaged_perceptron_tagger_eng"
    for name, content in (("weights", {}), ("tagdict", {"the": "DT"}), ("classes", ["NN", "DT"])):
        tagger.with_name(f"{tagger.name}.{name}.json").write_text(json.dumps(content))


def fastspeech2_config(**given: Any) -> tuple[tf.FastSpeech2ConformerConfig, list[str]]:
    phones = [phone + mark for phone in _ARPABET.split() for mark in ("", "0", "1", "2")]
    vocabulary = ["<blank>", "<unk>", *phones, " ", ".", ",", "?", "!", "'", "<sos/eos>"]
    config = tf.FastSpeech2ConformerConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_mel_bins=16, encoder_num_attention_heads=2, encoder_layers=1,
        encoder_linear_units=16, decoder_layers=1, decoder_num_attention_heads=2, decoder_linear_units=16,
        speech_decoder_postnet_layers=2, speech_decoder_postnet_units=8, duration_predictor_channels=8,
        energy_predictor_channels=8, pitch_predictor_channels=8, pitch_predictor_layers=2,
        **given,
    )  # fmt: skip
    return config, vocabulary


def _phoneme_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    tf.FastSpeech2ConformerTokenizer(str(folder / "vocab.json")).save_pretrained(folder)


def _lasting(model: Any) -> Any:
    """Each sound lasts about 8 frames, and speakers, languages and embeddings are heard."""
    with torch.no_grad():
        model.duration_predictor.linear.bias.fill_(2.2)
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("conv_p", "speaker_id", "language_id", "projection")):
                parameter.normal_(0, 0.3)
    return model


def fastspeech2(folder: Path, *, speakers: int = 1) -> None:
    config, vocabulary = fastspeech2_config(num_speakers=speakers)
    _phoneme_tokenizer(folder, vocabulary)
    vocoder = tf.FastSpeech2ConformerHifiGanConfig(
        model_in_dim=16, upsample_initial_channel=8, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]], sampling_rate=22050,
    )  # fmt: skip
    whole = tf.FastSpeech2ConformerWithHifiGanConfig(model_config=config.to_dict(), vocoder_config=vocoder.to_dict())
    model = tf.FastSpeech2ConformerWithHifiGan(whole).eval()
    _lasting(model.model)
    model.save_pretrained(folder)


def fastspeech2_model(folder: Path, *, statistics: bool = False, **given: Any) -> None:
    """Spectrograms alone; `given` are values of its config.json."""
    config, vocabulary = fastspeech2_config(**given)
    _phoneme_tokenizer(folder, vocabulary)
    _lasting(tf.FastSpeech2ConformerModel(config).eval()).save_pretrained(folder)
    if statistics:
        feats_stats(folder / "feats_stats.npz")


def feats_stats(file: Path, bands: int = 16) -> None:
    """As ESPnet sums up the bands of 100 frames: means of -3 to -1, deviations of 0.5 to 1."""
    mean, deviation = np.linspace(-3, -1, bands), np.linspace(0.5, 1, bands)
    np.savez(file, count=100, sum=100 * mean, sum_square=100 * (deviation**2 + mean**2))


def fastspeech2_hifigan(folder: Path, **given: Any) -> None:
    config = tf.FastSpeech2ConformerHifiGanConfig(
        model_in_dim=16, upsample_initial_channel=16, resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]], **given
    )
    model = tf.FastSpeech2ConformerHifiGan(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    model.save_pretrained(folder)


# ---------------------------------------------------------------- Bark


def bark(folder: Path, *, presets: bool = True) -> None:
    words = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS])}
    tokenizer = Tokenizer(
        models.WordPiece({**words, **{"##" + c: len(words) + i for i, c in enumerate(LETTERS)}}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    tf.BarkProcessor(fast).save_pretrained(folder)
    part: dict[str, Any] = {"block_size": 300, "num_layers": 1, "num_heads": 1, "hidden_size": 8}
    codec = {
        "hidden_size": 8, "num_filters": 2, "codebook_size": 1024, "codebook_dim": 8, "upsampling_ratios": [8, 5, 4, 2],
        "num_residual_layers": 1, "num_lstm_layers": 1, "target_bandwidths": [6.0],
    }  # fmt: skip
    config = tf.BarkConfig(
        semantic_config={**part, "input_vocab_size": 129600, "output_vocab_size": 10048, "block_size": 1024},
        coarse_acoustics_config={**part, "input_vocab_size": 12096, "output_vocab_size": 12096, "block_size": 1024},
        fine_acoustics_config={**part, "input_vocab_size": 1056, "output_vocab_size": 1056, "block_size": 1024},
        codec_config={"model_type": "encodec", **codec},
    )
    model = _drawn(tf.BarkModel(config), 1.0)
    model.generation_config = _keep(
        model.generation_config,
        semantic_config={"max_new_tokens": 16, "do_sample": True},
        coarse_acoustics_config={
            "max_coarse_input_length": 64,
            "max_coarse_history": 60,
            "sliding_window_len": 16,
            "do_sample": True,
        },
        fine_acoustics_config={"temperature": 0.5, "max_fine_history_length": 64, "max_fine_input_length": 128},
        codebook_size=1024,
        sample_rate=24000,
    )
    model.save_pretrained(folder)
    if presets:
        _presets(folder)


def _presets(folder: Path) -> None:
    random = np.random.default_rng(3)
    listed: dict[str, Any] = {"repo_or_path": "someone/somewhere"}
    (folder / "speaker_embeddings" / "v2").mkdir(parents=True)
    for name in ("de_speaker_0", "v2/en_speaker_6", "gone_speaker_1"):
        listed[name] = {}
        for prompt, shape, most in (("semantic", (60,), 10000), ("coarse", (2, 60), 1024), ("fine", (8, 60), 1024)):
            file = f"speaker_embeddings/{name}_{prompt}_prompt.npy"
            listed[name][f"{prompt}_prompt"] = file
            if not name.startswith("gone"):
                np.save(folder / file, random.integers(0, most, shape))
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(listed))


# ---------------------------------------------------------------- CSM


def csm(folder: Path) -> None:
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>"]
    tokenizer = Tokenizer(
        models.BPE({letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=specials[0], eos_token=specials[1], pad_token=specials[1]
    )
    tf.CsmProcessor(tf.EncodecFeatureExtractor(sampling_rate=24000), fast).save_pretrained(folder)
    codec = {
        "model_type": "mimi", "hidden_size": 16, "num_filters": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 32, "codebook_size": 32, "codebook_dim": 8,
        "vector_quantization_hidden_dimension": 8, "num_quantizers": 4, "num_semantic_quantizers": 1,
        "upsample_groups": 16, "sliding_window": 250,
    }  # fmt: skip
    small = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 32,
    }  # fmt: skip
    ids = {token: tokenizer.token_to_id(token) for token in specials}
    config = tf.CsmConfig(
        **small, num_codebooks=4, text_vocab_size=tokenizer.get_vocab_size(), codebook_pad_token_id=31,
        codebook_eos_token_id=0, audio_token_id=ids["<|AUDIO|>"], audio_eos_token_id=ids["<|audio_eos|>"],
        bos_token_id=ids[specials[0]], pad_token_id=ids[specials[1]], eos_token_id=None,
        depth_decoder_config={**small, "num_codebooks": 4, "backbone_hidden_size": 16}, codec_config=codec,
    )  # fmt: skip
    model = _drawn(tf.CsmForConditionalGeneration(config), 0.3)
    model.generation_config = _keep(model.generation_config, do_sample=True, depth_decoder_do_sample=True)
    model.save_pretrained(folder)


# ---------------------------------------------------------------- Dia


def dia(folder: Path, *, codec_inside: bool = True) -> None:
    tf.DiaTokenizer().save_pretrained(folder)
    tf.DiaFeatureExtractor(sampling_rate=44100).save_pretrained(folder)
    layer: dict[str, Any] = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    config = tf.DiaConfig(
        encoder_config=layer,
        decoder_config={
            **layer,
            "cross_num_attention_heads": 2,
            "cross_head_dim": 8,
            "cross_num_key_value_heads": 2,
            "cross_hidden_size": 16,
        },
    )
    model = _drawn(tf.DiaForConditionalGeneration(config), 0.3)
    model.generation_config = _keep(
        model.generation_config, do_sample=True, max_length=50, guidance_scale=2.0, temperature=1.2
    )
    model.save_pretrained(folder)
    if codec_inside:
        dac(folder / "codec")


def dac(folder: Path) -> None:
    config = tf.DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=32, downsampling_ratios=[8, 8, 8, 8], upsampling_ratios=[8, 8, 8, 8],
        n_codebooks=9, codebook_size=1024, codebook_dim=4, sampling_rate=44100,
    )  # fmt: skip
    torch.manual_seed(4)
    tf.DacModel(config).eval().save_pretrained(folder)


# ---------------------------------------------------------------- SpeechT5


def speecht5(folder: Path, *, embeddings: bool = True) -> None:
    tokenizer = tf.SpeechT5Tokenizer(str(_characters(folder / "spm_char.model")))
    tf.SpeechT5Processor(tf.SpeechT5FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = tf.SpeechT5Config(
        vocab_size=len(tokenizer), hidden_size=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=80, reduction_factor=10,
        speech_decoder_prenet_units=16, speech_decoder_postnet_units=8, speech_decoder_postnet_layers=1,
        speaker_embedding_dim=8, max_text_positions=60, positional_dropout=0.0,
    )  # fmt: skip
    model = _drawn(tf.SpeechT5ForTextToSpeech(config), 0.3)
    with torch.no_grad():
        model.speech_decoder_postnet.prob_out.weight.zero_()
        model.speech_decoder_postnet.prob_out.bias.fill_(-9.0)  # it ends where it has to
    model.save_pretrained(folder)
    if embeddings:
        (folder / "speaker_embeddings").mkdir()
        for index, name in enumerate(("anna", "ben")):
            np.save(folder / "speaker_embeddings" / f"{name}.npy", np.eye(8, dtype=np.float32)[index])


def _characters(file: Path) -> Path:
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["How far is the harbour? " + string.ascii_letters + ",.'-"] * 5), model_writer=model,
        vocab_size=70, model_type="char", bos_id=0, pad_id=1, eos_id=2, unk_id=3, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    file.write_bytes(model.getvalue())
    return file


def speecht5_hifigan(folder: Path, **given: Any) -> None:
    config = tf.SpeechT5HifiGanConfig(
        upsample_initial_channel=16, resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]], **given
    )
    model = tf.SpeechT5HifiGan(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    model.save_pretrained(folder)


BUILDERS: dict[str, Callable[..., None]] = {
    "VitsModel": vits,
    "FastSpeech2ConformerWithHifiGan": fastspeech2,
    "FastSpeech2ConformerModel": fastspeech2_model,
    "FastSpeech2ConformerHifiGan": fastspeech2_hifigan,
    "BarkModel": bark,
    "CsmForConditionalGeneration": csm,
    "DiaForConditionalGeneration": dia,
    "SpeechT5ForTextToSpeech": speecht5,
    "SpeechT5HifiGan": speecht5_hifigan,
}


def build(name: str, folder: Path, **given: Any) -> None:
    """The checkpoint of an architecture, the same each time."""
    torch.manual_seed(1)
    BUILDERS[name](folder, **given)
