"""The voices of transformers on tiny checkpoints: what is said is what the library says when it is called directly."""

from __future__ import annotations

import itertools
import json
import logging
import pickle
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nltk
import numpy as np
import pytest
import safetensors
import soundfile
import torch
import transformers as tf
import uroman

from mmcli import engines
from mmcli.catalogue import ModelCard, read_catalogue
from mmcli.engines.tts.joined import limited
from mmcli.engines.tts.transformers_tts import vits
from mmcli.engines.tts.transformers_tts.families import FAMILIES
from mmcli.errors import ConfigError, EngineError, MissingModel, MissingPackage, UsageError
from mmcli.options import Runtime, SpeakOptions
from mmcli.stages import Audio, Synthesizer
from tests.conftest import Result
from tests.engines.tts import tiny_tts

# g2p-en leaves a file open.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.usefixtures("dictionary", "one_thread"),
]

TEXT = "How far is the harbour?"
SEEDED = SpeakOptions(seed=7)
# These draw nothing at random.
CERTAIN = {"FastSpeech2ConformerWithHifiGan"}
PACED = ("VitsModel", "FastSpeech2ConformerWithHifiGan")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **given: Any) -> None:
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a checkpoint, built once."""
    built: dict[str, Path] = {}

    def folder(name: str, **given: Any) -> Path:
        key = f"{name} {given}"
        if key not in built:
            built[key] = tmp_path_factory.mktemp("tiny")
            tiny_tts.build(name, built[key], **given)
        return built[key]

    return folder


@pytest.fixture(scope="module")
def voice_of(folder_of: Callable[..., Path]) -> Callable[..., Any]:
    """The loaded engine on a checkpoint, loaded once."""
    loaded: dict[str, Any] = {}

    def voice(name: str, **given: Any) -> Any:
        key = f"{name} {given}"
        if key not in loaded:
            loaded[key] = engines.load(_card(folder_of(name, **given)))
        return loaded[key]

    return voice


def _card(folder: Path, **given: Any) -> ModelCard:
    return ModelCard("tiny", "tts", "transformers-tts", f"path:{folder}", **given)


def _said(voice: Any, text: str = TEXT, options: SpeakOptions = SEEDED) -> np.ndarray:
    blocks: list[Audio] = list(voice.speak(iter([text]), options))
    return np.concatenate([block.samples for block in blocks]) if blocks else np.zeros(0, np.float32)


# ---------------------------------------------------------------- the library called directly


def _vits(folder: Path) -> torch.Tensor:
    given = tf.VitsTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt")
    model = tf.VitsModel.from_pretrained(folder)
    torch.manual_seed(7)
    return model(**given).waveform[0]


def _fastspeech2(folder: Path) -> torch.Tensor:
    given = tf.FastSpeech2ConformerTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt")
    model = tf.FastSpeech2ConformerWithHifiGan.from_pretrained(folder)
    return model(given["input_ids"], return_dict=True).waveform[0]


def _bark(folder: Path) -> torch.Tensor:
    given = tf.BarkProcessor.from_pretrained(folder)(TEXT, voice_preset="v2/en_speaker_6")
    model = tf.BarkModel.from_pretrained(folder)
    torch.manual_seed(7)
    return model.generate(**given)[0]


def _csm(folder: Path) -> torch.Tensor:
    given = tf.CsmProcessor.from_pretrained(folder)(f"[0]{TEXT}", add_special_tokens=True)
    model = tf.CsmForConditionalGeneration.from_pretrained(folder)
    torch.manual_seed(7)
    return model.generate(**given, output_audio=True, max_new_tokens=25 + 3 * len(TEXT))[0]


def _dia(folder: Path) -> torch.Tensor:
    processor = tf.DiaProcessor(
        tf.DiaFeatureExtractor.from_pretrained(folder),
        tf.DiaTokenizer.from_pretrained(folder),
        tf.DacModel.from_pretrained(folder / "codec"),
    )
    model = tf.DiaForConditionalGeneration.from_pretrained(folder)
    given = processor(text=[f"[S1] {TEXT}"], padding=False)
    torch.manual_seed(7)
    frames = int((2.0 + 0.2 * len(TEXT)) * 44100 / 8**4)
    return processor.batch_decode(model.generate(**given, max_new_tokens=frames))[0]


DIRECTLY: dict[str, Callable[[Path], torch.Tensor]] = {
    "VitsModel": _vits,
    "FastSpeech2ConformerWithHifiGan": _fastspeech2,
    "BarkModel": _bark,
    "CsmForConditionalGeneration": _csm,
    "DiaForConditionalGeneration": _dia,
}


def test_every_family_is_tried_and_can_be_pulled() -> None:
    from mmcli.families import FAMILIES as PULLED

    assert {*DIRECTLY, "SpeechT5ForTextToSpeech", "FastSpeech2ConformerModel"} == set(FAMILIES)
    assert set(FAMILIES) <= {name for name, family in PULLED.items() if family.engine == "transformers-tts"}


@pytest.mark.parametrize("name", DIRECTLY)
def test_it_says_what_the_library_says(name: str, folder_of: Any, voice_of: Any) -> None:
    voice = voice_of(name)
    assert isinstance(voice, Synthesizer)
    with torch.inference_mode():
        wanted = limited(DIRECTLY[name](folder_of(name)).float().numpy().reshape(-1))
    (block,) = voice.speak(iter([TEXT]), SEEDED)
    assert block.samples.dtype == np.float32
    assert block.rate == voice.rate
    assert 0 < np.abs(block.samples).max() <= 1
    np.testing.assert_allclose(block.samples, wanted, atol=1e-5)


@pytest.mark.parametrize("name", DIRECTLY)
def test_a_seed_and_the_text_decide_what_is_heard(name: str, voice_of: Any) -> None:
    voice = voice_of(name)
    state = torch.get_rng_state()
    first = _said(voice, "The harbour.")
    assert torch.equal(state, torch.get_rng_state())
    after = list(voice.speak(iter(["How far?", "The harbour."]), SEEDED))[-1].samples
    np.testing.assert_array_equal(first, after)
    assert not _alike(first, _said(voice, "How far is the far harbour?"))
    other = _said(voice, "The harbour.", SpeakOptions(seed=8))
    assert _alike(first, other) == (name in CERTAIN)


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) == len(other) and np.allclose(one, other, atol=1e-6)


def test_without_a_seed_it_is_another_one_each_time_but_one_within_a_text(voice_of: Any) -> None:
    voice = voice_of("VitsModel")
    blocks = list(voice.speak(iter([TEXT, TEXT]), SpeakOptions()))
    np.testing.assert_array_equal(blocks[0].samples, blocks[1].samples)
    assert not _alike(blocks[0].samples, _said(voice, TEXT, SpeakOptions()))


@pytest.mark.parametrize("name", DIRECTLY)
def test_speed_is_honoured_or_refused(name: str, voice_of: Any) -> None:
    voice = voice_of(name)
    if name not in PACED:
        with pytest.raises(UsageError, match="no use for --speed"):
            voice.speak(iter([TEXT]), SpeakOptions(speed=1.5))
        return
    own = len(_said(voice))
    assert len(_said(voice, options=SpeakOptions(seed=7, speed=2.0))) < 0.75 * own
    assert len(_said(voice, options=SpeakOptions(seed=7, speed=0.5))) > 1.4 * own
    assert len(_said(voice)) == own
    for speed in (0.1, 9.0, float("nan")):
        with pytest.raises(UsageError, match=r"the speed goes from 0.25 to 4"):
            voice.speak(iter([TEXT]), SpeakOptions(speed=speed))


# ---------------------------------------------------------------- voices and languages


@pytest.mark.parametrize("name", PACED)
def test_speakers_are_numbered_and_differ(name: str, voice_of: Any) -> None:
    voice = voice_of(name, speakers=3)
    assert [each.name for each in voice.voices()] == ["0", "1", "2"]
    first, second = (_said(voice, options=SpeakOptions(seed=7, voice=number)) for number in ("0", "1"))
    np.testing.assert_array_equal(first, _said(voice))
    assert not _alike(first, second)
    with pytest.raises(UsageError, match='has no voice "3"'):
        voice.speak(iter([TEXT]), SpeakOptions(voice="3"))


def test_the_presets_of_bark_are_those_whose_files_are_here(voice_of: Any) -> None:
    voice = voice_of("BarkModel")
    assert [(each.name, each.language) for each in voice.voices()] == [
        ("v2/en_speaker_6", "en"),
        ("de_speaker_0", "de"),
    ]
    german = _said(voice, options=SpeakOptions(seed=7, language="de"))
    np.testing.assert_array_equal(german, _said(voice, options=SpeakOptions(seed=7, voice="de_speaker_0")))
    assert not _alike(german, _said(voice))
    with pytest.raises(UsageError, match='does not speak the language "fr"'):
        voice.speak(iter([TEXT]), SpeakOptions(language="fr"))
    with pytest.raises(UsageError, match='the language "en" with the voice "de_speaker_0"'):
        voice.speak(iter([TEXT]), SpeakOptions(language="en", voice="de_speaker_0"))


def test_bark_without_presets_takes_any_voice(voice_of: Any) -> None:
    voice = voice_of("BarkModel", presets=False)
    assert [each.name for each in voice.voices()] == ["any"]
    assert len(_said(voice)) > 1000


@pytest.mark.parametrize("name", ["CsmForConditionalGeneration", "DiaForConditionalGeneration"])
def test_the_speakers_of_a_dialogue_differ(name: str, voice_of: Any) -> None:
    voice = voice_of(name)
    first, second = (each.name for each in voice.voices())
    assert not _alike(
        _said(voice, "Yes.", SpeakOptions(seed=7, voice=first)),
        _said(voice, "Yes.", SpeakOptions(seed=7, voice=second)),
    )


def test_csm_is_read_from_beside_the_weights_of_its_makers(folder_of: Any, voice_of: Any, tmp_path: Path) -> None:
    folder = tmp_path / "csm"
    shutil.copytree(folder_of("CsmForConditionalGeneration"), folder)
    shard, index = "transformers-00001-of-00001.safetensors", "transformers.safetensors.index.json"
    (folder / "model.safetensors").rename(folder / shard)
    with safetensors.safe_open(folder / shard, "pt") as weights:
        where = {"metadata": {}, "weight_map": dict.fromkeys(weights.keys(), shard)}
    (folder / index).write_text(json.dumps(where), encoding="utf-8")
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": index}), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"of another program")
    assert _alike(_said(engines.load(_card(folder)), "Yes."), _said(voice_of("CsmForConditionalGeneration"), "Yes."))


def test_a_language_is_one_that_the_model_speaks(folder_of: Any) -> None:
    folder = folder_of("VitsModel")
    for card, code, good in (
        (_card(folder), "en", True),  # its tokenizer says "eng"
        (_card(folder), "fr", False),
        (_card(folder, languages=("fr",)), "fr-CA", True),
        (_card(folder, languages=("fr",)), "de", False),
    ):
        voice = engines.load(card)
        if good:
            assert len(_said(voice, options=SpeakOptions(seed=7, language=code)))
        else:
            with pytest.raises(UsageError, match=f'does not speak the language "{code}"'):
                voice.speak(iter([TEXT]), SpeakOptions(language=code))


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize("text", ["", "  ", "...", "🙂", "\x00", "\u200b"])
@pytest.mark.parametrize("name", DIRECTLY)
def test_text_without_words_is_passed_over(name: str, text: str, voice_of: Any) -> None:
    assert len(_said(voice_of(name), text)) == 0


@pytest.mark.parametrize("name", PACED)
def test_letters_without_a_sign_are_left_out_and_told(
    name: str, voice_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    voice = voice_of(name)
    with caplog.at_level(logging.WARNING, "mmcli"):
        assert len(_said(voice, "Привет, мир!")) == 0
        (told,) = caplog.messages
        assert told.startswith("9 characters were left out, the voice does not know them: ")
        caplog.clear()
        blocks = list(voice.speak(iter(["How far?", "Да", "The harbour."]), SEEDED))
        assert len(blocks) == 2
        assert len(caplog.messages) == 1
        caplog.clear()
        _said(voice, "How far is the harbour?")
        assert caplog.messages == []


def test_a_megabyte_on_one_line_is_said_in_pieces_as_they_come(voice_of: Any) -> None:
    voice = voice_of("VitsModel")
    blocks = voice.speak(iter(["how far is the harbour, " * 43_000]), SEEDED)
    pieces = list(itertools.islice(blocks, 2))
    assert all(0 < piece.seconds < 120 for piece in pieces)
    blocks.close()


def test_the_first_sound_comes_before_the_second_sentence_and_closing_closes(voice_of: Any) -> None:
    asked: list[int] = []
    closed: list[bool] = []

    def sentences() -> Iterator[str]:
        try:
            for number in itertools.count():
                asked.append(number)
                yield "How far?"
        finally:
            closed.append(True)

    blocks = voice_of("VitsModel").speak(sentences(), SEEDED)
    assert next(blocks).seconds > 0
    assert asked == [0]
    blocks.close()
    assert closed == [True]


def test_roman_letters_are_made_of_other_scripts(voice_of: Any, folder_of: Any, caplog: Any) -> None:
    voice = voice_of("VitsModel", uroman=True)
    folder = folder_of("VitsModel", uroman=True)
    text = "Привет, Ёлка!"
    given = tf.VitsTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    model = tf.VitsModel.from_pretrained(folder)
    with torch.inference_mode():
        torch.manual_seed(7)
        wanted = model(**given).waveform[0].numpy()
    with caplog.at_level(logging.WARNING, "mmcli"):
        np.testing.assert_allclose(_said(voice, text), limited(wanted), atol=1e-5)
    assert uroman.Uroman().romanize_string("Привет") == "Privet"
    assert caplog.messages == []


def test_phonemes_are_made_with_the_espeak_that_is_here(folder_of: Any) -> None:
    folder = folder_of("VitsModel", phonemes=True)
    voice = engines.load(_card(folder))
    given = tf.VitsTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt")
    model = tf.VitsModel.from_pretrained(folder)
    with torch.inference_mode():
        torch.manual_seed(7)
        wanted = model(**given).waveform[0].numpy()
    assert given["input_ids"].shape[1] > 30
    np.testing.assert_allclose(_said(voice), limited(wanted), atol=1e-5)


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("package, given", [("uroman", {"uroman": True}), ("phonemizer", {"phonemes": True})])
def test_a_package_that_a_voice_needs_is_named(
    package: str, given: dict[str, Any], folder_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = vits.find_spec
    monkeypatch.setattr(vits, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(MissingPackage, match=f"needs the Python package {package}; pip install {package}"):
        engines.load(_card(folder_of("VitsModel", **given)))


def test_a_dictionary_that_is_not_here_is_named_and_not_fetched(
    folder_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = folder_of("FastSpeech2ConformerWithHifiGan")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(MissingPackage, match=r"python -m nltk\.downloader cmudict averaged_perceptron_tagger"):
        engines.load(_card(folder))


def test_options_that_make_no_sense_are_refused_at_once(folder_of: Any, voice_of: Any) -> None:
    voice = voice_of("VitsModel")
    for options, why in (
        (SpeakOptions(pitch=1.2), "no use for --pitch"),
        (SpeakOptions(seed=-1), "the seed goes from 0"),
        (SpeakOptions(seed=1 << 70), "the seed goes from 0"),
    ):
        with pytest.raises(UsageError, match=why):
            voice.speak(iter([TEXT]), options)
    card = _card(folder_of("VitsModel"))
    with pytest.raises(UsageError, match="--compute-type float16 makes noise"):
        engines.load(card, Runtime(compute_type="float16"))
    with pytest.raises(UsageError, match="--compute-type int8 is not for"):
        engines.load(card, Runtime(compute_type="int8"))


def test_half_precision_is_heard_where_a_model_can(folder_of: Any) -> None:
    voice = engines.load(
        _card(folder_of("CsmForConditionalGeneration")), Runtime(compute_type="bfloat16", device="cpu")
    )
    sound = _said(voice, "Yes.")
    assert sound.dtype == np.float32
    assert 0 < np.abs(sound).max() <= 1


def _damaged(folder: Path, target: Path) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_folders_that_cannot_be_used_are_one_line(folder_of: Any, tmp_path: Path) -> None:
    whole = folder_of("VitsModel")
    cut = _damaged(whole, tmp_path / "cut")
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    pickled = _damaged(whole, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    strange = _damaged(whole, tmp_path / "strange")
    (strange / "config.json").write_text(json.dumps({"architectures": ["VitsModle"]}))
    deaf = _damaged(whole, tmp_path / "deaf")
    (deaf / "vocab.json").unlink()
    lost = _damaged(folder_of("DiaForConditionalGeneration"), tmp_path / "lost")
    for card, kind, why in (
        (_card(cut), EngineError, "is no model that can be used"),
        (_card(pickled), MissingModel, "its weights are pickles"),
        (_card(strange), ConfigError, 'knows no VitsModle; did you mean "VitsModel"'),
        (_card(deaf), (EngineError, MissingModel), "tiny"),
        (_card(whole, settings={"codec": "x"}), ConfigError, 'unknown setting "codec"; VitsModel has no settings'),
        (_card(lost), MissingModel, "needs its codec hf:descript/dac_44khz.*; mmcli models pull hf:descript/dac_44khz"),
        (_card(lost, settings={"codec": str(tmp_path / "no")}), MissingModel, "needs its codec path:.*correct"),
        (_card(lost, settings={"codec": 5}), ConfigError, "setting codec cannot be 5"),
    ):
        with pytest.raises(kind, match=why) as caught:
            engines.load(card)
        assert "\n" not in str(caught.value)


def test_the_codec_of_dia_may_lie_elsewhere(folder_of: Any, tmp_path: Path) -> None:
    folder = folder_of("DiaForConditionalGeneration")
    alone = _damaged(folder, tmp_path / "alone")
    voice = engines.load(_card(alone, settings={"codec": str(folder / "codec")}))
    assert len(_said(voice, "Yes.")) > 1000


# ---------------------------------------------------------------- the command


def test_the_command_speaks_with_a_folder(mmcli: Callable[..., Result], folder_of: Any, tmp_path: Path) -> None:
    folder = folder_of("VitsModel", speakers=3)
    card = read_catalogue().model(str(folder), "tts")
    assert card.engine == "transformers-tts"
    out = tmp_path / "reply.wav"
    ended = mmcli("speak", TEXT, "-m", folder, "-o", out, "--seed", 7, "--voice", "2", "--language", "en")
    assert (ended.code, ended.out) == (0, "")
    assert len(ended.notes) == 1
    samples, rate = soundfile.read(out, dtype="float32")
    own = _said(engines.load(card), options=SpeakOptions(seed=7, voice="2"))
    assert rate == 16000
    np.testing.assert_allclose(samples, own, atol=1e-3)
    unsaid = mmcli("speak", "Привет", "-m", folder, "-o", tmp_path / "no.wav")
    assert unsaid.code != 0
    assert not (tmp_path / "no.wav").exists()
