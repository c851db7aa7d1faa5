"""Models fetched from a hub on loopback, checked, named and removed: what is asked for, what is left, what is said."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.hub import Hub, Model, serve

CONFIG = b'{"alignment_heads": [[0, 1]], "lang_ids": [50259], "suppress_ids_begin": [220]}'
BIN = random.Random(7).randbytes(400_000)
FILES = {
    "README.md": b"read me",
    ".gitattributes": b"* text",
    "config.json": CONFIG,
    "model.bin": BIN,
    "tokenizer.json": b'{"model": 1}',
    "vocabulary.txt": b"a\nb\n",
    "model.safetensors": b"again" * 9000,
}
NEEDED = {name: FILES[name] for name in ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")}
SIZE = sum(map(len, NEEDED.values()))
NAME = "hf:org/whisper"

Run = Callable[..., Any]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as hub:
        hub.models["org/whisper"] = Model()
        hub.models["org/whisper"].commit(FILES)
        yield hub


@pytest.fixture
def home(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a user whose hub is ours; gives the cache's folder."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_OFFLINE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return tmp_path / "hf" / "hub"


@pytest.fixture
def models(home: Path, mmcli: Run) -> Run:
    def run(*args: object, env: dict[str, str] | None = None) -> Any:
        return mmcli("models", *args, env=env)

    return run


def _snapshot(home: Path, commit: str, repo: str = "org--whisper") -> Path:
    return home / f"models--{repo}" / "snapshots" / commit


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _partials(home: Path) -> list[Path]:
    return list(home.rglob("*.incomplete"))


def _main(hub: Hub) -> str:
    return hub.models["org/whisper"].refs["main"]


# ---------------------------------------------------------------- pull


def test_a_pull_brings_what_the_engine_needs_and_the_second_asks_nothing(models: Run, hub: Hub, home: Path) -> None:
    ended = models("pull", NAME)
    assert (ended.code, ended.out, len(ended.notes)) == (0, "", 1), ended.err
    assert _main(hub) in ended.err
    folder = _snapshot(home, _main(hub))
    assert _content(folder) == NEEDED
    assert hub.served == SIZE + len(CONFIG)  # the config once to recognise the family
    assert not _partials(home)
    hub.requests.clear()
    ended = models("pull", NAME)
    assert ended.code == 0
    assert "already here" in ended.err
    assert models("pull", NAME, env={"HF_HUB_OFFLINE": "1"}).code == 0
    assert hub.requests == []


def test_the_hubs_own_library_finds_what_was_pulled(models: Run, hub: Hub, home: Path) -> None:
    assert models("pull", NAME, "-q").err == ""
    program = (
        "from huggingface_hub import snapshot_download, scan_cache_dir\n"
        "print(snapshot_download('org/whisper', local_files_only=True))\n"
        "print([repo.repo_id for repo in scan_cache_dir().repos], len(scan_cache_dir().warnings))\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [str(_snapshot(home, _main(hub))), "['org/whisper'] 0"]


def test_what_the_hubs_own_library_fetched_is_used_and_checked(models: Run, hub: Hub, home: Path) -> None:
    program = "from huggingface_hub import snapshot_download; snapshot_download('org/whisper')"
    quiet = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    subprocess.run([sys.executable, "-c", program], env=quiet, capture_output=True, check=True)
    hub.requests.clear()
    assert "already here" in models("pull", NAME).err
    assert models("verify", NAME).out.split() == [NAME, "whole"]
    assert hub.requests == []
    blob = (_snapshot(home, _main(hub)) / "model.bin").resolve()
    blob.write_bytes(BIN[:-1] + bytes([BIN[-1] ^ 1]))
    ended = models("verify", NAME)
    assert ended.code == 1
    assert "broken: model.bin" in ended.err


def test_a_cut_connection_is_taken_up_where_it_broke(models: Run, hub: Hub, home: Path) -> None:
    hub.cuts["model.bin"] = [150_000, 100_000]
    assert models("pull", NAME).code == 0
    assert hub.ranges() == ["bytes=150000-", "bytes=250000-"]
    assert hub.served == SIZE + len(CONFIG)
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_a_connection_that_the_server_closed_is_opened_again(models: Run, hub: Hub, home: Path) -> None:
    hub.drops = 1
    assert models("pull", NAME).code == 0
    assert _content(_snapshot(home, _main(hub))) == NEEDED
    hub.drops = 2
    ended = models("pull", "hf:org/other")
    assert (ended.code, len(ended.notes)) == (4, 1), ended.err
    assert "cannot be reached" in ended.err


def test_a_server_without_ranges_is_put_up_with(models: Run, hub: Hub, home: Path) -> None:
    hub.cuts["model.bin"] = [150_000]
    hub.no_ranges = True
    assert models("pull", NAME).code == 0
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_a_server_that_never_gets_further_is_given_up(models: Run, hub: Hub, home: Path) -> None:
    hub.cuts["model.bin"] = [150_000, 0, 0, 0, 0]
    ended = models("pull", NAME)
    assert (ended.code, len(ended.notes)) == (4, 1), ended.err
    assert "cannot be reached" in ended.err
    assert [path.stat().st_size for path in _partials(home)] == [150_000]
    hub.cuts.clear()
    hub.requests.clear()
    assert models("pull", NAME).code == 0
    assert hub.ranges() == ["bytes=150000-"]


def test_ctrl_c_ends_a_pull_with_130_and_the_next_one_goes_on(
    models: Run, hub: Hub, home: Path, tmp_path: Path
) -> None:
    hub.trickle_s = 0.3
    command = [sys.executable, "-m", "mmcli", "models", "pull", NAME]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while hub.served < 200_000 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")
    [partial] = _partials(home)
    left = partial.stat().st_size
    assert 0 < left < len(BIN)
    assert json.loads(models("show", NAME, "--json").out)["folder"] is None
    hub.trickle_s = 0
    hub.requests.clear()
    assert models("pull", NAME).code == 0
    assert hub.ranges() == [f"bytes={left}-"]
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_a_killed_pull_leaves_what_the_next_one_goes_on_from(models: Run, hub: Hub, home: Path, tmp_path: Path) -> None:
    hub.trickle_s = 0.3
    process = subprocess.Popen([sys.executable, "-m", "mmcli", "models", "pull", NAME], cwd=tmp_path)
    while hub.served < 200_000 and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    hub.trickle_s = 0
    hub.requests.clear()
    assert models("pull", NAME).code == 0
    assert len(hub.ranges()) == 1
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_two_pulls_at_once_fetch_each_file_once(models: Run, hub: Hub, home: Path, tmp_path: Path) -> None:
    hub.trickle_s = 0.1
    command = [sys.executable, "-m", "mmcli", "models", "pull", NAME]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert hub.fetched().count("model.bin") == 1
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_wrong_bytes_are_deleted_and_told(models: Run, hub: Hub, home: Path) -> None:
    hub.wrong["model.bin"] = BIN[:-1] + b"!"
    ended = models("pull", NAME)
    assert (ended.code, len(ended.notes)) == (1, 1)
    assert "model.bin arrived damaged" in ended.err
    assert not _partials(home)
    assert not (_snapshot(home, _main(hub)) / "model.bin").exists()
    hub.wrong.clear()
    assert models("pull", NAME).code == 0
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_more_bytes_than_announced_are_refused(models: Run, hub: Hub, home: Path) -> None:
    hub.wrong["model.bin"] = BIN + b"more"
    ended = models("pull", NAME)
    assert (ended.code, len(ended.notes)) == (1, 1)
    assert "longer than the server said" in ended.err
    assert sum(path.stat().st_size for path in _partials(home)) == 0


@pytest.mark.parametrize(
    "name, env, words",
    [
        ("hf:org/none", {}, "is the name right?"),
        ("hf:org/whisper@v9", {}, 'no revision "v9"'),
        ("hf:org/closed", {}, "https://huggingface.co/org/closed"),
        ("hf:org/closed", {"HF_TOKEN": "wrong"}, "HF_TOKEN or give --hf-token"),
        ("hf:org/gated", {}, "accept it at https://huggingface.co/org/gated"),
        ("hf:org/gated", {"HF_TOKEN": "wrong"}, "accept it at https://huggingface.co/org/gated"),
        ("hf:org/whisper", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ("hf:org/whisper", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        ("hf:org/whisper", {"HF_ENDPOINT": "no address"}, "cannot be reached"),
    ],
)
def test_what_is_not_to_be_had_is_one_line_and_exit_code_4(
    models: Run, hub: Hub, name: str, env: dict[str, str], words: str
) -> None:
    hub.models["org/closed"] = Model(token="secret")
    hub.models["org/gated"] = Model(token="secret", gated=True)
    for closed in ("org/closed", "org/gated"):
        hub.models[closed].commit(FILES)
    ended = models("pull", name, env=env)
    assert (ended.code, ended.out, len(ended.notes)) == (4, "", 1), ended.err
    assert words in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_in_trouble_is_one_line(models: Run, hub: Hub, status: int) -> None:
    hub.status = status
    ended = models("pull", NAME)
    assert (ended.code, len(ended.notes)) == (4, 1)
    assert f"HTTP {status}" in ended.err


def test_a_hub_that_hangs_is_given_up(models: Run, hub: Hub) -> None:
    hub.hang_s = 8
    ended = models("pull", NAME, env={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    assert (ended.code, len(ended.notes)) == (4, 1)
    assert "does not answer in time" in ended.err


def test_a_token_opens_what_is_closed(models: Run, hub: Hub, home: Path) -> None:
    hub.models["org/gated"] = Model(token="secret", gated=True)
    commit = hub.models["org/gated"].commit(FILES)
    assert models("pull", "hf:org/gated", "--hf-token", "secret").code == 0
    assert _content(_snapshot(home, commit, "org--gated")) == NEEDED
    assert models("pull", "hf:org/gated", "--hf-token", "a\nb").code == 0  # it is here: the token is not looked at
    assert models("pull", "hf:org/none", "--hf-token", "a\nb").code == 2


@pytest.mark.parametrize("index", [b'{"weight_map": {"a": "%s", "b": "%s"}}', b"{"])
def test_shards_of_a_former_upload_are_left_where_the_index_does_not_name_them(
    models: Run, hub: Hub, home: Path, index: bytes
) -> None:
    own = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    former = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    files = {
        "config.json": b'{"architectures": ["WhisperForConditionalGeneration"]}',
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": index % tuple(map(str.encode, own)) if b"%" in index else index,
        **{name: name.encode() for name in (*own, *former)},
    }
    hub.models["org/twice"] = Model()
    commit = hub.models["org/twice"].commit(files)
    assert models("pull", "hf:org/twice").code == 0
    here = {path.name for path in _snapshot(home, commit, "org--twice").glob("*-of-*")}
    assert here == ({*own} if b"%" in index else {*own, *former})


def test_one_failure_does_not_stop_the_others(models: Run, hub: Hub, home: Path) -> None:
    ended = models("pull", "hf:org/none", NAME, "espeak", NAME)
    assert ended.code == 3
    assert "1 of 3 failed" in ended.err
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_a_licence_with_conditions_is_accepted_first(models: Run, hub: Hub) -> None:
    hub.models["org/whisper"].license = "cc-by-nc-4.0"
    ended = models("pull", NAME)
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert "cc-by-nc-4.0" in ended.err
    assert "--accept-licence" in ended.err
    assert hub.served == 0
    assert models("pull", NAME, "--accept-licence").code == 0


@pytest.mark.parametrize("evil", ["../../../../evil.json", "/evil.json", "a/../../../../evil.json", "a\\evil.json"])
def test_a_file_name_that_leads_out_is_refused(models: Run, hub: Hub, tmp_path: Path, evil: str) -> None:
    hub.models["org/whisper"].commit({**FILES, evil: b"{}"})
    ended = models("pull", NAME)
    assert (ended.code, len(ended.notes)) == (1, 1)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_repository_without_what_the_engine_needs_is_told_before_anything_is_fetched(models: Run, hub: Hub) -> None:
    hub.models["org/whisper"].commit({name: FILES[name] for name in ("config.json", "model.bin")})
    ended = models("pull", NAME)
    assert ended.code == 1
    assert "has no tokenizer.json" in ended.err
    assert hub.fetched() == ["config.json"]


def test_a_full_disk_is_told_before_anything_is_fetched(models: Run, hub: Hub, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk can be mounted only by root")
    try:
        ended = models("pull", NAME, env={"HF_HOME": str(disk)})
        assert (ended.code, len(ended.notes)) == (1, 1)
        assert "needs 0.4 MB" in ended.err
        assert hub.fetched() == ["config.json"]
        assert not list(disk.iterdir())
        # Another program takes the room while something is fetched.
        hub.models["org/whisper"].commit({"config.json": b"{}", "weights.safetensors": BIN[:100_000]})
        hub.trickle_s = 2
        command = [sys.executable, "-m", "mmcli", "models", "pull", NAME]
        environment = {**os.environ, "HF_HOME": str(disk)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while hub.served < 65_000 and process.poll() is None:
            time.sleep(0.02)
        with suppress(OSError), (disk / "other").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, len(err.splitlines())) == (1, 1), err
        assert "No space left" in err
        (disk / "other").unlink()
        hub.trickle_s = 0
        assert models("pull", NAME, env={"HF_HOME": str(disk)}).code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("variable, words", [("HF_HUB_CACHE", "is a file and not a folder"), ("HF_HOME", "HF_HOME")])
def test_a_cache_that_is_a_file_is_told(models: Run, tmp_path: Path, variable: str, words: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    ended = models("pull", NAME, env={variable: str(tmp_path / "file")})
    assert (ended.code, len(ended.notes)) == (1, 1), ended.err
    assert words in ended.err


def test_a_terminal_shows_a_bar_and_one_line_stays(home: Path, hub: Hub, tmp_path: Path) -> None:
    hub.trickle_s = 0.1
    child = pexpect.spawn(
        sys.executable, ["-m", "mmcli", "models", "pull", NAME], cwd=str(tmp_path), encoding="utf-8", timeout=60
    )
    child.expect(r"\d/\S+ kB")
    child.expect("4 files, 400 kB, commit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


# ---------------------------------------------------------------- revisions, verify, remove


def test_two_revisions_share_what_is_equal_and_are_removed_one_by_one(models: Run, hub: Hub, home: Path) -> None:
    old = _main(hub)
    new = hub.models["org/whisper"].commit({**FILES, "tokenizer.json": b'{"model": 2}'}, ref="v2")
    assert models("pull", NAME).code == 0
    hub.requests.clear()
    assert models("pull", NAME, "--revision", "v2").code == 0
    assert "model.bin" not in hub.fetched()
    assert _content(_snapshot(home, new)) == {**NEEDED, "tokenizer.json": b'{"model": 2}'}
    ended = models("remove", f"{NAME}@v2", "--yes")
    assert ended.code == 0
    assert f"{len(b'12345678901 ')} B freed" in ended.err
    assert not _snapshot(home, new).exists()
    assert _content(_snapshot(home, old)) == NEEDED
    assert models("verify", NAME).code == 0
    ended = models("remove", NAME, "--yes")
    assert "400 kB freed" in ended.err
    assert not list(home.glob("models--*"))


def test_a_moved_branch_leaves_what_was_pulled(models: Run, hub: Hub, home: Path) -> None:
    old = _main(hub)
    assert models("pull", NAME).code == 0
    hub.models["org/whisper"].commit({**FILES, "tokenizer.json": b"newer"})
    assert "already here" in models("pull", NAME).err
    (_snapshot(home, old) / "tokenizer.json").resolve().write_bytes(b'{"model": 3}')
    assert models("verify", NAME, "--fix").code == 0
    assert _content(_snapshot(home, old)) == NEEDED


def test_verify_finds_a_flipped_byte_and_fix_fetches_that_file_alone(models: Run, hub: Hub, home: Path) -> None:
    assert models("pull", NAME).code == 0
    (told,) = json.loads(models("verify", NAME, "--json").out)
    assert (told["checked"], told["broken"]) == (len(NEEDED), [])
    assert "no hashes to check it by" in models("verify", "espeak").out
    blob = (_snapshot(home, _main(hub)) / "model.bin").resolve()
    blob.write_bytes(BIN[:1000] + bytes([BIN[1000] ^ 1]) + BIN[1001:])
    ended = models("verify", NAME)
    assert ended.code == 1
    assert "broken: model.bin" in ended.err
    assert "--fix" in ended.err
    hub.requests.clear()
    ended = models("verify", NAME, "--fix")
    assert ended.code == 0
    assert "was broken: model.bin" in ended.out
    assert [name for name in hub.fetched() if name != "config.json"] == ["model.bin"]
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_verify_goes_on_after_a_broken_model(models: Run, hub: Hub, home: Path) -> None:
    hub.models["org/other"] = Model()
    commit = hub.models["org/other"].commit(FILES)
    assert models("pull", NAME, "hf:org/other").code == 0
    (_snapshot(home, commit, "org--other") / "vocabulary.txt").unlink()
    ended = models("verify", "hf:org/other", NAME)
    assert ended.code == 3
    assert "broken: vocabulary.txt" in ended.err
    assert ended.out.splitlines()[1].split("\t") == [NAME, "whole"]


def test_remove_refuses_what_is_not_its_own(models: Run, tmp_path: Path) -> None:
    for name, code, words in [
        ("espeak", 2, "comes with the Python package"),
        (NAME, 4, "is not on this machine"),
        ("nobody", 2, "there is no model"),
    ]:
        ended = models("remove", name, "--yes")
        assert (ended.code, len(ended.notes)) == (code, 1)
        assert words in ended.err


def test_remove_frees_what_an_interrupted_pull_left(models: Run, hub: Hub, home: Path) -> None:
    hub.cuts["model.bin"] = [150_000, 0, 0, 0]
    assert models("pull", NAME).code == 4
    ended = models("remove", NAME, "--yes")
    assert ended.code == 0
    assert not list(home.glob("models--*"))


def test_remove_asks_a_person_and_nobody_else(models: Run, hub: Hub, home: Path, tmp_path: Path) -> None:
    assert models("pull", NAME).code == 0
    ended = models("remove", NAME)
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert "--yes" in ended.err
    for answer, stays in (("n", True), ("y", False)):
        child = pexpect.spawn(
            sys.executable, ["-m", "mmcli", "models", "remove", NAME], cwd=str(tmp_path), encoding="utf-8", timeout=60
        )
        child.expect(r"\[y/N\]")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert _snapshot(home, _main(hub)).exists() == stays


# ---------------------------------------------------------------- add


def _user_config() -> Path:
    return Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli" / "config.toml"


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    folder = tmp_path / "my whisper"
    folder.mkdir()
    for name, content in NEEDED.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_gets_a_name(models: Run, whisper: Path) -> None:
    ended = models("add", "mine.en", whisper, "--language", "English", "--licence", "MIT")
    assert ended.code == 0, ended.err
    entry = tomllib.loads(_user_config().read_text(encoding="utf-8"))["models"]["mine.en"]
    assert entry == {
        "role": "stt",
        "engine": "faster-whisper",
        "source": f"path:{whisper}",
        "license": "MIT",
        "size_mb": 0.4,
        "languages": ["en"],
        "inputs": ["audio"],
        "outputs": ["text"],
    }
    assert json.loads(models("show", "mine.en", "--json").out)["folder"] == str(whisper)


def test_what_stood_in_the_configuration_stays(models: Run, whisper: Path) -> None:
    _user_config().parent.mkdir(parents=True)
    former = '# my own\n[pipelines.mine]\ntts = "espeak" # the voice\n\n[models.espeak]\nlicense = "GPL"\n'
    _user_config().write_text(former, encoding="utf-8")
    assert models("add", "mine", whisper).code == 0
    text = _user_config().read_text(encoding="utf-8")
    assert text.startswith(former)
    assert [path.name for path in _user_config().parent.iterdir()] == ["config.toml"]
    ended = models("add", "mine", whisper)
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert "--force" in ended.err
    assert _user_config().read_text(encoding="utf-8") == text
    assert models("add", "mine", whisper, "--force", "--language", "de").code == 0
    tables = tomllib.loads(_user_config().read_text(encoding="utf-8"))
    assert tables["models"]["mine"]["languages"] == ["de"]
    assert tables["pipelines"] == {"mine": {"tts": "espeak"}}
    assert "# the voice" in _user_config().read_text(encoding="utf-8")


def test_of_a_model_on_the_hub_only_its_config_is_fetched_and_its_commit_is_pinned(
    models: Run, hub: Hub, home: Path
) -> None:
    ended = models("add", "mine", NAME)
    assert ended.code == 0, ended.err
    assert hub.fetched() == ["config.json"]
    entry = tomllib.loads(_user_config().read_text(encoding="utf-8"))["models"]["mine"]
    assert entry["source"] == NAME
    assert entry["revision"] == _main(hub)
    assert entry["license"] == "mit"
    assert entry["size_mb"] == 0.4
    assert models("pull", "mine").code == 0
    assert _content(_snapshot(home, _main(hub))) == NEEDED


def test_an_unknown_family_needs_role_and_engine(models: Run, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["Odd"]}', encoding="utf-8")
    ended = models("add", "odd", folder)
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert "--role ROLE and --engine ENGINE" in ended.err
    assert not _user_config().exists()
    ended = models("add", "odd", folder, "--engine", "fake-tts")
    assert ended.code == 0, ended.err
    entry = tomllib.loads(_user_config().read_text(encoding="utf-8"))["models"]["odd"]
    assert (entry["role"], entry["inputs"], entry["outputs"]) == ("tts", ["text"], ["audio"])


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["odd", "odd", "--engine", "fake-tss"], 2, "--role ROLE"),
        (["odd", "odd", "--engine", "fake-tss", "--role", "tts"], 2, 'did you mean "fake-tts"'),
        (["odd", "odd", "--engine", "fake-tts", "--role", "stt"], 2, "is for the role tts"),
        (["odd", "odd", "--engine", "fake-tts", "--role", "ttts"], 2, 'did you mean "tts"'),
        (["a/b", "odd"], 2, "no name for a model"),
        (["hf:x", "odd"], 2, "no name for a model"),
        (["espeak", "odd"], 2, "already, in models.toml"),
        (["new", "nowhere"], 1, "there is no such folder"),
        (["new", "hf:org/none"], 4, "is the name right?"),
        (["new", "odd", "--engine", "faster-whisper", "--role", "stt"], 1, "has no"),
    ],
)
def test_a_wrong_addition_is_one_line_and_writes_nothing(
    models: Run, tmp_path: Path, args: list[str], code: int, words: str
) -> None:
    (tmp_path / "odd").mkdir()
    ended = models("add", *args)
    assert (ended.code, ended.out, len(ended.notes)) == (code, "", 1), ended.err
    assert words in ended.err
    assert not _user_config().exists()


def test_listing_models_imports_no_library_of_the_hub(home: Path) -> None:
    program = (
        "import sys; from mmcli.cli import run; run(['models', 'list'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert "mmcli" in loaded
    for name in ("huggingface_hub", "httpx2", "tomlkit", "numpy"):
        assert f"'{name}'" not in loaded
