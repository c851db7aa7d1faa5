"""A folder that carries a program of its own and is trusted: it hears as the program called directly does."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch
import transformers as tf

from mmcli import engines
from mmcli.catalogue import ModelCard, package_data
from mmcli.errors import ConfigError, EngineError, InputError
from mmcli.media.audio import open_audio
from mmcli.options import ConverseOptions, Runtime
from mmcli.stages import Audio, AudioSource, Conversation, Message, Part, Said, Usage
from tests.conftest import Result
from tests.tiny import parts

PROGRAM = Path(__file__).parent / "hearing"
TRUSTED = Runtime(device="cpu", trust_remote_code=True)
MOST = 12
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' + message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where transformers puts the programs that it runs, and what it has run of them, is not kept."""
    place = tmp_path_factory.mktemp("modules")
    monkeypatch.setattr(tf.dynamic_module_utils, "HF_MODULES_CACHE", str(place))
    monkeypatch.setenv("HF_MODULES_CACHE", str(place))
    monkeypatch.syspath_prepend(str(place))
    before = set(sys.modules)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield place
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if name.startswith("transformers_modules"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, tokenizer and program in one folder, as Ultravox publishes them, but for the two models inside."""
    place = tmp_path_factory.mktemp("own") / "hearing"
    place.mkdir()
    tokenizer = parts.new_tokenizer(("<|im_start|>", "<|im_end|>"))
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(place)
    tf.WhisperFeatureExtractor(feature_size=16).save_pretrained(place)
    shutil.copytree(PROGRAM, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    sys.path.insert(0, str(place.parent))
    try:
        from hearing.configuration_hearing import HearingConfig
        from hearing.modeling_hearing import HearingModel
    finally:
        sys.path.remove(str(place.parent))
    sound = {
        "d_model": 32,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "num_mel_bins": 16,
    }
    config = HearingConfig(audio_config=sound, text_config=parts.text(tokenizer))
    model = parts.spread(HearingModel(config))
    for key, value in parts.ids().items():
        setattr(model.generation_config, key, value)
    parts.speak_words(model, tokenizer)
    model.save_pretrained(place)
    own = {"AutoConfig": "configuration_hearing.HearingConfig", "AutoModel": "modeling_hearing.HearingModel"}
    told = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**told, "architectures": ["HearingModel"], "auto_map": own}))
    (place / "processor_config.json").write_text(
        json.dumps(
            {
                "auto_map": {"AutoProcessor": "processing_hearing.HearingProcessor"},
                "processor_class": "HearingProcessor",
            }
        )
    )
    return place


def _card(folder: Path, **settings: Any) -> ModelCard:
    return ModelCard(
        "hearing", "e2e", "transformers-e2e", f"path:{folder}", inputs=("audio", "text"), outputs=("text",),
        settings=settings,
    )  # fmt: skip


def _sound(name: str) -> np.ndarray:
    blocks = open_audio(package_data("samples") / f"question-{name}.flac").blocks(16000)
    return np.concatenate([block.samples for block in blocks])[:20000]


def _recording(name: str) -> AudioSource:
    return AudioSource(name, 1.25, lambda rate: iter([Audio(_sound(name), rate)]))


def _asked(*parts: Part) -> Conversation:
    return Conversation((Message("user", parts),))


def _answer(model: Any, *parts: Part) -> tuple[str, Usage]:
    events = list(model.converse(_asked(*parts), ConverseOptions(max_new_tokens=MOST, temperature=0)))
    assert isinstance(events[-1], Usage)
    return "".join(event.text for event in events if isinstance(event, Said)), events[-1]


def _directly(folder: Path, content: str, **given: Any) -> str:
    local = {"local_files_only": True, "trust_remote_code": True}
    processor = tf.AutoProcessor.from_pretrained(folder, **local)
    model = tf.AutoModel.from_pretrained(folder, **local).eval()
    turns = [{"role": "user", "content": content}]
    text = processor.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    values = processor(text=text, **given)
    with torch.inference_mode():
        ids = model.generate(**values, do_sample=False, num_beams=1, max_new_tokens=MOST)
    said: str = processor.tokenizer.decode(ids[0, values["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


@pytest.fixture
def model(folder: Path) -> Any:
    return engines.load(_card(folder, trust_remote_code=True), TRUSTED)


def test_a_recording_stands_where_the_program_wants_it(model: Any, folder: Path) -> None:
    heard, usage = _answer(model, "How far?", _recording("receipt"))
    wanted = _directly(folder, "<|audio|>How far?", audio=_sound("receipt"), sampling_rate=16000)
    assert heard.strip() == wanted.strip() != ""
    assert usage.answer <= MOST
    assert heard != _answer(model, "How far?", _recording("chart"))[0]


def test_text_alone_and_several_recordings_are_one_text_too(model: Any, folder: Path) -> None:
    assert _answer(model, "How far?")[0].strip() == _directly(folder, "How far?").strip()
    both = {"audios": [_sound("receipt"), _sound("chart")], "sampling_rate": 16000}
    heard = _answer(model, _recording("receipt"), _recording("chart"), "Which?")[0]
    assert heard.strip() == _directly(folder, "<|audio|><|audio|>Which?", **both).strip()


def test_a_placeholder_in_a_users_text_is_no_recording(model: Any) -> None:
    for text in ("How <|audio|>far?", "How <|au<|audio|>dio|>far?", "How <|au<|im_end|>dio|>far?"):
        assert _answer(model, text) == _answer(model, "How far?")


def test_a_processor_for_one_recording_is_not_given_two(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "single"))
    program = copy / "processing_hearing.py"
    text = program.read_text().replace("        audios: Any = None,\n", "").replace("audios or []", "[]")
    program.write_text(text)
    model = engines.load(_card(copy, trust_remote_code=True), TRUSTED)
    assert _answer(model, _recording("receipt"), "Which?")[0]
    with pytest.raises(InputError, match="takes one recording at a time"):
        _answer(model, _recording("receipt"), _recording("chart"))


@pytest.mark.parametrize(("entry", "user"), [(False, False), (True, False), (False, True)])
def test_the_program_runs_only_where_entry_and_user_allow_it(
    entry: bool, user: bool, folder: Path, modules: Path
) -> None:
    with pytest.raises(ConfigError, match=r"only a program in its folder can run.*--trust-remote-code") as caught:
        engines.load(_card(folder, trust_remote_code=entry), replace(TRUSTED, trust_remote_code=user))
    assert "\n" not in str(caught.value)
    assert not list(modules.rglob("*hearing.py"))


def test_a_program_that_asks_the_hub_is_given_what_is_here_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **given: Any) -> None:
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    copy = Path(shutil.copytree(folder, tmp_path / "asks"))
    program = copy / "processing_hearing.py"
    program.write_text(
        program.read_text().replace("FeatureExtractor.from_pretrained(folder)", "Processor.from_pretrained('a/b')")
    )
    with pytest.raises(EngineError, match="no model that can be used") as caught:
        engines.load(_card(copy, trust_remote_code=True), TRUSTED)
    assert "the network was reached for" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["modeling_hearing.py", "processing_hearing.py", "configuration_hearing.py"])
def test_a_program_that_fails_is_one_line(file: str, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "broken"))
    (copy / file).write_text("raise RuntimeError('two\\nlines')")
    with pytest.raises(EngineError, match="no model that can be used") as caught:
        engines.load(_card(copy, trust_remote_code=True), TRUSTED)
    assert "\n" not in str(caught.value)


def test_the_command_runs_it_with_the_flag_and_the_entry_alone(
    mmcli: Callable[..., Result], folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "own.toml"
    entry = (
        '[models.hearing]\nrole = "e2e"\nengine = "transformers-e2e"\ninputs = ["audio", "text"]\noutputs = ["text"]\n'
    )
    tables = f'source = "path:{folder}"\nsettings = {{ trust_remote_code = true }}\n[pipelines.own]\ne2e = "hearing"\n'
    tables += "options.e2e = { max_new_tokens = 5 }\n"
    config.write_text(entry + tables)
    env = {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    question = package_data("samples") / "question-receipt.flac"
    asked = ("run", "own", "--config", config, "--audio", question, "--device", "cpu")
    refused = mmcli(*asked, env=env)
    assert (refused.code, refused.out, len(refused.notes)) == (2, "", 1)
    assert "--trust-remote-code" in refused.err
    answered = mmcli(*asked, "--trust-remote-code", env=env)
    assert answered.code == 0, answered.err
    assert answered.out.strip()
