"""A model hub on loopback: the part of the Hugging Face protocol that its library asks for, over small files.

It answers for models with refs and commits, LFS and plain files, Range requests, tokens and gates, and can be told to
cut a connection, to send wrong bytes, to hang, or to say how a server refuses.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

_API = re.compile(r"/api/models/(?P<repo>[\w.-]+/[\w.-]+)(/revision/(?P<rev>[^/]+)|/tree/(?P<tree>[^/]+))?")
_FILE = re.compile(r"/(?P<repo>[\w.-]+/[\w.-]+)/resolve/(?P<rev>[^/]+)/(?P<name>.+)")
LFS_FROM = 10_000
"""Files of this many bytes are kept as large files, known by SHA-256 instead of git's SHA-1."""


def sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def oid(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if len(content) >= LFS_FROM else sha1(content)


@dataclass
class Model:
    """One repository: its commits, its branches, and whom it is given to."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    license: str = "mit"
    gated: bool = False
    token: str | None = None

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[commit] = files
        self.refs[ref] = commit
        return commit


@dataclass
class Hub:
    url: str = ""
    models: dict[str, Model] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path, and the Range that was asked for."""
    served: int = 0
    """Bytes of files that were sent."""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    """For a file, after how many bytes the connection breaks at the first, second ... answer."""
    wrong: dict[str, bytes] = field(default_factory=dict)
    """What is sent instead of a file's content; sizes and hashes are told as they should be."""
    drops: int = 0
    """How many of the next requests end without a word, as on a connection that was open for too long."""
    hang_s: float = 0.0
    """How long nothing is said."""
    trickle_s: float = 0.0
    """Pause after every 64 kB."""
    status: int = 0
    """Said to everything instead of an answer."""
    no_ranges: bool = False

    def ranges(self) -> list[str]:
        return [asked for _, _, asked in self.requests if asked is not None]

    def fetched(self) -> list[str]:
        return [path.rpartition("/")[2] for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if self.hub.drops:
            self.hub.drops -= 1
            self.close_connection = True
            return
        if self.hub.hang_s:
            time.sleep(self.hub.hang_s)
            self.close_connection = True
            return
        if self.hub.status:
            self._say(self.hub.status, b"{}")
        elif match := _API.fullmatch(path):
            self._api(match)
        elif match := _FILE.fullmatch(path):
            self._file(match)
        else:
            self._say(404, b"{}")

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _find(self, repo: str, revision: str, *, file: bool) -> tuple[Model, str] | None:
        model = self.hub.models.get(repo)
        if model is None:
            self._say(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return None
        allowed = model.token is not None and self.headers.get("Authorization") == f"Bearer {model.token}"
        if model.gated and file and not allowed:
            status = 403 if "Authorization" in self.headers else 401
            self._say(status, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask \x1b[31mfirst"})
            return None
        if model.token is not None and not model.gated and not allowed:
            self._say(401, b'{"error": "Invalid username or password."}')
            return None
        commit = model.refs.get(revision, revision)
        if commit not in model.commits:
            self._say(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return model, commit

    def _api(self, match: re.Match[str]) -> None:
        found = self._find(match["repo"], match["rev"] or match["tree"] or "main", file=False)
        if found is None:
            return
        model, commit = found
        files = model.commits[commit]
        content: Any
        if match["tree"]:
            content = [{"type": "file", "path": name, **_facts(data, "oid")} for name, data in files.items()]
        else:
            siblings = [{"rfilename": name, **_facts(data, "blobId")} for name, data in files.items()]
            content = {
                "id": match["repo"],
                "sha": commit,
                "siblings": siblings,
                "gated": model.gated,
                "cardData": {"license": model.license},
                "tags": [f"license:{model.license}"],
            }
        self._say(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _file(self, match: re.Match[str]) -> None:
        found = self._find(match["repo"], match["rev"], file=True)
        if found is None:
            return
        name = match["name"]
        model, commit = found
        if name not in model.commits[commit]:
            self._say(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        true = model.commits[commit][name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{oid(true)}"', "X-Linked-Size": str(len(true))}
        if self.command == "HEAD":
            self._say(200, true, headers)
            return
        data = self.hub.wrong.get(name, true)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked and not self.hub.no_ranges else 0
        self.send_response(206 if start else 200)
        headers |= {"Content-Length": str(len(data) - start), "Connection": "close"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        cuts = self.hub.cuts.get(name)
        self._send(data[start : start + cuts.pop(0)] if cuts else data[start:])

    def _send(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 16):
            piece = data[at : at + (1 << 16)]
            self.wfile.write(piece)
            self.hub.served += len(piece)
            time.sleep(self.hub.trickle_s)


def _facts(content: bytes, key: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"size": len(content), key: sha1(content)}
    if len(content) >= LFS_FROM:
        digest = hashlib.sha256(content).hexdigest()
        facts["lfs"] = {"sha256": digest, "oid": digest, "size": len(content), "pointerSize": 134}
    return facts


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """A client that goes away is part of the tests."""


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub for the length of a block."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = _Server(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
