"""SpeechT5's spectrograms and its HiFi-GAN on tiny checkpoints, joined with each other and with Griffin-Lim."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers as tf
from safetensors.numpy import save_file

from mmcli import engines
from mmcli.catalogue import Catalogue, ModelCard, PipelineSpec, read_catalogue
from mmcli.checks import check
from mmcli.engines.tts.joined import Joined
from mmcli.errors import ConfigError, EngineError, UsageError
from mmcli.mel import MelFacts, analyse
from mmcli.options import SpeakOptions
from mmcli.stages import Acoustic, Vocoder
from tests.conftest import Result
from tests.engines.tts import tiny_tts

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "How far is the harbour?"
SEEDED = SpeakOptions(seed=7)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for key, name, given in (
        ("acoustic", "SpeechT5ForTextToSpeech", {}),
        ("alone", "SpeechT5ForTextToSpeech", {"embeddings": False}),
        ("vocoder", "SpeechT5HifiGan", {}),
        ("other", "SpeechT5HifiGan", {"sampling_rate": 22050}),
    ):
        made[key] = tmp_path_factory.mktemp(key)
        tiny_tts.build(name, made[key], **given)
    return made


def _tts(folder: Path, **given: Any) -> ModelCard:
    return ModelCard("tiny", "tts", "transformers-tts", f"path:{folder}", inputs=("text",), outputs=("audio",), **given)


def _gan(folder: Path) -> ModelCard:
    return ModelCard("gan", "vocoder", "transformers-vocoder", f"path:{folder}", outputs=("audio",))


@pytest.fixture(scope="module")
def acoustic(folders: dict[str, Path]) -> Any:
    return engines.load(_tts(folders["acoustic"]))


@pytest.fixture(scope="module")
def vocoder(folders: dict[str, Path]) -> Any:
    return engines.load(_gan(folders["vocoder"]))


def _directly(folder: Path, text: str, embedding: np.ndarray) -> torch.Tensor:
    ids = tf.SpeechT5Tokenizer.from_pretrained(folder)(text, normalize=True, return_tensors="pt")["input_ids"]
    model = tf.SpeechT5ForTextToSpeech.from_pretrained(folder)
    torch.manual_seed(7)
    return model.generate_speech(ids, torch.from_numpy(embedding)[None])


def test_spectrograms_and_sound_are_the_librarys(acoustic: Any, vocoder: Any, folders: dict[str, Path]) -> None:
    assert isinstance(acoustic, Acoustic)
    assert isinstance(vocoder, Vocoder)
    wanted = _directly(folders["acoustic"], TEXT, np.eye(8, dtype=np.float32)[0])
    mel = acoustic.spectrogram(TEXT, SEEDED)
    np.testing.assert_allclose(mel.values, wanted.numpy().T, atol=1e-5)
    (block,) = Joined(acoustic, vocoder).speak(iter([TEXT]), SEEDED)
    with torch.inference_mode():
        sound = tf.SpeechT5HifiGan.from_pretrained(folders["vocoder"])(wanted).numpy()
    np.testing.assert_allclose(block.samples, sound, atol=1e-5)
    assert block.rate == 16000
    assert len(block.samples) == 256 * mel.values.shape[1]


def test_the_facts_are_those_of_the_librarys_own_analysis(acoustic: Any, vocoder: Any) -> None:
    assert acoustic.facts == vocoder.facts
    random = np.random.default_rng(2)
    samples = (0.3 * random.standard_normal(16000)).astype(np.float32)
    extractor = tf.SpeechT5FeatureExtractor()
    own = extractor(audio_target=samples, sampling_rate=16000, return_tensors="np")["input_values"][0].T
    np.testing.assert_allclose(analyse(samples, acoustic.facts).values, own, atol=2e-3)


def test_a_seed_the_text_and_the_voice_decide_what_is_heard(acoustic: Any) -> None:
    def made(text: str = TEXT, **given: Any) -> np.ndarray:
        values: np.ndarray = acoustic.spectrogram(text, SpeakOptions(**{"seed": 7, **given})).values
        return values

    def alike(one: np.ndarray, other: np.ndarray) -> bool:
        return one.shape == other.shape and bool(np.allclose(one, other, atol=1e-6))

    assert [voice.name for voice in acoustic.voices()] == ["anna", "ben", "neutral"]
    first = made()
    assert alike(first, made(voice="anna"))
    assert not alike(first, made(voice="ben"))
    assert not alike(first, made(voice="neutral"))
    assert not alike(first, made("The harbour is far."))
    assert not alike(first, made(seed=8))
    with pytest.raises(UsageError, match='has no voice "bne"; did you mean "ben"'):
        acoustic.check(SpeakOptions(voice="bne"))
    for options, why in ((SpeakOptions(speed=2.0), "--speed"), (SpeakOptions(speaker_wav=("a",)), "--speaker-wav")):
        with pytest.raises(UsageError, match=why):
            acoustic.check(options)


def test_without_embeddings_the_voice_is_zeros(folders: dict[str, Path]) -> None:
    voice = engines.load(_tts(folders["alone"]))
    assert [each.name for each in voice.voices()] == ["neutral"]
    wanted = _directly(folders["alone"], TEXT, np.zeros(8, np.float32))
    np.testing.assert_allclose(voice.spectrogram(TEXT, SEEDED).values, wanted.numpy().T, atol=1e-5)


def test_an_embedding_may_be_a_file_of_its_own(acoustic: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    vector = np.eye(8, dtype=np.float32)[1]
    save_file({"speaker": vector}, tmp_path / "carl.safetensors")
    np.save(tmp_path / "dora.npy", vector[None])
    ben = acoustic.spectrogram(TEXT, SpeakOptions(seed=7, voice="ben")).values
    for name in ("carl.safetensors", "dora.npy"):
        given = SpeakOptions(seed=7, voice=str(tmp_path / name))
        acoustic.check(given)
        np.testing.assert_array_equal(acoustic.spectrogram(TEXT, given).values, ben)
    card = _tts(folders["acoustic"], settings={"speaker_embedding": str(tmp_path / "carl.safetensors")})
    voice = engines.load(card)
    assert [each.name for each in voice.voices()] == ["carl", "anna", "ben", "neutral"]
    np.testing.assert_array_equal(voice.spectrogram(TEXT, SEEDED).values, ben)


@pytest.mark.parametrize(
    "content, why",
    [
        (np.zeros(7, np.float32), "it holds 7 numbers"),
        (np.full(8, np.nan, np.float32), "it holds 8 numbers"),
        (np.array([{"a": 1}], dtype=object), "allow_pickle=False"),
        (np.zeros(400_000, np.float32), "it is too large"),
    ],
)
def test_an_embedding_that_is_none_is_one_line(acoustic: Any, tmp_path: Path, content: np.ndarray, why: str) -> None:
    np.save(tmp_path / "bad.npy", content, allow_pickle=True)
    with pytest.raises(UsageError, match=f"no speaker embedding of 8 numbers .*{why}") as caught:
        acoustic.check(SpeakOptions(voice=str(tmp_path / "bad.npy")))
    assert "\n" not in str(caught.value)


def test_long_texts_are_made_in_pieces_and_unknown_letters_told(acoustic: Any) -> None:
    long = "how far is the harbour, " * 6  # of 60 positions
    mel = acoustic.spectrogram(long, SEEDED)
    assert mel.values.shape[1] > 2 * acoustic.spectrogram(TEXT, SEEDED).values.shape[1]
    assert mel.left_out == ""
    mel = acoustic.spectrogram("Да 7", SEEDED)
    assert mel.left_out == "Да"
    assert acoustic.spectrogram("...", SEEDED).values.shape[0] == 80


def test_a_vocoder_of_other_facts_is_refused_before_anything_loads(folders: dict[str, Path]) -> None:
    cards = {"tiny": _tts(folders["acoustic"]), "gan": _gan(folders["vocoder"]), "other": _gan(folders["other"])}
    catalogue = Catalogue({**read_catalogue().models, **cards}, {})

    def findings(vocoder: str) -> list[Exception]:
        spec = PipelineSpec("p", {"tts": "tiny", "vocoder": vocoder}, {}, {})
        return [finding.error for finding in check(spec, catalogue) if finding.error is not None]

    assert findings("gan") == []
    assert findings("griffin-lim") == []
    (error,) = findings("other")
    assert isinstance(error, ConfigError)
    assert "does not fit" in str(error)
    assert "rate is 16000 and 22050" in str(error)


def test_damaged_facts_are_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    for name, key, value in (
        ("acoustic", "fmin", "x"),
        ("vocoder", "sampling_rate", -5),
        ("vocoder", "upsample_rates", 3),
    ):
        target = tmp_path / f"{name}-{key}"
        target.mkdir()
        for file in folders[name].iterdir():
            if file.is_file():
                (target / file.name).write_bytes(file.read_bytes())
        config = target / ("preprocessor_config.json" if name == "acoustic" else "config.json")
        told = json.loads(config.read_text()) if config.is_file() else {}
        config.write_text(json.dumps({**told, key: value}))
        with pytest.raises(EngineError, match="fetch it anew"):
            engines.mel_facts(_tts(target) if name == "acoustic" else _gan(target))
    assert isinstance(engines.mel_facts(_gan(folders["vocoder"])), MelFacts)


def test_the_command_joins_the_two(mmcli: Callable[..., Result], folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "reply.wav"
    ended = mmcli(
        "speak",
        TEXT,
        "-m",
        folders["acoustic"],
        "--vocoder",
        folders["vocoder"],
        "--seed",
        7,
        "--voice",
        "ben",
        "-o",
        out,
    )
    assert (ended.code, ended.out) == (0, "")
    samples, rate = soundfile.read(out)
    assert rate == 16000
    assert len(samples) % 256 == 0
    assert len(samples) > 4000
