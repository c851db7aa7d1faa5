"""Answers by a real server, `transformers serve`, with tiny real models; what it says is what the library itself says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
import transformers as tf

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.engines.served import ServedError
from mmcli.errors import EngineError, UsageError
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions
from mmcli.stages import Backbone, Conversation, Message, Part, Usage, Video
from tests.engines.backbone import tiny_chat

pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")

GREEDY = AnswerOptions(max_new_tokens=8, temperature=0.0)
QUESTION = "What lies beside the wall?"


@dataclass(frozen=True)
class Served:
    url: str
    text: Path
    llava: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests, with a Llama and a LLaVA in folders."""
    home = tmp_path_factory.mktemp("served")
    (home / "hf" / "hub").mkdir(parents=True)
    text, llava = tiny_chat.text(home / "text"), tiny_chat.llava(home / "llava")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (home / "log").open("wb")
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--device", "cpu"]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf"), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", server)
        yield Served(f"http://127.0.0.1:{port}/v1", text, llava)
    finally:
        server.terminate()
        server.wait()
        log.close()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert server.poll() is None, "the server ended by itself"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server did not start")


@pytest.fixture
def card(served: Served) -> Callable[..., ModelCard]:
    def make(folder: Path | str, **settings: Any) -> ModelCard:
        return ModelCard("far", "backbone", "openai", served.url, settings={"model": str(folder), **settings})

    return make


def _say(card: ModelCard, *parts: Part, options: AnswerOptions = GREEDY) -> list[str | Usage]:
    return list(engines.load(card).answer(Conversation((Message("user", parts),)), options))


def _text(pieces: list[str | Usage]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


def _picture(tmp_path: Path, colour: tuple[int, int, int]) -> Any:
    path = tmp_path / f"{'-'.join(map(str, colour))}.png"
    picture = PIL.Image.new("RGB", (48, 32), colour)
    picture.paste((255, 255, 255), (4, 4, 20, 20))
    picture.save(path)
    return open_image(path)


def _directly(folder: Path, messages: list[dict[str, Any]], tokens: int) -> str:
    """What the library says, greedily, without any server."""
    looks = (folder / "processor_config.json").is_file()
    loader: Any = tf.AutoProcessor if looks else tf.AutoTokenizer
    reader = loader.from_pretrained(folder)
    kind: Any = tf.AutoModelForImageTextToText if looks else tf.AutoModelForCausalLM
    model = kind.from_pretrained(folder)
    inputs = reader.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
    return str(reader.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def test_the_answer_is_the_librarys_own_and_comes_piece_by_piece(
    served: Served, card: Callable[..., ModelCard]
) -> None:
    assert isinstance(engines.load(card(served.text)), Backbone)
    *pieces, usage = _say(card(served.text), QUESTION)
    assert len(pieces) > 4
    assert "".join(pieces) == _directly(served.text, [{"role": "user", "content": QUESTION}], 8)
    assert usage == Usage(usage.prompt, 8, finish="length")
    assert usage.prompt > 10


def test_the_whole_conversation_goes_there(served: Served, card: Callable[..., ModelCard]) -> None:
    turns = [("system", "Be brief."), ("user", QUESTION), ("assistant", "a boat"), ("user", "Which one?")]
    conversation = Conversation(tuple(Message(role, (text,)) for role, text in turns))  # type: ignore[arg-type]
    said = _text(list(engines.load(card(served.text)).answer(conversation, GREEDY)))
    assert said == _directly(served.text, [{"role": role, "content": text} for role, text in turns], 8)
    assert said != _text(_say(card(served.text), "Which one?"))


def test_a_picture_is_looked_at_as_the_library_looks_at_it(
    served: Served, card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    answers = set()
    for colour in ((250, 10, 10), (10, 10, 250)):
        picture = _picture(tmp_path, colour)
        said = _text(_say(card(served.llava), picture, QUESTION))
        content = [{"type": "image", "image": picture.pixels()}, {"type": "text", "text": QUESTION}]
        assert said == _directly(served.llava, [{"role": "user", "content": content}], 8)
        answers.add(said)
    assert len(answers) == 2


def test_several_pictures_stand_where_they_were_given(
    served: Served, card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    red, blue = _picture(tmp_path, (250, 10, 10)), _picture(tmp_path, (10, 10, 250))
    said = [_text(_say(card(served.llava), "From", one, "to", other)) for one, other in ((red, blue), (blue, red))]
    assert said[0] != said[1]
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "From"},
        {"type": "image", "image": red.pixels()},
        {"type": "text", "text": "to"},
        {"type": "image", "image": blue.pixels()},
    ]
    assert said[0] == _directly(served.llava, [{"role": "user", "content": content}], 8)


def test_a_video_goes_there_as_its_pictures_with_their_times(
    served: Served, card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    red, blue = (_picture(tmp_path, colour).pixels() for colour in ((250, 10, 10), (10, 10, 250)))
    video = Video("film", 70.0, 48, 32, lambda: iter([(0.0, red), (62.25, blue)]))
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "0:00.0"},
        {"type": "image", "image": red},
        {"type": "text", "text": "1:02.2"},
        {"type": "image", "image": blue},
        {"type": "text", "text": QUESTION},
    ]
    said = _text(_say(card(served.llava), video, QUESTION))
    assert said == _directly(served.llava, [{"role": "user", "content": content}], 8)


def test_lots_fall_the_same_with_the_same_seed(served: Served, card: Callable[..., ModelCard]) -> None:
    options = [AnswerOptions(max_new_tokens=12, temperature=2.0, seed=seed) for seed in (7, 7, 8)]
    one, again, other = (_text(_say(card(served.text), QUESTION, options=each)) for each in options)
    assert one == again != other


def test_the_answer_ends_before_a_stop_string_and_its_usage_is_known(
    served: Served, card: Callable[..., ModelCard]
) -> None:
    whole = _text(_say(card(served.text), QUESTION))
    stop = " ".join(whole.split()[3:5])
    pieces = _say(card(served.text), QUESTION, options=replace(GREEDY, stop=("nowhere", stop)))
    assert _text(pieces) == whole[: whole.index(stop)]
    assert isinstance(pieces[-1], Usage)
    assert (pieces[-1].finish, pieces[-1].answer < 8) == ("stop", True)


@pytest.mark.parametrize("option", ["top_k", "min_p", "repetition_penalty"])
def test_an_option_that_the_server_refuses_is_named(
    served: Served, card: Callable[..., ModelCard], option: str
) -> None:
    flag = f"--{option.replace('_', '-')}"
    with pytest.raises(UsageError, match=rf"refuses {flag} \(.*{option}.*leave it out"):
        _say(card(served.text), QUESTION, options=replace(GREEDY, **{option: 1}))


def test_a_server_that_passes_over_the_schema_is_found_out(served: Served, card: Callable[..., ModelCard]) -> None:
    with pytest.raises(EngineError, match="cut off before its document was whole"):
        _say(card(served.text), QUESTION, options=replace(GREEDY, schema='{"type": "object"}'))


def test_what_the_server_cannot_load_is_its_error(served: Served, card: Callable[..., ModelCard]) -> None:
    with pytest.raises(ServedError, match="it answers 500"):
        _say(card("/nowhere", retries=0), QUESTION)


def test_the_command_asks_the_server(served: Served, tmp_path: Path, mmcli: Callable[..., Any], red: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    unnamed = mmcli("models", "add", "far", served.url, env=home)
    assert (unnamed.code, "lists no model" in unnamed.err, "--server-model" in unnamed.err) == (2, True, True)
    added = mmcli("models", "add", "far", served.url, "--server-model", served.llava, env=home)
    assert added.code == 0, added.err
    answered = mmcli("ask", QUESTION, "-a", red, "-m", "far", "--max-tokens", "5", "--json", env=home)
    assert answered.code == 0, answered.err
    record = json.loads(answered.out)
    assert len(record["answer"].split()) == 5
    provenance = record["provenance"]
    assert provenance["usage"]["answer"] == 5
    assert provenance["device"] == "server"
    assert provenance["models"]["backbone"]["settings"] == {"model": str(served.llava)}
    (tmp_path / "far.toml").write_text('[pipelines.far]\nbackbone = "far"\n')
    checked = mmcli("pipelines", "check", "far", "--config", tmp_path / "far.toml", env=home)
    assert checked.code == 0, checked.err
    assert "answers, but does not list" in checked.out
