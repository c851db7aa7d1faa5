"""Which files of a model matter, where they lie, and when they are whole."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mmcli import cache, families, store
from mmcli.catalogue import ModelCard, read_catalogue
from mmcli.errors import ConfigError, MissingModel, MmcliError, UsageError

WHISPER = {"alignment_heads": [[0, 1]], "lang_ids": [50259], "suppress_ids": [], "suppress_ids_begin": [220]}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def _card(source: str, engine: str = "faster-whisper", revision: str = "") -> ModelCard:
    return ModelCard("mine", "stt", engine, source, revision=revision)


def _folder(path: Path, *names: str, config: object = WHISPER) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in names:
        (path / name).write_bytes(b"content of " + name.encode())
    return path


def _snapshot(*names: str, repo: str = "org/name", commit: str = COMMIT, ref: str | None = "main") -> Path:
    """A snapshot as other tools leave it, but with files in place of links."""
    top = cache.repo_folder(repo)
    if ref is not None:
        (top / "refs").mkdir(parents=True, exist_ok=True)
        (top / "refs" / ref).write_text(commit, encoding="ascii")
    return _folder(top / "snapshots" / commit, *names)


# ---------------------------------------------------------------- families


@pytest.mark.parametrize(
    "config, names, expected",
    [
        (WHISPER, ["config.json", "model.bin", "vocabulary.json"], "CTranslate2 Whisper"),
        ({"lang_ids": []}, ["model.bin"], "CTranslate2 Whisper"),
        (WHISPER, ["config.json"], None),
        ({"bos_token": "<s>", "layer_norm_epsilon": None}, ["model.bin"], None),
        (
            {"architectures": ["WhisperForConditionalGeneration"]},
            ["model.safetensors"],
            "WhisperForConditionalGeneration",
        ),
        ({"architectures": ["NobodyKnows"]}, ["model.safetensors"], None),
        ({"architectures": ["NobodyKnows"], **WHISPER}, ["model.bin"], None),
        ({"architectures": [None, 7, {}]}, [], None),
        ({"architectures": "WhisperForConditionalGeneration"}, [], None),
        ({}, [], None),
    ],
)
def test_a_family_is_recognised_by_its_config_and_file_names(
    config: dict[str, object], names: list[str], expected: str | None
) -> None:
    assert families.family_name(config, names) == expected


@pytest.mark.parametrize("content", [b"", b"[1]", b"nonsense", b"[" * 100_000, b'{"a":' + b" " * (5 << 20) + b"1}"])
def test_a_broken_config_is_no_family_and_no_crash(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert families.read_config(tmp_path) == {}
    assert families.recognise_folder(tmp_path) is None


OPENAI_LARGE = (
    *(
        ".gitattributes",
        "README.md",
        "added_tokens.json",
        "config.json",
        "flax_model.msgpack",
        "generation_config.json",
    ),
    *("merges.txt", "model.fp32-00001-of-00002.safetensors", "model.fp32-00002-of-00002.safetensors"),
    *("model.safetensors", "model.safetensors.index.fp32.json", "normalizer.json", "preprocessor_config.json"),
    *("pytorch_model.bin", "pytorch_model.fp32-00001-of-00002.bin", "special_tokens_map.json", "tokenizer.json"),
    *("tokenizer_config.json", "vocab.json", "tf_model.h5", "onnx/model.onnx"),
)


def test_of_a_repository_only_what_the_engine_uses_is_fetched() -> None:
    ours = ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt", "preprocessor_config.json"]
    assert families.wanted("faster-whisper", [*ours, "README.md", ".gitattributes"]) == ours
    # The same repository may also hold the weights for other programs.
    assert families.wanted("faster-whisper", [*ours, "model.safetensors", "onnx/model.onnx"]) == ours
    chosen = families.wanted("faster-whisper", OPENAI_LARGE)
    assert [name for name in chosen if name.endswith((".safetensors", ".bin", ".msgpack", ".h5"))] == [
        "model.safetensors"
    ]
    assert {"config.json", "tokenizer.json", "preprocessor_config.json", "generation_config.json"} <= set(chosen)


def test_for_an_unknown_engine_the_weights_are_taken_once() -> None:
    sharded = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    rest = ["config.json", "chat_template.jinja", "tokenizer.model", "sub/config.json"]
    doubles = [
        "pytorch_model.bin",
        "model.gguf",
        "original/params.json",
        "consolidated.safetensors",
        "a.png",
        ".gitignore",
    ]
    assert families.wanted("", [*sharded, *rest, *doubles]) == [*sharded, *rest]
    assert families.wanted("", ["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]


def test_what_is_lacking_is_told_for_the_nearest_form() -> None:
    assert families.lacking("faster-whisper", ["config.json", "model.bin"]) == ("tokenizer.json",)
    assert families.lacking("faster-whisper", ["config.json", "model.safetensors"]) == ("tokenizer.json",)
    assert families.lacking("faster-whisper", ["config.json", "model.bin", "tokenizer.json"]) == ()
    assert families.lacking("unheard-of", []) == ()


@pytest.mark.parametrize("name", ["mit", "MIT", "apache-2.0", "Apache-2.0", "cc-by-4.0", "gpl-3.0", "bsd-3-clause", ""])
def test_free_licences_need_no_consent(name: str) -> None:
    assert families.is_free(name)


@pytest.mark.parametrize(
    "name", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "other", "llama3.1", "gemma", "cpml"]
)
def test_licences_with_conditions_need_consent(name: str) -> None:
    assert not families.is_free(name)


# ---------------------------------------------------------------- places


@pytest.mark.parametrize(
    "variables, place",
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"HF_HOME": "", "XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HOME": "", "XDG_CACHE_HOME": "", "HOME": "/d"}, "/d/.cache/huggingface/hub"),
        ({"HF_HOME": "~/e", "HOME": "/d"}, "/d/e/hub"),
        ({"HF_HUB_CACHE": "$WHERE/f", "WHERE": "/g"}, "/g/f"),
    ],
)
def test_the_cache_is_where_the_hubs_library_has_it(
    variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.hub_cache() == Path(place)
    if all(variables.values()):  # the library takes an empty variable for a folder without a name
        program = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
        python = Path(os.sys.executable)  # type: ignore[attr-defined]
        out = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout
        assert out.strip() == place


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:..", "hf:../x", "hf:a/../b", "hf:/etc", "hf:a/b/c", "hf:a--b/c", "hf:a/b@../x", "hf:a b", "hf:a/b@x y"],
)
def test_no_name_leads_out_of_the_cache(text: str) -> None:
    with pytest.raises(ConfigError):
        cache.parse(text)


def test_a_name_of_the_hub_may_carry_its_revision() -> None:
    assert cache.parse("hf:org/name") == ("org/name", "main")
    assert cache.parse("hf:org/name", "v1") == ("org/name", "v1")
    assert cache.parse("hf:org/name@v2", "v1") == ("org/name", "v2")
    assert cache.parse("hf:gpt2") == ("gpt2", "main")


def test_a_reference_that_is_no_commit_leads_nowhere() -> None:
    _snapshot("model.bin", "tokenizer.json")
    (cache.repo_folder("org/name") / "refs" / "main").write_text("../../../../etc", encoding="ascii")
    assert cache.snapshot("org/name", "main") is None


# ---------------------------------------------------------------- locate


def test_a_folder_is_used_in_place_and_must_hold_what_its_engine_needs(tmp_path: Path) -> None:
    whole = _folder(tmp_path / "whole", "model.bin", "tokenizer.json")
    assert store.locate(_card(f"path:{whole}")) == whole
    with pytest.raises(MissingModel, match=r"has no tokenizer\.json"):
        store.locate(_card(f"path:{_folder(tmp_path / 'part', 'model.bin')}"))
    with pytest.raises(MissingModel, match="there is no folder"):
        store.locate(_card(f"path:{tmp_path / 'none'}"))


def test_an_absent_model_names_the_command_that_fetches_it() -> None:
    with pytest.raises(MissingModel, match="mmcli models pull mine") as caught:
        store.locate(_card("hf:org/name"))
    assert caught.value.exit_code == 4


def test_what_another_tool_fetched_is_used_by_branch_and_by_commit() -> None:
    folder = _snapshot("model.bin", "tokenizer.json")
    assert store.locate(_card("hf:org/name")) == folder
    assert store.locate(_card("hf:org/name", revision=COMMIT)) == folder
    with pytest.raises(MissingModel, match="not on this machine"):
        store.locate(_card("hf:org/name", revision="f" * 40))


def test_what_another_tool_left_half_is_not_used() -> None:
    _snapshot("model.bin")
    with pytest.raises(MissingModel, match=r"not whole: tokenizer\.json"):
        store.locate(_card("hf:org/name"))


def test_a_link_to_nothing_is_not_a_file() -> None:
    folder = _snapshot("tokenizer.json")
    (folder / "model.bin").symlink_to("../../blobs/gone")
    with pytest.raises(MissingModel, match=r"model\.bin"):
        store.locate(_card("hf:org/name"))


def test_a_missing_shard_is_noticed() -> None:
    folder = _snapshot("model-00001-of-00002.safetensors")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}), encoding="utf-8")
    with pytest.raises(MissingModel, match="model-00002-of-00002"):
        store.locate(_card("hf:org/name", engine="unheard-of"))


def test_a_manifest_finds_files_that_are_short_or_gone() -> None:
    folder = _snapshot("model.bin", "tokenizer.json", "extra.json")
    facts = {path.name: cache.FileFacts(path.stat().st_size, store.digest(path, "0" * 40)) for path in folder.iterdir()}
    store.write_manifest(folder, "org/name", facts)
    assert store.locate(_card("hf:org/name")) == folder
    assert store.check(folder) == []
    (folder / "extra.json").unlink()
    with pytest.raises(MissingModel, match=r"extra\.json"):
        store.locate(_card("hf:org/name"))
    (folder / "extra.json").write_bytes(b"content of extra.jsoN")
    assert store.check(folder) == ["extra.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schema": 9}', b'{"schema": 1, "files": {"a": 3}}'])
def test_a_broken_manifest_counts_as_none(content: bytes) -> None:
    folder = _snapshot("model.bin", "tokenizer.json")
    (folder.parent.parent / "mmcli").mkdir()
    (folder.parent.parent / "mmcli" / f"{COMMIT}.json").write_bytes(content)
    assert cache.read_manifest(folder) == {}
    assert store.locate(_card("hf:org/name")) == folder


def test_hashes_are_those_of_git_and_of_sha256sum(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 9000)
    seen: list[int] = []

    def told(*command: str) -> str:
        return subprocess.run([*command, str(file)], capture_output=True, text=True, check=True).stdout.split()[0]

    assert store.digest(file, "0" * 40) == told("git", "hash-object")
    assert store.digest(file, "0" * 64, seen.append) == told("sha256sum")
    assert sum(seen) == file.stat().st_size


@pytest.mark.parametrize("source", ["embedded:mmcli", "path:/tmp"])
def test_only_what_lies_in_the_cache_is_removed(source: str) -> None:
    with pytest.raises(UsageError, match="is not removed"):
        store.remove(_card(source))


# ---------------------------------------------------------------- models without a name


def test_a_folder_stands_for_a_model(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "whisper", "model.bin", "tokenizer.json")
    card = read_catalogue().model(str(folder), "stt")
    assert (card.role, card.engine, card.source) == ("stt", "faster-whisper", f"path:{folder}")
    assert card.inputs == ("audio",)
    assert store.locate(card) == folder


def test_a_pulled_model_stands_for_itself() -> None:
    with pytest.raises(MissingModel, match="mmcli models pull hf:org/name"):
        read_catalogue().model("hf:org/name")
    folder = _snapshot("model.bin", "tokenizer.json")
    card = read_catalogue().model("hf:org/name", "stt")
    assert (card.engine, card.source) == ("faster-whisper", "hf:org/name")
    assert store.locate(card) == folder
    assert store.locate(read_catalogue().model(f"hf:org/name@{COMMIT}")) == folder


@pytest.mark.parametrize(
    "make, role, words",
    [
        (lambda top: top / "none", None, "there is no folder"),
        (lambda top: _folder(top / "other", config={"architectures": ["Odd"]}), None, "--role ROLE --engine ENGINE"),
        (lambda top: _folder(top / "whisper", "model.bin", "tokenizer.json"), "tts", "has the role stt, not tts"),
    ],
)
def test_a_folder_that_is_no_such_model_is_told(
    make: Callable[[Path], Path], role: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(MmcliError, match=words) as caught:
        read_catalogue().model(str(make(tmp_path)), role)
    assert "\n" not in str(caught.value)
