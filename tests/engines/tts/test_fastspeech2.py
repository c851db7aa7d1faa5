"""FastSpeech 2 without a vocoder inside, on tiny checkpoints: its spectrograms, and what may be joined with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers as tf

from mmcli import engines
from mmcli.catalogue import Catalogue, ModelCard, PipelineSpec, read_catalogue
from mmcli.checks import check
from mmcli.engines.tts.joined import Joined, limited
from mmcli.errors import ConfigError, EngineError, UsageError
from mmcli.mel import energies
from mmcli.options import Runtime, SpeakOptions
from mmcli.stages import Acoustic, Vocoder
from tests.conftest import Result
from tests.engines.tts import tiny_tts

# g2p-en leaves a file open.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.usefixtures("dictionary", "one_thread"),
]

TEXT = "How far is the harbour?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for key, name, given in (
        ("plain", "FastSpeech2ConformerModel", {}),
        ("told", "FastSpeech2ConformerModel", {"statistics": True}),
        ("several", "FastSpeech2ConformerModel", {"num_speakers": 2, "num_languages": 2}),
        ("vectors", "FastSpeech2ConformerModel", {"speaker_embed_dim": 4}),
        ("gan", "FastSpeech2ConformerHifiGan", {}),
        ("slow", "FastSpeech2ConformerHifiGan", {"sampling_rate": 16000}),
    ):
        made[key] = tmp_path_factory.mktemp(key)
        tiny_tts.build(name, made[key], **given)
    return made


def _tts(folder: Path, **given: Any) -> ModelCard:
    return ModelCard("tiny", "tts", "transformers-tts", f"path:{folder}", inputs=("text",), outputs=("audio",), **given)


def _gan(folder: Path, **given: Any) -> ModelCard:
    return ModelCard("gan", "vocoder", "transformers-vocoder", f"path:{folder}", outputs=("audio",), **given)


def _directly(folder: Path, text: str = TEXT, speed: float = 1.0, **given: Any) -> np.ndarray:
    ids = tf.FastSpeech2ConformerTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    model = tf.FastSpeech2ConformerModel.from_pretrained(folder)
    model.config.speaking_speed = 1 / speed
    with torch.inference_mode():
        made: np.ndarray = model(ids, **given, return_dict=True).spectrogram[0].numpy().T
    return made


def _made(acoustic: Any, text: str = TEXT, **options: Any) -> np.ndarray:
    values: np.ndarray = acoustic.spectrogram(text, SpeakOptions(**options)).values
    return values


def test_spectrograms_and_sound_are_the_librarys(folders: dict[str, Path]) -> None:
    acoustic, vocoder = engines.load(_tts(folders["plain"])), engines.load(_gan(folders["gan"]))
    assert isinstance(acoustic, Acoustic)
    assert isinstance(vocoder, Vocoder)
    wanted = _directly(folders["plain"])
    np.testing.assert_allclose(_made(acoustic), wanted, atol=1e-5)
    (block,) = Joined(acoustic, vocoder).speak(iter([TEXT]), SpeakOptions())
    with torch.inference_mode():
        gan = tf.FastSpeech2ConformerHifiGan.from_pretrained(folders["gan"])
        sound = gan(torch.from_numpy(wanted.T.copy())).numpy()
    np.testing.assert_allclose(block.samples, limited(sound), atol=1e-5)
    assert block.rate == 22050
    assert len(block.samples) == 256 * wanted.shape[1]


def test_pace_text_and_unknown_letters(folders: dict[str, Path]) -> None:
    acoustic = engines.load(_tts(folders["plain"]))
    np.testing.assert_allclose(_made(acoustic, speed=2.0), _directly(folders["plain"], speed=2.0), atol=1e-5)
    assert _made(acoustic, speed=2.0).shape[1] < 0.7 * _made(acoustic).shape[1]
    assert _made(acoustic).shape == _made(acoustic, seed=3).shape
    mel = acoustic.spectrogram("Да the harbour", SpeakOptions())
    assert mel.left_out == "Да"
    assert acoustic.spectrogram("Да", SpeakOptions()).values.shape == (16, 0)
    long = "how far is the harbour, " * 30
    assert _made(acoustic, long).shape[1] > 20 * _made(acoustic).shape[1]
    for options, why in (({"speed": 9.0}, "from 0.25 to 4"), ({"pitch": 2.0}, "--pitch"), ({"voice": "1"}, "no voice")):
        with pytest.raises(UsageError, match=why):
            acoustic.check(SpeakOptions(**options))


def test_speakers_and_languages_have_numbers_or_the_entrys_names(folders: dict[str, Path]) -> None:
    by_number, by_name = (
        engines.load(_tts(folders["several"])),
        engines.load(_tts(folders["several"], languages=("en", "de"))),
    )
    assert [(voice.name, voice.language) for voice in by_name.voices()] == [("0", "en, de"), ("1", "en, de")]
    one, other = torch.tensor([[1]]), torch.tensor([[0]])
    wanted = _directly(folders["several"], speaker_ids=one, lang_ids=one)
    np.testing.assert_allclose(_made(by_name, voice="1", language="de"), wanted, atol=1e-5)
    np.testing.assert_allclose(_made(by_number, voice="1", language="1"), wanted, atol=1e-5)
    first = _directly(folders["several"], speaker_ids=other, lang_ids=other)
    np.testing.assert_allclose(_made(by_name), first, atol=1e-5)
    assert first.shape != wanted.shape or not np.allclose(first, wanted, atol=1e-3)
    with pytest.raises(UsageError, match='does not speak the language "fr"; it speaks en, de'):
        by_name.check(SpeakOptions(language="fr"))


def test_a_voice_may_be_a_vector(folders: dict[str, Path], tmp_path: Path) -> None:
    vector = np.array([1, 2, -1, 0.5], np.float32)
    np.save(tmp_path / "carla.npy", vector)
    acoustic = engines.load(_tts(folders["vectors"], settings={"speaker_embedding": str(tmp_path / "carla.npy")}))
    assert [voice.name for voice in acoustic.voices()] == ["carla", "neutral"]
    wanted = _directly(folders["vectors"], speaker_embedding=torch.from_numpy(vector)[None])
    np.testing.assert_allclose(_made(acoustic), wanted, atol=1e-5)
    neutral = _directly(folders["vectors"], speaker_embedding=torch.zeros(1, 4))
    np.testing.assert_allclose(_made(acoustic, voice="neutral"), neutral, atol=1e-5)
    assert neutral.shape != wanted.shape or not np.allclose(neutral, wanted, atol=1e-3)


# ---------------------------------------------------------------- facts


def test_statistics_undo_what_training_scaled(folders: dict[str, Path]) -> None:
    acoustic = engines.load(_tts(folders["told"]))
    mel = acoustic.spectrogram(TEXT, SpeakOptions())
    unscaled = mel.values * np.linspace(0.5, 1, 16)[:, None] + np.linspace(-3, -1, 16)[:, None]
    np.testing.assert_allclose(np.log10(energies(mel)), unscaled, atol=1e-4)


def _findings(tts: ModelCard, vocoder: str | None, **cards: ModelCard) -> list[Exception]:
    catalogue = Catalogue({**read_catalogue().models, "tiny": tts, **cards}, {})
    models = {"tts": "tiny", **({"vocoder": vocoder} if vocoder else {})}
    return [found.error for found in check(PipelineSpec("p", models, {}, {}), catalogue) if found.error is not None]


def test_what_may_be_joined_is_known_before_anything_loads(folders: dict[str, Path]) -> None:
    plain, told = _tts(folders["plain"]), _tts(folders["told"])
    gan, slow = _gan(folders["gan"]), _gan(folders["slow"])
    assert _findings(plain, "gan", gan=gan) == []
    assert _findings(_tts(folders["plain"], vocoder="gan"), None, gan=gan) == []
    assert _findings(told, None) == []  # Griffin-Lim comes by itself
    own = {"statistics": str(folders["told"] / "feats_stats.npz")}
    assert _findings(told, "gan", gan=_gan(folders["gan"], settings=own)) == []
    for case, wanted in (
        (
            _findings(plain, None),
            "scale of its own and has no vocoder; name the one that was trained with it: --vocoder",
        ),
        (_findings(plain, "griffin-lim"), "the scale of its values is not told"),
        (_findings(told, "gan", gan=gan), "the scale of its values is not told"),
        (_findings(plain, "slow", slow=slow), "rate is 22050 and 16000"),
        (_findings(_tts(folders["plain"], settings={"fmax": 8000}), "gan", gan=gan), "fmax is 8000 and 7600"),
    ):
        (error,) = case
        assert isinstance(error, ConfigError)
        assert wanted in str(error)


def test_griffin_lim_and_another_librarys_vocoder_read_told_spectrograms(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    from tests.engines.tts import tiny_coqui

    folder = tiny_coqui.vocoder(tmp_path / "hifigan", "hifigan", num_mels=16, mel_fmin=80.0, mel_fmax=7600.0)
    coqui = ModelCard("coqui", "vocoder", "coqui-vocoder", f"path:{folder}", outputs=("audio",))
    card = _tts(folders["told"])
    assert _findings(card, "coqui", coqui=coqui) == []
    acoustic = engines.load(card)
    frames = _made(acoustic).shape[1]
    for vocoder in (engines.load(coqui, Runtime(device="cpu")), engines.load(read_catalogue().models["griffin-lim"])):
        (block,) = Joined(acoustic, vocoder).speak(iter([TEXT]), SpeakOptions())
        assert block.rate == 22050
        assert abs(len(block.samples) - 256 * frames) <= 10 * 256  # what the network pads
        assert np.abs(block.samples).max() > 0


@pytest.mark.parametrize(
    ("settings", "kind", "why"),
    [
        ({"statistics": "nowhere.npz"}, ConfigError, r"there is no file nowhere\.npz"),
        ({"statistics": "{tmp}/odd.npz"}, EngineError, "no statistics of its bands"),
        ({"statistics": "{tmp}/many.npz"}, EngineError, "not of 16 bands"),
        ({"fmax": "high"}, ConfigError, "fmax cannot be 'high'"),
        ({"n_ftt": 512}, ConfigError, 'unknown setting "n_ftt"; did you mean "n_fft"'),
    ],
)
def test_settings_without_sense_are_one_line(
    settings: dict[str, Any], kind: type[Exception], why: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "odd.npz").write_bytes(b"PK\x03\x04 and no more")
    tiny_tts.feats_stats(tmp_path / "many.npz", bands=80)
    given = {key: value.format(tmp=tmp_path) if isinstance(value, str) else value for key, value in settings.items()}
    for card in (_tts(folders["plain"], settings=given), _gan(folders["gan"], settings=given)):
        with pytest.raises(kind, match=why) as caught:
            engines.load(card)
        assert "\n" not in str(caught.value)


def test_the_command_needs_and_takes_a_vocoder(
    mmcli: Callable[..., Result], folders: dict[str, Path], dictionary: Path, tmp_path: Path
) -> None:
    env = {"NLTK_DATA": str(dictionary), "PYTHONWARNINGS": "error,ignore::ResourceWarning"}
    alone = mmcli("speak", TEXT, "-m", folders["plain"], "-o", "a.wav", env=env)
    assert (alone.code, alone.out, len(alone.notes)) == (2, "", 1)
    assert "has no vocoder" in alone.err
    assert not (tmp_path / "a.wav").exists()
    added = mmcli("models", "add", "conformer", folders["plain"], env=env)
    assert added.code == 0, added.err
    ended = mmcli("speak", TEXT, "-m", "conformer", "--vocoder", folders["gan"], "-o", "b.wav", env=env)
    assert (ended.code, ended.out) == (0, ""), ended.err
    samples, rate = soundfile.read(tmp_path / "b.wav")
    assert rate == 22050
    assert len(samples) % 256 == 0
    assert len(samples) > 4000
