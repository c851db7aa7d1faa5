"""Voices of Coqui's models that are d-vectors: named ones, and those that a speaker encoder finds in recordings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from TTS.utils.synthesizer import Synthesizer as Library

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.engines.tts.joined import limited
from mmcli.errors import EngineError, InputError, MissingModel, MmcliError, UsageError
from mmcli.media.audio import open_audio
from mmcli.options import Runtime, SpeakOptions
from tests.conftest import Result
from tests.engines.tts import tiny_coqui

# librosa imports modules that will go, where the library reads files with it.
pytestmark = pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)':DeprecationWarning")

TEXT = "Good morning to all of you."
RUNTIME = Runtime(device="cpu")


def _card(folder: Path) -> ModelCard:
    return ModelCard(folder.name, "tts", "coqui", f"path:{folder}", origin="test")


def _spoken(stage: Any, **options: Any) -> np.ndarray:
    blocks = stage.speak(iter([TEXT]), SpeakOptions(seed=3, **options))
    return np.concatenate([block.samples for block in blocks])


def _library(folder: Path, **given: Any) -> np.ndarray:
    library = Library(tts_checkpoint=folder / "model_file.pth", tts_config_path=folder / "config.json")
    torch.manual_seed(3)
    return limited(np.array(library.tts(TEXT, split_sentences=False, **given))[:-10000])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VITS with two named voices and a speaker encoder."""
    place = tiny_coqui.with_vectors(tmp_path_factory.mktemp("cloning") / "vits", "vits")
    tiny_coqui.speaker_encoder(place)
    return place


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "vits"))


@pytest.fixture(scope="module")
def clips(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two voices at the rate of the encoder, so that nothing is resampled in two ways."""
    made = []
    for name in ("a01.wav", "a04.wav"):
        samples = np.concatenate([block.samples for block in open_audio(data / name).blocks(16000)])
        file = tmp_path_factory.mktemp("clips") / name
        soundfile.write(file, samples[:64000], 16000, "FLOAT")
        made.append(str(file))
    return made


# ---------------------------------------------------------------- named voices


def test_named_voices_speak_as_the_library_makes_them(folder: Path) -> None:
    voice = engines.load(_card(folder), RUNTIME)
    assert [each.name for each in voice.voices()] == ["Ann", "Ben"]
    ben = _spoken(voice, voice="Ben")
    np.testing.assert_allclose(ben, _library(folder, speaker_name="Ben")[: len(ben)], atol=1e-5)
    ann = _spoken(voice)
    np.testing.assert_allclose(ann, _library(folder, speaker_name="Ann")[: len(ann)], atol=1e-5)
    assert ann.shape != ben.shape or not np.allclose(ann, ben, atol=1e-3)
    with pytest.raises(UsageError, match='no speaker "Bem"; did you mean "Ben"'):
        voice.speak(iter([TEXT]), SpeakOptions(voice="Bem"))


def test_spectrograms_have_voices_too_and_vectors_may_be_tensors_files(tmp_path: Path) -> None:
    model = tiny_coqui.with_vectors(tmp_path / "fast", "fast_pitch", suffix=".pth")
    acoustic = engines.load(_card(model), RUNTIME)
    library = Library(tts_checkpoint=model / "model_file.pth", tts_config_path=model / "config.json").tts_model
    mels = []
    for name in ("Ann", "Ben"):
        with torch.inference_mode():
            wanted = library.synthesize(TEXT, speaker=name)["outputs"]["model_outputs"][0].numpy().T
        mels.append(acoustic.spectrogram(TEXT, SpeakOptions(voice=name)).values)
        np.testing.assert_allclose(mels[-1], wanted, atol=1e-5)
    assert mels[0].shape != mels[1].shape or not np.allclose(mels[0], mels[1], atol=1e-3)
    with pytest.raises(UsageError, match=r"has no speaker encoder.*config_se\.json and model_se\.pth"):
        acoustic.check(SpeakOptions(speaker_wav=("a.wav",)))


def test_one_name_alone_is_a_voice_and_not_a_number(tmp_path: Path) -> None:
    model = tiny_coqui.with_vectors(tmp_path / "vits", "vits", speakers=("Ann",))
    voice = engines.load(_card(model), RUNTIME)
    assert [each.name for each in voice.voices()] == ["Ann"]
    first = _spoken(voice)
    table = json.loads((model / "vectors.json").read_text())
    for clip in table.values():
        clip["embedding"] = [-number for number in clip["embedding"]]
    (model / "vectors.json").write_text(json.dumps(table))
    other = _spoken(engines.load(_card(model), RUNTIME))
    assert first.shape != other.shape or not np.allclose(first, other, atol=1e-3)


# ---------------------------------------------------------------- recordings


@pytest.mark.parametrize("kind", ["lstm", "resnet"])
def test_a_voice_is_taken_over_as_the_library_does(kind: str, copied: Path, clips: list[str]) -> None:
    tiny_coqui.speaker_encoder(copied, kind)
    voice = engines.load(_card(copied), RUNTIME)
    one = _spoken(voice, speaker_wav=(clips[0],))
    np.testing.assert_allclose(one, _library(copied, speaker_name=None, speaker_wav=clips[0])[: len(one)], atol=1e-5)
    both = _spoken(voice, speaker_wav=tuple(clips))
    np.testing.assert_allclose(both, _library(copied, speaker_name=None, speaker_wav=clips)[: len(both)], atol=1e-5)
    assert one.shape != both.shape or not np.allclose(one, both, atol=1e-4)
    named = _spoken(voice)
    assert one.shape != named.shape or not np.allclose(one, named, atol=1e-3)


def test_a_recording_of_another_rate_and_format_gives_nearly_the_librarys_vector(folder: Path, data: Path) -> None:
    voice = engines.load(_card(folder), RUNTIME)
    library = Library(tts_checkpoint=folder / "model_file.pth", tts_config_path=folder / "config.json").tts_model
    name = str(data / "a06.mp3")
    theirs = torch.tensor(library.speaker_manager.compute_embedding_from_clip(name))
    ours = voice._vectors.vector(None, (name,))[0]
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.999


def test_a_changed_recording_is_heard_anew(folder: Path, clips: list[str], tmp_path: Path) -> None:
    voice = engines.load(_card(folder), RUNTIME)
    file = tmp_path / "me.wav"
    made = []
    for clip in clips:
        file.write_bytes(Path(clip).read_bytes())
        made.append(_spoken(voice, speaker_wav=(str(file),)))
    np.testing.assert_array_equal(made[1], _spoken(voice, speaker_wav=(clips[1],)))
    assert made[0].shape != made[1].shape or not np.array_equal(made[0], made[1])


def test_without_any_named_voice_a_recording_is_needed(tmp_path: Path, clips: list[str]) -> None:
    model = tiny_coqui.with_vectors(tmp_path / "vits", "vits", speakers=())
    with pytest.raises(MissingModel, match=r"speakers\.json"):
        engines.load(_card(model), RUNTIME)
    tiny_coqui.speaker_encoder(model)
    voice = engines.load(_card(model), RUNTIME)
    with pytest.raises(UsageError, match="has no voice of its own; --speaker-wav FILE gives it one"):
        voice.speak(iter([TEXT]), SpeakOptions())
    with pytest.raises(UsageError, match='no speaker "Ann"'):
        voice.speak(iter([TEXT]), SpeakOptions(voice="Ann"))
    assert len(_spoken(voice, speaker_wav=(clips[0],)))


def test_what_no_voice_can_be_taken_from_is_refused_at_once(folder: Path, data: Path, tmp_path: Path) -> None:
    voice = engines.load(_card(folder), RUNTIME)
    soundfile.write(tmp_path / "short.wav", np.ones(1600), 16000)
    for options, kind, told in (
        ({"voice": "Ann", "speaker_wav": ("a.wav",)}, UsageError, "both name a voice"),
        ({"speaker_wav": (str(tmp_path / "short.wav"),)}, InputError, "too short to take a voice from"),
        ({"speaker_wav": (str(data / "x10_text.mp3"),)}, InputError, "x10_text.mp3"),
    ):
        with pytest.raises(kind, match=told):
            voice.speak(iter([TEXT]), SpeakOptions(**options))


@pytest.fixture(scope="module")
def bad_samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("samples")
    tone = 0.3 * np.sin(np.arange(8000) / 5)
    soundfile.write(place / "silent.wav", np.zeros(24000), 8000)
    soundfile.write(place / "blip.wav", tone[:800], 8000)
    with soundfile.SoundFile(place / "hour.flac", "w", 8000, 1) as file:
        for _ in range(3600):
            file.write(tone)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize(
    ("name", "told"),
    [("silent.wav", "is silent"), ("blip.wav", "lasts 0.1 s, too short"), ("hour.flac", "longer than 10 minutes")],
)
def test_the_command_refuses_samples_without_a_voice(
    name: str, told: str, mmcli: Callable[..., Result], folder: Path, bad_samples: Path, tmp_path: Path
) -> None:
    ended = mmcli("speak", TEXT, "-m", folder, "--speaker-wav", bad_samples / name, "-o", "a.wav")
    assert (ended.code, ended.out, len(ended.notes)) == (1, "", 1)
    assert told in ended.err
    assert not (tmp_path / "a.wav").exists()


def test_the_command_lists_voices_and_takes_one_over(
    mmcli: Callable[..., Result], folder: Path, clips: list[str], tmp_path: Path
) -> None:
    listed = mmcli("speak", "--list-voices", "-m", folder)
    assert listed.code == 0, listed.err
    assert "Ann" in listed.out
    assert "Ben" in listed.out
    ended = mmcli("speak", TEXT, "-m", folder, "--speaker-wav", clips[0], "--seed", 3, "-o", "a.wav")
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert soundfile.info(tmp_path / "a.wav").frames > 1000


# ---------------------------------------------------------------- folders


def test_files_outside_of_the_folder_are_never_read(copied: Path, tmp_path: Path) -> None:
    for name in ("model_se.pth", "config_se.json"):
        shutil.move(copied / name, tmp_path / name)
    above = {
        "speaker_encoder_model_path": "../model_se.pth",
        "speaker_encoder_config_path": str(tmp_path / "config_se.json"),
    }
    tiny_coqui.change(copied, model_args=above)
    voice = engines.load(_card(copied), RUNTIME)
    with pytest.raises(UsageError, match="has no speaker encoder"):
        voice.speak(iter([TEXT]), SpeakOptions(speaker_wav=("a.wav",)))
    (copied / "encoder").mkdir()
    for name in ("model_se.pth", "config_se.json"):
        shutil.move(tmp_path / name, copied / "encoder" / name)
    inside = {
        "speaker_encoder_model_path": "encoder/model_se.pth",
        "speaker_encoder_config_path": "encoder/config_se.json",
    }
    tiny_coqui.change(copied, model_args=inside)
    engines.load(_card(copied), RUNTIME)._vectors.check(())
    with pytest.raises(InputError):
        engines.load(_card(copied), RUNTIME).speak(iter([TEXT]), SpeakOptions(speaker_wav=("no.wav",)))


def _break(folder: Path, how: str, marker: Path) -> None:
    match how:
        case "vectors of another width":
            table = json.loads((folder / "vectors.json").read_text())
            next(iter(table.values()))["embedding"].append(0.0)
            (folder / "vectors.json").write_text(json.dumps(table))
        case "vectors of no sense":
            (folder / "vectors.json").write_text('{"a.wav": {"name": "Ann", "embedding": ["x"]}}')
        case "no table of vectors":
            (folder / "vectors.json").write_text("[1, 2]")
        case "vectors that run":
            torch.save({"a.wav": tiny_coqui.Runs(marker)}, folder / "vectors.pth")
            tiny_coqui.change(
                folder, d_vector_file=str(folder / "vectors.pth"), model_args={"d_vector_file": "vectors.pth"}
            )
        case "an encoder of another width":
            tiny_coqui.speaker_encoder(folder, width=8)
        case "an encoder that runs":
            torch.save({"model": tiny_coqui.Runs(marker)}, folder / "model_se.pth")
        case "an encoder without weights":
            (folder / "model_se.pth").write_bytes(b"<html>")
        case "an unknown encoder":
            config = json.loads((folder / "config_se.json").read_text())
            config["model_params"]["model_name"] = "whisper"
            (folder / "config_se.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("vectors of another width", "is not 16 numbers"),
        ("vectors of no sense", "no model that can be used"),
        ("no table of vectors", "no model that can be used"),
        ("vectors that run", "could run any program"),
        ("an encoder of another width", "makes 8 numbers, not 16"),
        ("an encoder that runs", "could run any program"),
        ("an encoder without weights", "refused|no model that can be used"),
        ("an unknown encoder", "whisper"),
    ],
)
def test_a_broken_folder_is_one_line(how: str, told: str, copied: Path, tmp_path: Path) -> None:
    _break(copied, how, tmp_path / "ran")
    with pytest.raises(MmcliError, match=told) as caught:
        engines.load(_card(copied), RUNTIME)
    assert isinstance(caught.value, EngineError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_statistics_of_an_encoder_are_never_run(copied: Path, clips: list[str], tmp_path: Path) -> None:
    np.save(copied / "stats.npy", np.array({"mel_mean": tiny_coqui.Runs(tmp_path / "ran")}, object), allow_pickle=True)
    config = json.loads((copied / "config_se.json").read_text())
    config["audio"]["stats_path"] = str(copied / "stats.npy")
    (copied / "config_se.json").write_text(json.dumps(config))
    voice = engines.load(_card(copied), RUNTIME)
    assert len(_spoken(voice, speaker_wav=(clips[0],)))
    assert not (tmp_path / "ran").exists()
