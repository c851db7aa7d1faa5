"""Models that Coqui TTS published, fetched from a server on loopback: resumed, checked, unpacked safely, named and removed."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmcli import cache, families
from mmcli.errors import ConfigError

NAME = "coqui:tts_models/en/ljspeech/fast_pitch"
CONFIG = json.dumps({"model": "fast_pitch", "audio": {"sample_rate": 22050}}).encode()
WEIGHTS = random.Random(3).randbytes(300_000)
FILES = {
    "tts_models--en--ljspeech--fast_pitch/": b"",
    "tts_models--en--ljspeech--fast_pitch/config.json": CONFIG,
    "tts_models--en--ljspeech--fast_pitch/model_file.pth": WEIGHTS,
    "__MACOSX/._config.json": b"x",
}


def _zip(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@dataclass
class Server:
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cut_after: int | None = None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(files={"/v0.6.1_models/tts_models--en--ljspeech--fast_pitch.zip": _zip(FILES)})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.asked.append((self.path, wanted))
            content = server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            part = content[start:]
            # The first request only asks for the size.
            if server.cut_after is not None and len(server.asked) > 1:
                part, server.cut_after = part[: server.cut_after], None
            with suppress(ConnectionError):
                self.wfile.write(part)

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """A client that goes away is part of the tests."""

    http = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    for name in ("TTS_HOME", "HF_HUB_OFFLINE", "COQUI_TOS_AGREED", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COQUI_ENDPOINT", server.url)
    monkeypatch.setenv("TTS_HOME", str(tmp_path / "home"))
    yield server
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tts" / "tts_models--en--ljspeech--fast_pitch"


def test_a_model_is_fetched_checked_and_removed(server: Server, folder: Path, mmcli: Callable[..., Any]) -> None:
    name = f"{NAME}@v0.6.1_models"
    ended = mmcli("models", "pull", name, "--accept-licence")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model_file.pth"]
    assert (folder / "model_file.pth").read_bytes() == WEIGHTS
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    asked = len(server.asked)
    assert "already here" in mmcli("models", "pull", name).err
    assert len(server.asked) == asked
    shown = json.loads(mmcli("models", "show", name, "--json").out)
    assert (shown["role"], shown["engine"], shown["state"]) == ("tts", "coqui", "installed")
    (folder / "model_file.pth").write_bytes(b"less")
    broken = mmcli("models", "verify", name)
    assert broken.code == 1
    assert "broken: model_file.pth" in broken.err
    mended = mmcli("models", "verify", name, "--fix")
    assert mended.code == 0, mended.err
    assert (folder / "model_file.pth").read_bytes() == WEIGHTS
    assert mmcli("models", "remove", name, "--yes").code == 0
    assert not folder.exists()
    assert not list((folder.parent.parent / "mmcli").iterdir())


def test_a_card_brings_its_vocoder_and_both_are_listed(server: Server, folder: Path, mmcli: Callable[..., Any]) -> None:
    vocoder = "vocoder_models--en--ljspeech--hifigan_v2"
    config = json.dumps({"model": "hifigan", "audio": {"sample_rate": 22050}}).encode()
    server.files[f"/v0.6.1_models/{vocoder}.zip"] = _zip({"config.json": config, "model_file.pth": WEIGHTS})
    ended = mmcli("models", "pull", "fastpitch-ljspeech", "-q")
    assert ended.code == 0, ended.err
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, vocoder}
    listed = {card["name"]: card["state"] for card in json.loads(mmcli("models", "list", "--json").out)}
    assert (listed["fastpitch-ljspeech"], listed["hifigan-ljspeech"]) == ("installed", "installed")
    assert listed["vits-ljspeech"] == "absent"


def test_what_was_cut_off_goes_on_where_it_stopped(server: Server, folder: Path, mmcli: Callable[..., Any]) -> None:
    server.cut_after = 100_000
    assert mmcli("models", "pull", f"{NAME}@v0.6.1_models", "--accept-licence", "-q").code == 0
    assert [wanted for _, wanted in server.asked] == [None, None, "bytes=100000-"]
    assert (folder / "model_file.pth").read_bytes() == WEIGHTS


def test_a_hash_that_is_known_is_checked(server: Server, folder: Path, mmcli: Callable[..., Any]) -> None:
    content = server.files["/v0.6.1_models/tts_models--en--ljspeech--fast_pitch.zip"]
    right, wrong = hashlib.sha256(content).hexdigest(), hashlib.sha256(b"").hexdigest()
    ended = mmcli("models", "pull", f"{NAME}@v0.6.1_models#sha256={wrong}", "--accept-licence", "-q")
    assert ended.code == 1
    assert "its hash is wrong" in ended.err
    assert list(folder.parent.iterdir()) == []
    assert mmcli("models", "pull", f"{NAME}@v0.6.1_models#sha256={right}", "--accept-licence", "-q").code == 0


DAMAGED = {
    "no archive": b"<html>",
    "two of one name": _zip({"a/config.json": CONFIG, "b/config.json": CONFIG, "model.pth": b"x"}),
    "no model": _zip({"config.json": b"{}", "model.pth": b"x"}),
    "no weights": _zip({"config.json": CONFIG}),
    "flipped bits": _zip(FILES).replace(WEIGHTS[1000:1004], b"\0\0\0\0"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_archive_leaves_nothing(what: str, server: Server, folder: Path, mmcli: Callable[..., Any]) -> None:
    server.files["/v0.6.1_models/tts_models--en--ljspeech--fast_pitch.zip"] = DAMAGED[what]
    ended = mmcli("models", "pull", f"{NAME}@v0.6.1_models", "--accept-licence", "-q")
    assert ended.code == 1
    assert len(ended.notes) == 1
    assert not folder.exists()
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == []


def test_no_name_in_an_archive_leads_out_of_the_folder(
    server: Server, folder: Path, tmp_path: Path, mmcli: Callable[..., Any]
) -> None:
    files = {**FILES, "../../../evil.txt": b"x", "/etc/evil2.txt": b"x", "..\\evil3.txt": b"x"}
    server.files["/v0.6.1_models/tts_models--en--ljspeech--fast_pitch.zip"] = _zip(files)
    assert mmcli("models", "pull", f"{NAME}@v0.6.1_models", "--accept-licence", "-q").code == 0
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "model_file.pth", "evil.txt", "evil2.txt", "evil3.txt")
    }
    assert not list(tmp_path.rglob("../evil*"))
    assert {path.parent for path in tmp_path.rglob("evil*")} == {folder}


@pytest.mark.parametrize(
    ("name", "env", "code", "told"),
    [
        ("coqui:tts_models/en/none/none", {}, 2, "licence (unknown) sets conditions"),
        (f"{NAME}@v9", {}, 4, "HTTP 404"),
        (f"{NAME}@v0.6.1_models", {"HF_HUB_OFFLINE": "1"}, 4, "HF_HUB_OFFLINE is set"),
        (f"{NAME}@v0.6.1_models", {"COQUI_ENDPOINT": "http://127.0.0.1:9"}, 4, "cannot be fetched"),
        ("coqui:fast_pitch", {}, 2, "names no model of Coqui TTS"),
        ("coqui:tts_models/en/../x", {}, 2, "names no model of Coqui TTS"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    name: str, env: dict[str, str], code: int, told: str, server: Server, mmcli: Callable[..., Any]
) -> None:
    more = [] if "unknown" in told else ["--accept-licence"]
    ended = mmcli("models", "pull", name, "-q", *more, env=env)
    assert ended.code == code
    assert len(ended.notes) == 1
    assert told in ended.err


def test_a_licence_with_conditions_is_accepted_by_flag_or_by_coquis_own_word(
    server: Server, mmcli: Callable[..., Any]
) -> None:
    dead = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    asked = mmcli("models", "pull", "coqui:tts_models/en/vctk/fast_pitch", "-q")
    assert asked.code == 2
    assert "CC BY-NC-ND 4.0" in asked.err
    assert server.asked == []
    assert "licence (CPML)" in mmcli("models", "pull", "xtts-v2", "-q", env=dead).err
    # The hub is not there; what matters is that the licence is no question any more.
    assert "CPML" not in mmcli("models", "pull", "xtts-v2", "-q", env={**dead, "COQUI_TOS_AGREED": "1"}).err


def test_names_of_releases_are_understood() -> None:
    release = cache.parse_release(f"{NAME}@v1#sha256={'a' * 64}", "v2")
    assert (release.name, release.tag, release.sha256) == ("tts_models/en/ljspeech/fast_pitch", "v1", "a" * 64)
    assert cache.parse_release(NAME, "v2").tag == "v2"
    for wrong in ("coqui:tts_models/en/x", "coqui:tts_models/en/a/b/c", "coqui:tts_models/en/a/.b", f"{NAME}@../x"):
        with pytest.raises(ConfigError):
            cache.parse_release(wrong)


@pytest.mark.parametrize(
    ("config", "names", "wanted"),
    [
        ({"model": "fast_pitch", "audio": {}}, ["model.pth"], ("tts", "coqui")),
        ({"model": "vits", "audio": {}}, ["model.pth"], ("tts", "coqui")),
        ({"model": "xtts", "audio": {}}, ["model.pth"], ("tts", "coqui")),
        ({"model": "hifigan", "audio": {}}, ["model.pth"], ("vocoder", "coqui-vocoder")),
        ({"generator_model": "multiband_melgan_generator", "audio": {}}, ["m.pth"], ("vocoder", "coqui-vocoder")),
        ({"upsample_rates": [8, 8], "num_mels": 80}, ["g_02500000"], ("vocoder", "coqui-vocoder")),
        ({"model": "something"}, ["model.pth"], None),
    ],
)
def test_folders_are_recognised(config: dict[str, Any], names: list[str], wanted: tuple[str, str] | None) -> None:
    family = families.recognise(config, names)
    assert (None if family is None else (family.role, family.engine)) == wanted


def test_a_folder_gets_a_name(tmp_path: Path, mmcli: Callable[..., Any]) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "config.json").write_bytes(CONFIG)
    lacking = mmcli("models", "add", "mine", place)
    assert lacking.code == 1
    assert re.search(r"has no \*\.pth", lacking.err)
    (place / "model_file.pth").write_bytes(b"x")
    assert mmcli("models", "add", "mine", place, "-q").code == 0
    assert json.loads(mmcli("models", "show", "mine", "--json").out)["engine"] == "coqui"
