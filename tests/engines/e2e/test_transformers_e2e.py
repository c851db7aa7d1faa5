"""The end-to-end families of transformers: each on a tiny checkpoint, against the library called directly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch
import transformers as tf

from mmcli import engines, families
from mmcli.catalogue import ModelCard, package_data
from mmcli.engines.e2e.transformers_e2e.engine import TransformersSpeechModel
from mmcli.engines.e2e.transformers_e2e.families import FAMILIES
from mmcli.errors import ConfigError, EngineError, InputError, MissingModel, MmcliError, UsageError
from mmcli.media.audio import open_audio
from mmcli.media.image import open_image
from mmcli.options import ConverseOptions, Runtime
from mmcli.stages import Audio, AudioSource, Conversation, Message, Part, Said, SpeechModel, Spoke, Usage
from tests.engines.e2e import tiny

NAMES = list(tiny.BUILDERS)
WRITES = [name for name in NAMES if name not in ("SpeechT5ForSpeechToSpeech", "MoshiForConditionalGeneration")]
SPEAKS = ["SeamlessM4Tv2Model", "MoshiForConditionalGeneration", "SpeechT5ForSpeechToSpeech"]
CHATS = [name for name in NAMES if FAMILIES[name].instructed]
MOST = 16


@dataclass(frozen=True)
class Zoo:
    """Folders and loaded engines by architecture, each built once."""

    root: Path
    loaded: dict[str, TransformersSpeechModel]

    def folder(self, name: str) -> Path:
        folder = self.root / name
        if not folder.exists():
            folder.mkdir()
            tiny.build(name, folder)
        return folder

    def card(self, name: str, **given: Any) -> ModelCard:
        folder = self.folder(name)
        family = families.recognise_folder(folder, role="e2e")
        assert family is not None
        settings = {"vocoder": f"path:{folder}-vocoder"} if name.startswith("SpeechT5") else {}
        card = ModelCard(
            "tiny", "e2e", family.engine, f"path:{folder}",
            inputs=family.inputs, outputs=family.outputs, settings=settings,
        )  # fmt: skip
        return replace(card, **given)

    def engine(self, name: str) -> TransformersSpeechModel:
        if name not in self.loaded:
            self.loaded[name] = engines.load(self.card(name), Runtime(device="cpu"))
        return self.loaded[name]

    def options(self, name: str, **given: Any) -> ConverseOptions:
        own: dict[str, Any] = {"max_new_tokens": MOST}
        if name.startswith("Seamless"):
            own["target_language"] = "fr"
        if name.startswith("SpeechT5"):
            voice = self.root / "voice.npy"
            np.save(voice, np.random.default_rng(0).normal(size=24).astype(np.float32))
            own = {"speaker": str(voice)}
        return ConverseOptions(**{**own, **given})


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    tf.logging.disable_progress_bar()
    tf.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Zoo(tmp_path_factory.mktemp("end-to-end"), {})
    torch.set_num_threads(threads)


def _sound(name: str, rate: int, seconds: float = 1.2) -> np.ndarray:
    blocks = open_audio(package_data("samples") / f"question-{name}.flac").blocks(rate)
    return np.concatenate([block.samples for block in blocks])[: int(seconds * rate)]


def _recording(name: str = "receipt") -> AudioSource:
    return AudioSource(name, 1.2, lambda rate: iter([Audio(_sound(name, rate), rate)]))


def _asked(*parts: Part) -> Conversation:
    return Conversation((Message("user", parts),))


def _answer(model: TransformersSpeechModel, conversation: Conversation, options: ConverseOptions) -> tuple[str, Any]:
    events = list(model.converse(conversation, options))
    blocks = [event.audio.samples for event in events if isinstance(event, Spoke)]
    text = "".join(event.text for event in events if isinstance(event, Said))
    return text, np.concatenate(blocks) if blocks else None


def _question(name: str) -> tuple[Part, ...]:
    """Sound, and a text where the model answers about it."""
    return (_recording(), "what is it") if FAMILIES[name].instructed else (_recording(),)


# ---------------------------------------------------------------- the library called directly


def _direct_seamless(folder: Path) -> tuple[str, Any]:
    model = tf.SeamlessM4Tv2Model.from_pretrained(folder)
    processor = tf.SeamlessM4TProcessor.from_pretrained(folder)
    values = processor(audio=_sound("receipt", 16000), sampling_rate=16000, return_tensors="pt")
    made = model.generate(**values, tgt_lang="fra", text_max_new_tokens=MOST, return_intermediate_token_ids=True)
    text = processor.tokenizer.decode(made.sequences[0], skip_special_tokens=True)
    return text, made.waveform.detach().reshape(-1)[: int(made.waveform_lengths)].numpy()


def _written(model: Any, processor: Any, values: Any) -> tuple[str, Any]:
    ids = model.generate(**values, max_new_tokens=MOST)[0, values["input_ids"].shape[1] :]
    return processor.tokenizer.decode(ids, skip_special_tokens=True), None


def _direct_qwen2_audio(folder: Path) -> tuple[str, Any]:
    processor = tf.AutoProcessor.from_pretrained(folder)
    asked = [{"type": "audio", "audio_url": "x"}, {"type": "text", "text": "what is it"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=False
    )
    values = processor(text=text, audio=[_sound("receipt", 16000)], sampling_rate=16000, return_tensors="pt")
    return _written(tf.Qwen2AudioForConditionalGeneration.from_pretrained(folder), processor, values)


def _direct_granite(folder: Path) -> tuple[str, Any]:
    processor = tf.AutoProcessor.from_pretrained(folder)
    text = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": "<|audio|>what is it"}], add_generation_prompt=True, tokenize=False
    )
    values = processor(text=text, audio=_sound("receipt", 16000), return_tensors="pt")
    return _written(tf.GraniteSpeechForConditionalGeneration.from_pretrained(folder), processor, values)


def _direct_voxtral(folder: Path) -> tuple[str, Any]:
    # What mistral-common 1.9 makes of one recording under 30 s and "what is it" with this tokenizer.
    ids = [1, 3, 25, *[24] * 375, *(100 + letter for letter in b"what is it"), 4]
    extractor = tf.WhisperFeatureExtractor.from_pretrained(folder)
    sound = np.pad(_sound("receipt", 16000), (0, 480000))[:480000]
    features = extractor(sound, sampling_rate=16000, return_tensors="pt").input_features
    model = tf.VoxtralForConditionalGeneration.from_pretrained(folder)
    made = model.generate(input_ids=torch.tensor([ids]), input_features=features, max_new_tokens=MOST)[0, len(ids) :]
    return bytes(int(id) - 100 for id in made).decode(), None


def _direct_moshi(folder: Path) -> tuple[str, Any]:
    model = tf.MoshiForConditionalGeneration.from_pretrained(folder)
    sound = torch.from_numpy(_sound("receipt", 24000))[None, None]
    values = {"user_input_values": sound, "moshi_input_values": torch.zeros_like(sound)}
    made = model.generate(**values, input_ids=torch.full((1, 15), 3), max_new_tokens=MOST)
    words = tf.AutoTokenizer.from_pretrained(folder)
    text = words.decode([id for id in made.sequences[0, -MOST:].tolist() if id not in (0, 3)])
    return text, made.audio_sequences[0, 0, sound.shape[-1] :].detach().numpy().clip(-1, 1)


def _direct_speecht5(folder: Path) -> tuple[str, Any]:
    model = tf.SpeechT5ForSpeechToSpeech.from_pretrained(folder)
    vocoder = tf.SpeechT5HifiGan.from_pretrained(f"{folder}-vocoder")
    values = tf.SpeechT5FeatureExtractor.from_pretrained(folder)(
        audio=_sound("receipt", 16000), sampling_rate=16000, return_tensors="pt"
    )
    voice = np.random.default_rng(0).normal(size=24).astype(np.float32)
    vector = torch.nn.functional.normalize(torch.from_numpy(voice)[None])
    return "", model.generate_speech(values["input_values"], vector, vocoder=vocoder).detach().numpy()


def _direct_omni(folder: Path) -> tuple[str, Any]:
    processor = tf.AutoProcessor.from_pretrained(folder)
    asked = [{"type": "audio", "audio": "x"}, {"type": "text", "text": "what is it"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=False
    )
    values = processor(text=text, audio=[_sound("receipt", 16000)], sampling_rate=16000, return_tensors="pt")
    return _written(tf.Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(folder), processor, values)


DIRECT: dict[str, Callable[[Path], tuple[str, Any]]] = {
    "SeamlessM4Tv2Model": _direct_seamless,
    "Qwen2AudioForConditionalGeneration": _direct_qwen2_audio,
    "GraniteSpeechForConditionalGeneration": _direct_granite,
    "VoxtralForConditionalGeneration": _direct_voxtral,
    "MoshiForConditionalGeneration": _direct_moshi,
    "SpeechT5ForSpeechToSpeech": _direct_speecht5,
    "Qwen2_5OmniForConditionalGeneration": _direct_omni,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_that_of_the_library(name: str, zoo: Zoo) -> None:
    model = zoo.engine(name)
    assert isinstance(model, SpeechModel)
    options = (
        replace(zoo.options(name), temperature=0) if "temperature" in FAMILIES[name].honours else zoo.options(name)
    )
    text, sound = _answer(model, _asked(*_question(name)), options)
    wanted, heard = DIRECT[name](zoo.folder(name))
    assert text == wanted
    assert text or sound is not None
    if heard is not None:
        np.testing.assert_allclose(sound, heard, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_another_recording_has_another_answer(name: str, zoo: Zoo) -> None:
    first, second = (
        _answer(zoo.engine(name), _asked(_recording(which), *_question(name)[1:]), zoo.options(name))
        for which in ("receipt", "sign")
    )
    differs = first[1] is not None and (len(first[1]) != len(second[1]) or not np.allclose(first[1], second[1]))
    assert first[0] != second[0] or differs


# ---------------------------------------------------------------- streaming, several parts


@pytest.mark.parametrize("name", WRITES)
def test_text_comes_while_it_is_written_and_closing_ends_it(name: str, zoo: Zoo) -> None:
    model = zoo.engine(name)
    options = replace(zoo.options(name), max_new_tokens=2000 if FAMILIES[name].instructed else 200)
    with closing(model.converse(_asked(*_question(name)), options)) as events:
        first = next(event for event in events)
    assert isinstance(first, Said)
    # The lock is free again, and the next answer is whole.
    assert list(model.converse(_asked(*_question(name)), zoo.options(name)))


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_counts_tokens_and_knows_system_and_earlier_turns(name: str, zoo: Zoo) -> None:
    model, options = zoo.engine(name), zoo.options(name, temperature=0.0)
    before = (Message("system", ("say red",)), Message("user", (_recording("sign"), "and this")))
    told = Conversation((*before, Message("assistant", ("a boat",)), Message("user", _question(name))))
    alone, later = (
        next(event for event in model.converse(asked, options) if isinstance(event, Usage))
        for asked in (_asked(*_question(name)), told)
    )
    assert later.prompt > alone.prompt
    assert 0 < later.answer <= MOST


def test_an_answer_ends_before_a_stop_string(zoo: Zoo) -> None:
    name = "Qwen2AudioForConditionalGeneration"
    asked, options = _asked(*_question(name)), zoo.options(name, temperature=0.0)
    whole, _ = _answer(zoo.engine(name), asked, options)
    stop = whole.split()[3]
    cut, _ = _answer(zoo.engine(name), asked, replace(options, stop=(stop,)))
    assert cut == whole[: whole.index(stop)]


def test_a_picture_goes_along(zoo: Zoo, tmp_path: Path) -> None:
    name = "Qwen2_5OmniForConditionalGeneration"
    answers = []
    for colour in ("red", "blue"):
        file = tmp_path / f"{colour}.png"
        PIL.Image.new("RGB", (56, 56), colour).save(file)
        asked = _asked(open_image(file), *_question(name))
        answers.append(_answer(zoo.engine(name), asked, zoo.options(name, temperature=0.0))[0])
    assert answers[0] != answers[1]


def test_a_talker_says_what_its_thinker_writes(zoo: Zoo, tmp_path: Path) -> None:
    torch.manual_seed(1)
    tiny.omni(tmp_path, talker=True)
    name = "Qwen2_5OmniForConditionalGeneration"
    model = engines.load(zoo.card(name, source=f"path:{tmp_path}"), Runtime(device="cpu"))
    options = zoo.options(name, max_new_tokens=2, temperature=0.0, seed=3, speaker="Chelsie")
    events = list(model.converse(_asked(*_question(name)), options))
    assert [type(event) for event in events][-2:] == [Spoke, Usage]
    assert isinstance(events[0], Said)
    assert isinstance(events[-2], Spoke)
    assert events[-2].audio.rate == 24000
    assert events[-2].audio.seconds > 0.1
    (tmp_path / "spk_dict.pt").write_bytes(b"no voices")
    with pytest.raises(EngineError, match="no model that can be used"):
        engines.load(zoo.card(name, source=f"path:{tmp_path}"), Runtime(device="cpu"))


def test_text_and_speech_are_translated_in_writing_and_sound(zoo: Zoo) -> None:
    name = "SeamlessM4Tv2Model"
    model, options = zoo.engine(name), zoo.options(name, source_language="en")
    text, sound = _answer(model, _asked("which one is larger"), options)
    assert text
    assert len(sound)
    # Of the languages that it writes, German is one that this one does not speak.
    text, sound = _answer(model, _asked(_recording()), replace(options, target_language="de"))
    assert text
    assert sound is None


def test_an_entry_that_gives_text_alone_makes_no_sound(zoo: Zoo) -> None:
    name = "SeamlessM4Tv2Model"
    model = engines.load(zoo.card(name, outputs=("text",)), Runtime(device="cpu"))
    text, sound = _answer(model, _asked(_recording()), zoo.options(name))
    assert text == _answer(zoo.engine(name), _asked(_recording()), zoo.options(name))[0]
    assert sound is None


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("SeamlessM4Tv2Model", {"target_language": None}, "give --to CODE"),
        ("SeamlessM4Tv2Model", {"target_language": "xx"}, 'knows no language "xx"'),
        ("SeamlessM4Tv2Model", {"speaker": "Ann"}, 'are 0 to 199, not "Ann"'),
        ("SeamlessM4Tv2Model", {"schema": "{}"}, "no use for --schema"),
        ("SpeechT5ForSpeechToSpeech", {"speaker": None}, "x-vector of 24 numbers"),
        ("SpeechT5ForSpeechToSpeech", {"speaker": __file__}, "no .npy file"),
        ("SpeechT5ForSpeechToSpeech", {"speaker": "/nowhere.npy"}, "cannot be read"),
        ("Qwen2AudioForConditionalGeneration", {"temperature": -1.0}, "is from 0 to 100"),
        ("Qwen2AudioForConditionalGeneration", {"target_language": "fr"}, "no use for --target-language"),
        ("Qwen2_5OmniForConditionalGeneration", {"speaker": "Ethan"}, "has no voice"),
    ],
)
def test_options_that_make_no_sense_are_one_line(name: str, given: dict[str, Any], message: str, zoo: Zoo) -> None:
    with pytest.raises(MmcliError) as caught:
        list(zoo.engine(name).converse(_asked(*_question(name)), zoo.options(name, **given)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NAMES if not FAMILIES[name].instructed])
def test_a_translator_refuses_instructions_and_examples(name: str, zoo: Zoo) -> None:
    model, options = zoo.engine(name), zoo.options(name)
    for before in (Message("system", ("be brief",)), Message("assistant", ("yes",))):
        with pytest.raises(UsageError, match=r"--system|no examples"):
            list(model.converse(Conversation((before, Message("user", (_recording(),)))), options))


def test_a_picture_is_refused_where_none_is_taken(zoo: Zoo, red: Path) -> None:
    name = "Qwen2AudioForConditionalGeneration"
    with pytest.raises(InputError, match="takes no image"):
        list(zoo.engine(name).converse(_asked(open_image(red)), zoo.options(name)))


def test_no_sound_at_all_is_refused_where_speech_is_answered(zoo: Zoo) -> None:
    nothing = AudioSource("nothing", 0.0, lambda rate: iter([Audio(np.zeros(0, np.float32), rate)]))
    with pytest.raises(InputError, match="answers speech"):
        list(zoo.engine("MoshiForConditionalGeneration").converse(_asked(nothing), ConverseOptions()))


def test_folders_that_cannot_be_used_are_one_line(zoo: Zoo, tmp_path: Path) -> None:
    name = "Qwen2AudioForConditionalGeneration"
    folder = tmp_path / "copy"
    shutil.copytree(zoo.folder(name), folder)
    card = zoo.card(name, source=f"path:{folder}")
    with pytest.raises(UsageError, match="--quantize"):
        engines.load(card, Runtime(quantize="int4"))
    with pytest.raises(ConfigError, match='unknown setting "speker"'):
        engines.load(replace(card, settings={"speker": "x"}), Runtime())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["OwnSpeech"]}))
    with pytest.raises(ConfigError, match="knows no OwnSpeech"):
        engines.load(card, Runtime())
    own = {**config, "architectures": ["OwnSpeech"], "auto_map": {"AutoModel": "own.OwnSpeech"}}
    (folder / "config.json").write_text(json.dumps(own))
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    for settings, trusts in (({}, True), ({"trust_remote_code": True}, False)):
        with pytest.raises(ConfigError, match="none is run unasked"):
            engines.load(replace(card, settings=settings), Runtime(trust_remote_code=trusts))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EngineError, match="no model that can be used"):
        engines.load(card, Runtime(device="cpu"))


def test_a_voice_converter_needs_its_vocoder(zoo: Zoo) -> None:
    card = zoo.card("SpeechT5ForSpeechToSpeech")
    with pytest.raises(ConfigError, match=r"needs settings\.vocoder"):
        engines.load(replace(card, settings={}), Runtime(device="cpu"))
    with pytest.raises(MissingModel, match="no/where"):
        engines.load(replace(card, settings={"vocoder": "path:/no/where"}), Runtime(device="cpu"))
    with pytest.raises(MissingModel, match=r"mmcli models pull hf:nobody/none"):
        engines.load(replace(card, settings={"vocoder": "hf:nobody/none"}), Runtime(device="cpu"))


def test_both_tables_of_families_name_the_same() -> None:
    known = {name for name, family in families.FAMILIES.items() if family.role == "e2e"}
    assert known | {name for name, role in families.SECOND if role == "e2e"} == set(FAMILIES)
    assert set(tiny.BUILDERS) <= set(FAMILIES)
