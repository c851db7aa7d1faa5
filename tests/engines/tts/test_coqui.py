"""Coqui's models from folders: what they speak is what the library speaks, and what is wrong with a folder is one line."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from TTS.config import load_config
from TTS.utils.audio import AudioProcessor
from TTS.utils.synthesizer import Synthesizer as Library

from mmcli import engines
from mmcli.catalogue import ModelCard, read_catalogue
from mmcli.checks import check, with_vocoder
from mmcli.engines.tts.coqui.phonemes import LibEspeak
from mmcli.engines.tts.joined import Joined, limited
from mmcli.errors import ConfigError, EngineError, InputError, MissingModel, MmcliError, UsageError
from mmcli.media.audio import open_audio
from mmcli.mel import Mel, analyse, converted, differences
from mmcli.options import Runtime, SpeakOptions
from mmcli.stages import Acoustic, Synthesizer, Vocoder
from tests.engines.tts import tiny_coqui

TEXT = "Good morning to all of you."
ACOUSTIC = ("tacotron2", "fast_pitch", "fastspeech2", "speedy_speech", "glow_tts")
VOCODERS = ("hifigan", "melgan", "multiband_melgan", "wavernn")
RUNTIME = Runtime(device="cpu")


def _card(folder: Path, role: str = "tts", **more: Any) -> ModelCard:
    engine = "coqui-vocoder" if role == "vocoder" else "coqui"
    return ModelCard(folder.name, role, engine, f"path:{folder}", origin="test", **more)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Each checkpoint, built when it is asked for; Tacotron 2 alone has 113 MB, so they go at the end."""
    root = tmp_path_factory.mktemp("coqui")

    def folder(name: str) -> Path:
        place = root / name
        if not place.is_dir():
            if name in VOCODERS:
                tiny_coqui.vocoder(place, name)
            elif name == "xtts":
                tiny_coqui.xtts(place)
            else:
                tiny_coqui.voice(place, name)
        return place

    yield folder
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def stage(folders: Callable[[str], Path]) -> Callable[[str], Any]:
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            card = _card(folders(name), "vocoder" if name in VOCODERS else "tts", languages=("en",))
            loaded[name] = engines.load(card, RUNTIME)
        return loaded[name]

    return load


def _copy(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target, copy_function=os.link)
    config = target / "config.json"
    content = config.read_bytes()
    config.unlink()
    config.write_bytes(content)
    return target


def _spoken(speaker: Any, text: str = TEXT, **options: Any) -> np.ndarray:
    return np.concatenate([block.samples for block in speaker.speak(iter([text]), SpeakOptions(**options))])


# ---------------------------------------------------------------- the library's own sound


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # the library's own WaveRNN
@pytest.mark.parametrize("vocoder", VOCODERS)
@pytest.mark.parametrize("acoustic", ACOUSTIC)
def test_each_voice_with_each_vocoder_sounds_as_the_library_makes_it(
    acoustic: str, vocoder: str, stage: Callable[[str], Any], folders: Callable[[str], Path]
) -> None:
    text = "Yes, it is." if vocoder == "wavernn" and acoustic != "speedy_speech" else TEXT
    assert isinstance(stage(acoustic), Acoustic)
    assert isinstance(stage(vocoder), Vocoder)
    ours = _spoken(Joined(stage(acoustic), stage(vocoder)), text, seed=3)
    one, other = folders(acoustic), folders(vocoder)
    library = Library(
        tts_checkpoint=one / "model_file.pth",
        tts_config_path=one / "config.json",
        vocoder_checkpoint=other / "model_file.pth",
        vocoder_config=other / "config.json",
    )
    if vocoder == "wavernn":
        library.vocoder_model.gen_display = lambda *_: None
    for parameter in library.vocoder_model.parameters():
        parameter.requires_grad_(False)  # with it the library cannot read what MelGAN makes
    torch.manual_seed(3)
    theirs = np.array(library.tts(text, split_sentences=False))[:-10000]
    np.testing.assert_allclose(ours, limited(theirs), atol=1e-5)
    assert np.abs(ours).max() > 1e-4


def test_griffin_lim_finds_what_the_library_finds(stage: Callable[[str], Any], folders: Callable[[str], Path]) -> None:
    card = ModelCard("gl", "vocoder", "griffin-lim", "embedded:librosa", settings={"momentum": 0.0})
    folder = folders("fast_pitch")
    ours = _spoken(Joined(stage("fast_pitch"), engines.load(card)))
    library = Library(tts_checkpoint=folder / "model_file.pth", tts_config_path=folder / "config.json")
    np.random.seed(0)
    theirs = np.array(library.tts(TEXT, split_sentences=False))[:-10000]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


def test_vits_sounds_as_the_library_makes_it(stage: Callable[[str], Any], folders: Callable[[str], Path]) -> None:
    voice, folder = stage("vits"), folders("vits")
    assert isinstance(voice, Synthesizer)
    library = Library(tts_checkpoint=folder / "model_file.pth", tts_config_path=folder / "config.json")
    torch.manual_seed(3)
    theirs = np.array(library.tts(TEXT, split_sentences=False))[:-10000]
    ours = _spoken(voice, seed=3)
    np.testing.assert_allclose(ours, limited(theirs)[: len(ours)], atol=1e-5)
    assert [voice.name for voice in voice.voices()] == ["vits"]


@pytest.mark.parametrize("acoustic", [*ACOUSTIC, "vits"])
def test_short_words_and_speed_are_no_trouble(acoustic: str, stage: Callable[[str], Any]) -> None:
    if acoustic == "vits":
        plain, fast = (len(_spoken(stage("vits"), TEXT, seed=1, speed=speed)) for speed in (1.0, 2.0))
        assert len(_spoken(stage("vits"), "No.")) > 0
    else:
        model = stage(acoustic)
        assert model.spectrogram("No.", SpeakOptions()).values.shape[1] >= 1
        slow = SpeakOptions(speed=0.5, seed=1)
        plain = model.spectrogram(TEXT, slow).values.shape[1]
        fast = model.spectrogram(TEXT, SpeakOptions(seed=1)).values.shape[1]
    assert fast <= plain
    if acoustic in ("tacotron2", "vits"):  # the others' letters last one frame each, and less there is not
        assert fast < 0.7 * plain


@pytest.mark.parametrize("text", ["", "...", "🙂", "\x00", "\x1b", "Привет", "  "])
@pytest.mark.parametrize("name", ["fast_pitch", "vits"])
def test_what_has_no_words_for_the_model_is_silence(name: str, text: str, stage: Callable[[str], Any]) -> None:
    voice = stage(name) if name == "vits" else Joined(stage(name), stage("hifigan"))
    assert list(voice.speak(iter([text]), SpeakOptions())) == []


def test_letters_that_the_model_does_not_know_are_counted_in_one_note(
    stage: Callable[[str], Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING, "mmcli"):
        blocks = list(stage("vits").speak(iter(["Да yes.", "Дом no."]), SpeakOptions()))
    assert len(blocks) == 2
    (told,) = caplog.messages
    assert told.startswith("5 characters were left out")
    assert capfd.readouterr() == ("", "")


def test_sound_comes_sentence_by_sentence_and_stops_when_closed(stage: Callable[[str], Any]) -> None:
    asked: list[int] = []

    def sentences() -> Iterator[str]:
        for number in range(100):
            asked.append(number)
            yield "Again and again."

    for voice in (stage("vits"), Joined(stage("fast_pitch"), stage("hifigan"))):
        asked.clear()
        sound = voice.speak(sentences(), SpeakOptions())
        assert len(next(sound).samples)
        sound.close()
        assert asked == [0]


def test_a_seed_makes_a_voice_repeat_itself(stage: Callable[[str], Any]) -> None:
    one, two, other = (_spoken(stage("vits"), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.shape != other.shape or not np.allclose(one, other)


# ---------------------------------------------------------------- speakers and languages


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("several") / "several"
    (folder.parent / "speakers.json").write_text('{"Ann": 0, "Ben": 1}')
    (folder.parent / "languages.json").write_text('{"de": 0, "en": 1}')
    changes = {
        "use_speaker_embedding": True,
        "num_speakers": 2,
        "speakers_file": str(folder.parent / "speakers.json"),
        "use_language_embedding": True,
        "language_ids_file": str(folder.parent / "languages.json"),
        "num_languages": 2,
    }
    tiny_coqui.voice(folder, "vits", **changes)
    shutil.move(folder.parent / "speakers.json", folder / "speaker_ids.json")
    shutil.move(folder.parent / "languages.json", folder / "language_ids.json")
    away = "/home/trainer/run/"
    paths = {"speakers_file": f"{away}speakers.json", "language_ids_file": f"{away}language_ids.json"}
    tiny_coqui.change(folder, **paths, model_args=paths)
    return folder


def test_speakers_and_languages_are_named_and_chosen(several: Path) -> None:
    voice = engines.load(_card(several), RUNTIME)
    assert [(v.name, v.language) for v in voice.voices()] == [("Ann", "de, en"), ("Ben", "de, en")]
    ann, ben, german = (
        _spoken(voice, seed=1, **options) for options in ({}, {"voice": "Ben"}, {"voice": "Ann", "language": "de-DE"})
    )
    assert not np.array_equal(ann, ben)
    assert not np.array_equal(ann, german)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"voice": "Bem"}, 'no speaker "Bem"; did you mean "Ben"?'),
        ({"language": "fr"}, 'speaks de, en, not "fr"'),
        ({"pitch": 1.2}, "--pitch"),
        ({"speaker_wav": ("me.wav",)}, "--speaker-wav"),
        ({"speed": 9.0}, "from 0.25 to 4"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_it_speaks(several: Path, options: dict[str, Any], told: str) -> None:
    voice = engines.load(_card(several), RUNTIME)
    with pytest.raises(UsageError, match=told.replace("?", r"\?")):
        voice.speak(iter([TEXT]), SpeakOptions(**options))


def test_a_model_with_one_voice_and_language_says_so(stage: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match=r'one voice only, not "Ben"; leave out --voice'):
        stage("vits").speak(iter([TEXT]), SpeakOptions(voice="Ben"))
    with pytest.raises(UsageError, match='speaks en, not "de"'):
        stage("fast_pitch").check(SpeakOptions(language="de"))
    stage("fast_pitch").check(SpeakOptions(language="en-GB"))


def test_missing_speakers_are_told(several: Path, tmp_path: Path) -> None:
    folder = _copy(several, tmp_path / "m")
    (folder / "speaker_ids.json").unlink()
    with pytest.raises(MissingModel, match=r"has no speaker_ids\.json"):
        engines.load(_card(folder), RUNTIME)


def test_phonemes_are_espeaks_without_its_program(tmp_path: Path) -> None:
    phonemizer = LibEspeak("en")
    assert phonemizer.phonemize("hello, how are you today?", separator="") == "həlˈoʊ, hˌaʊ ɑːɹ juː tədˈeɪ?"
    changes = {"use_phonemes": True, "phonemizer": "espeak", "phoneme_language": "en-us"}
    folder = tmp_path / "vits"
    engines.load(_card(tiny_coqui.voice(tmp_path / "first", "vits")), RUNTIME)  # puts our phonemes in their place
    tiny_coqui.voice(folder, "vits", **changes)
    voice = engines.load(_card(folder), RUNTIME)
    assert len(_spoken(voice, "Nineteen ships, and a cat.", seed=1)) != len(_spoken(voice, "A cat.", seed=1))


# ---------------------------------------------------------------- XTTS


def test_xtts_takes_over_a_voice_and_speaks_while_it_thinks(
    stage: Callable[[str], Any], data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voice = stage("xtts")
    assert isinstance(voice, Synthesizer)
    assert [v.name for v in voice.voices()] == ["Alice", "Bob"]
    own = voice.speak(iter(["Hello there.", "..."]), SpeakOptions(seed=1, speed=2.0))
    first = next(own)
    assert first.rate == 24000
    assert len(first.samples) > 1000
    own.close()
    recordings = (str(data / "a06.mp3"), str(data / "a01.wav"))
    taken = next(voice.speak(iter(["Hello there."]), SpeakOptions(seed=1, speed=2.0, speaker_wav=recordings)))
    assert not np.allclose(taken.samples, first.samples[: len(taken.samples)], atol=1e-3)
    other = next(voice.speak(iter(["Hello there."]), SpeakOptions(seed=1, speed=2.0, voice="Bob", language="de")))
    assert len(other.samples)


def test_xtts_without_a_voice_or_with_a_bad_one_says_so(
    stage: Callable[[str], Any], data: Path, tmp_path: Path
) -> None:
    voice = stage("xtts")
    with pytest.raises(UsageError, match="both name a voice"):
        voice.speak(iter([TEXT]), SpeakOptions(voice="Bob", speaker_wav=("a.wav",)))
    with pytest.raises(InputError, match=r"x10_text.mp3"):
        voice.speak(iter([TEXT]), SpeakOptions(speaker_wav=(str(data / "x10_text.mp3"),)))
    import soundfile

    soundfile.write(tmp_path / "short.wav", np.zeros(1000), 16000)
    with pytest.raises(InputError, match="too short"):
        voice.speak(iter([TEXT]), SpeakOptions(speaker_wav=(str(tmp_path / "short.wav"),)))
    voices, voice._speakers = voice._speakers, []
    try:
        with pytest.raises(UsageError, match="--speaker-wav FILE"):
            voice.speak(iter([TEXT]), SpeakOptions())
    finally:
        voice._speakers = voices


# ---------------------------------------------------------------- spectrograms


AUDIO: dict[str, dict[str, Any]] = {
    "plain": tiny_coqui.PLAIN,
    "decibels in a range": {},
    "not symmetric": {"symmetric_norm": False, "max_norm": 1.0, "mel_fmin": 50.0, "mel_fmax": 7600.0},
    "log10": {"spec_gain": 1, "signal_norm": False},
    "pre-emphasis": {"preemphasis": 0.98, "clip_norm": False},
    "by time": {
        "hop_length": None,
        "win_length": None,
        "frame_shift_ms": 10,
        "frame_length_ms": 40,
        "fft_size": 2048,
    },
    "mean and variance": {"stats_path": "/there/scale_stats.npy", "log_func": "np.log", "spec_gain": 1},
}


@pytest.mark.parametrize("name", AUDIO)
def test_facts_are_those_by_which_the_library_analyses(name: str, tmp_path: Path, data: Path) -> None:
    folder = tiny_coqui.vocoder(tmp_path / "v", "hifigan")
    tiny_coqui.change(
        folder, audio={**load_config(folder / "config.json").audio.to_dict(), **_defaults(), **AUDIO[name]}
    )
    tiny_coqui.statistics(folder)
    facts = engines.mel_facts(_card(folder, "vocoder"))
    assert facts is not None
    config = load_config(folder / "config.json").audio
    if config.stats_path:
        config.stats_path = None
        library = AudioProcessor(config)
        table = np.load(folder / "scale_stats.npy", allow_pickle=True).item()
        library.setup_scaler(table["mel_mean"], table["mel_std"], table["linear_mean"], table["linear_std"])
    else:
        library = AudioProcessor(config)
    sound = np.concatenate([block.samples for block in open_audio(data / "a04.wav").blocks(22050)])[:22050]
    np.testing.assert_allclose(analyse(sound, facts).values, library.melspectrogram(sound), atol=2e-3)


def _defaults() -> dict[str, Any]:
    from TTS.config import BaseAudioConfig

    return BaseAudioConfig().to_dict()


def test_another_normalisation_is_converted_as_the_library_does(
    stage: Callable[[str], Any], folders: Callable[[str], Path], tmp_path: Path
) -> None:
    scaled = tiny_coqui.vocoder(tmp_path / "scaled", "hifigan", signal_norm=True, min_level_db=-12, ref_level_db=1)
    vocoder = engines.load(_card(scaled, "vocoder"), RUNTIME)
    ours = _spoken(Joined(stage("fast_pitch"), vocoder))
    library = Library(
        tts_checkpoint=folders("fast_pitch") / "model_file.pth",
        tts_config_path=folders("fast_pitch") / "config.json",
        vocoder_checkpoint=scaled / "model_file.pth",
        vocoder_config=scaled / "config.json",
    )
    theirs = np.array(library.tts(TEXT, split_sentences=False))[:-10000].astype(np.float32)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_unequal_spectrograms_are_refused_before_weights_load(folders: Callable[[str], Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((folders("hifigan") / "config.json").read_bytes())
    config["audio"]["mel_fmax"] = 7600.0
    (other / "config.json").write_text(json.dumps(config))
    (other / "model_file.pth").write_bytes(b"never read")
    spec = read_catalogue().pipelines["embedded"].with_models({"tts": f"{folders('fast_pitch')}+{other}"}, "flag")
    (error,) = [finding.error for finding in check(spec, read_catalogue()) if finding.error is not None]
    assert isinstance(error, ConfigError)
    assert "fmax is 8000 and 7600" in str(error)


def test_a_voice_without_a_vocoder_gets_griffin_lim_and_vits_none(folders: Callable[[str], Path]) -> None:
    spec = read_catalogue().pipelines["embedded"]
    chosen = {
        name: with_vocoder(spec.with_models({"tts": str(folders(name))}, "flag"), read_catalogue()).models.get(
            "vocoder"
        )
        for name in ("fast_pitch", "vits")
    }
    assert chosen == {"fast_pitch": "griffin-lim", "vits": None}


# ---------------------------------------------------------------- a real vocoder

HIFI_GAN_V2 = {
    "resblock": "1",
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 128,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": 8000,
}


def test_a_real_hifi_gan_gives_a_voice_back_from_its_spectrogram(data: Path, tmp_path: Path) -> None:
    weights = Path(os.environ.get("MMCLI_WEIGHTS") or data.parent / "weights") / "hifigan-v2-ljspeech" / "model.pth"
    if not weights.is_file():
        pytest.skip("no real vocoder: MMCLI_WEIGHTS is not set and ../shared/weights is absent")
    folder = tmp_path / "hifi-gan"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(HIFI_GAN_V2))
    (folder / "generator_v2").symlink_to(weights)
    vocoder = engines.load(_card(folder, "vocoder"), RUNTIME)
    sound = np.concatenate([block.samples for block in open_audio(data / "a04.wav").blocks(22050)])
    mel = analyse(sound, vocoder.facts)
    # HiFi-GAN was trained on frames that lie half a step later than librosa's, so its sound comes half a step late.
    again = vocoder.vocode(mel).samples[vocoder.facts.hop // 2 :]
    frames = mel.values.shape[1] - 2
    error = np.abs(analyse(again, vocoder.facts).values[:, :frames] - mel.values[:, :frames]).mean()
    assert error < 0.4


# ---------------------------------------------------------------- broken folders


def _break(folder: Path, how: str, marker: Path) -> None:
    checkpoint, config = folder / "model_file.pth", folder / "config.json"
    checkpoint.unlink()
    match how:
        case "a program":
            torch.save({"model": tiny_coqui.Runs(marker)}, checkpoint)
        case "no checkpoint":
            (folder / "speakers.pth").write_bytes(b"")
        case "several checkpoints":
            (folder / "a.pth").write_bytes(b"")
            (folder / "b.pth").write_bytes(b"")
        case "not a checkpoint":
            checkpoint.write_bytes(b"<html>not found</html>")
        case "another model":
            torch.save({"model": {"layer.weight": torch.zeros(3)}}, checkpoint)
        case "no weights":
            torch.save([1, 2], checkpoint)
        case "unknown model":
            tiny_coqui.change(folder, model="fast_pich")
            checkpoint.write_bytes(b"")
        case "not json":
            config.write_text("{'a'")
            checkpoint.write_bytes(b"")
        case "no sense":
            tiny_coqui.change(folder, audio={"sample_rate": "fast"})
            checkpoint.write_bytes(b"")
        case "foreign code":
            tiny_coqui.change(folder, characters={"characters_class": "os.path.join"})
            checkpoint.write_bytes(b"")
        case "statistics that run":
            np.save(
                folder / "scale_stats.npy", np.array({"mel_mean": tiny_coqui.Runs(marker)}, object), allow_pickle=True
            )
            tiny_coqui.change(folder, audio={"stats_path": "scale_stats.npy", "signal_norm": True})
            checkpoint.write_bytes(b"")


@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        ("a program", EngineError, "could run any program"),
        ("no checkpoint", MmcliError, "model.pth"),
        ("several checkpoints", MissingModel, r"several \(a.pth, b.pth\)"),
        ("not a checkpoint", EngineError, "refused|no model that can be used"),
        ("another model", EngineError, "no model that can be used"),
        ("no weights", EngineError, "no model that can be used"),
        ("unknown model", ConfigError, 'knows no fast_pich; did you mean "fast_pitch"'),
        ("not json", EngineError, "config.json cannot be read"),
        ("no sense", EngineError, "makes no sense"),
        ("foreign code", EngineError, "not the library's"),
        ("statistics that run", EngineError, "it would run posix.system"),
    ],
)
def test_a_broken_folder_is_one_line(
    how: str, kind: type[MmcliError], told: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, marker = _copy(folders("fast_pitch"), tmp_path / "m"), tmp_path / "ran"
    _break(folder, how, marker)
    with pytest.raises(kind, match=told) as caught:
        engines.load(_card(folder), RUNTIME)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_statistics_are_read_without_running_anything(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(b"nonsense")
    folder = tiny_coqui.vocoder(tmp_path / "v", "hifigan", stats_path="scale_stats.npy", signal_norm=True)
    with pytest.raises(EngineError, match=r"needs scale_stats\.npy"):
        engines.mel_facts(_card(folder, "vocoder"))
    tiny_coqui.statistics(folder, bands=40)
    with pytest.raises(EngineError, match="40 bands"):
        engines.mel_facts(_card(folder, "vocoder"))
    assert not marker.exists()


def test_settings_and_numbers_that_it_does_not_know_are_refused(folders: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match='unknown setting "speed"'):
        engines.load(_card(folders("fast_pitch"), settings={"speed": 2}), RUNTIME)
    with pytest.raises(UsageError, match="float16"):
        engines.load(_card(folders("fast_pitch")), Runtime(compute_type="float16"))


def test_spectrograms_of_the_released_kind_fit(stage: Callable[[str], Any]) -> None:
    assert differences(stage("fast_pitch").facts, stage("hifigan").facts) == ()
    mel = Mel(np.full((80, 30), -2.0, np.float32), stage("fast_pitch").facts)
    assert converted(mel, stage("hifigan").facts).values.tolist() == mel.values.tolist()


# ---------------------------------------------------------------- pitch


def _contour(acoustic: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The normalised F0 that becomes part of what is spoken, for each sign, and the spectrogram."""
    seen: list[torch.Tensor] = []
    handle = acoustic._model.pitch_emb.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    try:
        values = acoustic.spectrogram(TEXT, SpeakOptions(**options)).values
    finally:
        handle.remove()
    (contour,) = seen
    return contour.numpy().reshape(-1), values


@pytest.mark.parametrize("name", ["fast_pitch", "fastspeech2"])
def test_pitch_moves_the_predicted_f0_and_nothing_else(name: str, stage: Callable[[str], Any]) -> None:
    plain, spectrogram = _contour(stage(name))
    same, unchanged = _contour(stage(name), pitch=1.0)
    np.testing.assert_array_equal(plain, same)
    np.testing.assert_array_equal(spectrogram, unchanged)
    for factor in (0.5, 1.2, 2.0):
        moved, changed = _contour(stage(name), pitch=factor)
        np.testing.assert_allclose(moved + 3.3, factor * (plain + 3.3), atol=1e-5)  # both in deviations from 0 Hz
        assert changed.shape == spectrogram.shape
        assert not np.allclose(changed, spectrogram, atol=1e-4)
    np.testing.assert_array_equal(_contour(stage(name))[1], spectrogram)


def test_pitch_is_in_hertz_where_the_statistics_of_training_are_there(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = _copy(folders("fast_pitch"), tmp_path / "m")
    np.save(folder / "pitch_stats.npy", {"mean": np.float32(200), "std": np.float32(40)}, allow_pickle=True)
    acoustic = engines.load(_card(folder), RUNTIME)
    plain, moved = (200 + 40 * _contour(acoustic, pitch=factor)[0] for factor in (1.0, 1.5))
    np.testing.assert_allclose(moved, 1.5 * plain, rtol=1e-4)
    for table, told in (
        ({"mean": tiny_coqui.Runs(tmp_path / "ran")}, "would run"),
        ({"mean": 1.0, "std": 0.0}, "deviation of 0"),
    ):
        np.save(folder / "pitch_stats.npy", np.array(table, object), allow_pickle=True)
        with pytest.raises(EngineError, match=told):
            engines.load(_card(folder), RUNTIME)
    assert not (tmp_path / "ran").exists()


def test_pitch_has_bounds_and_is_refused_where_none_is_predicted(stage: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match=r"the pitch goes from 0\.5 to 2, not 3"):
        stage("fast_pitch").check(SpeakOptions(pitch=3.0))
    for name in ("tacotron2", "speedy_speech", "glow_tts", "vits", "xtts"):
        with pytest.raises(UsageError, match="has no use for --pitch"):
            stage(name).check(SpeakOptions(pitch=1.2))


# ---------------------------------------------------------------- through the whole command


def test_the_command_speaks_with_a_folder_and_a_vocoder(
    mmcli: Callable[..., Any], folders: Callable[[str], Path], tmp_path: Path
) -> None:
    ended = mmcli("speak", "No. Привет.", "-m", folders("fast_pitch"), "--vocoder", folders("wavernn"), "-o", "a.wav")
    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert (tmp_path / "a.wav").stat().st_size > 500
    assert ended.notes[0].endswith("6 characters were left out, the voice does not know them: 'п' 'р' 'и' 'в' 'е', ...")
    assert len(ended.notes) == 2
    listed = mmcli("speak", "--list-voices", "-m", f"{folders('fast_pitch')}+griffin-lim")
    assert listed.code == 0, listed.err
    wrong = mmcli("speak", "Hello.", "-m", folders("fast_pitch"), "--voice", "Bob", "-o", "b.wav")
    assert wrong.code == 2
    assert len(wrong.notes) == 1
    assert not (tmp_path / "b.wav").exists()
