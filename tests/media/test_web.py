"""Addresses of the web, fetched from a server on this machine that behaves in every way a server can."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mmcli.errors import InputError
from mmcli.media import web
from mmcli.media.attachments import open_attachment
from mmcli.options import AttachOptions
from mmcli.stages import AudioSource, Document, Image, Video

QUICK = web.Limits(size=2_000_000, redirects=3, connect_s=2, silence_s=0.5, total_s=3)
FILES = {"i02.png": Image, "a05.flac": AudioSource, "MANIFEST.tsv": Document, "v02.mov": Video}


class _Handler(BaseHTTPRequestHandler):
    data: Path
    seen: list[tuple[str, str, str]] = []  # noqa: RUF012 - of the class on purpose: every request adds to it

    def log_message(self, *_: object) -> None:
        pass

    def _head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.seen.append((self.path, self.headers.get("Host", ""), self.headers.get("Authorization", "")))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            kind, _, rest = path[1:].partition("/")
            getattr(self, kind)(rest)
        self.close_connection = True

    def file(self, rest: str) -> None:
        body = (self.data / rest).read_bytes()
        self._head(Content_Type="application/x-lie", Content_Length=len(body))
        self.wfile.write(body)

    def to(self, rest: str) -> None:
        self._head(302, Location="/" + rest)

    def away(self, rest: str) -> None:
        port = self.headers["Host"].rpartition(":")[2]
        self._head(302, Location=f"http://127.0.0.2:{port}/{rest}")

    def scheme(self, _: str) -> None:
        self._head(302, Location="file:///etc/passwd")

    def loop(self, _: str) -> None:
        self._head(302, Location="/loop")

    def status(self, rest: str) -> None:
        self._head(int(rest))

    def long(self, _: str) -> None:
        self._head(Content_Length=10**12)

    def endless(self, _: str) -> None:
        self._head()
        while True:
            self.wfile.write(bytes(100_000))

    def silent(self, _: str) -> None:
        time.sleep(1.5)

    def drip(self, _: str) -> None:
        self._head()
        for _number in range(60):
            self.wfile.write(b"a")
            time.sleep(0.1)

    def cut(self, _: str) -> None:
        self._head(Content_Length=1000)
        self.wfile.write(b"half of it")

    def empty(self, _: str) -> None:
        self._head(Content_Length=0)

    def packed(self, _: str) -> None:
        self._head(Content_Encoding="gzip", Content_Length=3)
        self.wfile.write(b"abc")

    def page(self, _: str) -> None:
        self._head(Content_Type="image/png")
        self.wfile.write(b"\n<!DOCTYPE html><html><body>Please log in</body></html>")

    def garbage(self, _: str) -> None:
        self.wfile.write(b"\x00\x01 not HTTP at all\r\n\r\n")


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[str]:
    _Handler.data = data
    # On all loopback addresses, so that one of them can be "elsewhere".
    with ThreadingHTTPServer(("0.0.0.0", 0), _Handler) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def seen() -> list[tuple[str, str, str]]:
    _Handler.seen.clear()
    return _Handler.seen


@pytest.mark.parametrize("name, kind", FILES.items())
def test_the_content_decides_what_an_address_is(server: str, data: Path, name: str, kind: type) -> None:
    found = open_attachment(f"http://{server}/to/to/file/{name}", AttachOptions(allow_private_addresses=True))
    assert isinstance(found, kind)
    assert found.source == f"http://{server}/to/to/file/{name}"
    if isinstance(found, Image):
        assert np.array_equal(found.pixels(), open_attachment(data / name).pixels())  # type: ignore[union-attr]
    if isinstance(found, AudioSource):
        assert sum(block.seconds for block in found.blocks(16000)) > 5
        assert sum(block.seconds for block in found.blocks(16000)) > 5


@pytest.mark.parametrize(
    "path, words",
    [
        ("loop", "is redirected more than 3 times"),
        ("scheme", "only http and https addresses can be fetched, not file:"),
        ("status/404", r"the server has no such file \(HTTP 404\)"),
        ("status/401", r"the server wants a login \(HTTP 401\)"),
        ("status/500", r"the server does not give it \(HTTP 500\)"),
        ("status/206", r"the server does not give it \(HTTP 206\)"),
        ("long", "is larger than 2 MB"),
        ("endless", "is larger than 2 MB"),
        ("silent", "does not answer in time"),
        ("drip", "did not arrive within 3 seconds"),
        ("cut", "the connection broke off"),
        ("empty", "is empty"),
        ("packed", "sends it packed"),
        ("page", "is a web page"),
        ("garbage", "the connection broke off"),
    ],
)
def test_what_a_server_does_wrong_is_one_line(server: str, path: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        web.fetch(f"http://{server}/{path}", private=True, limits=QUICK)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"http://{server}/{path}: ")


@pytest.mark.parametrize(
    "address, words",
    [
        ("ftp://example.org/a.png", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("http://", "names no machine|not a valid address"),
        ("http://[::1", "not a valid address"),
        ("http://no-such-machine.invalid/", "there is no machine called no-such-machine.invalid"),
        ("http://127.0.0.1:1/", "cannot be reached"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(address: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        web.fetch(address, private=True, limits=QUICK)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::127.0.0.1", "::ffff:127.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::", "2001:db8::1"),
    ],
)
def test_addresses_of_this_machine_and_of_its_networks_are_private(address: str) -> None:
    assert not web.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_open_internet_are_not(address: str) -> None:
    assert web.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "2130706433", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_a_private_address_is_asked(server: str, host: str, seen: list[tuple[str, str, str]]) -> None:
    port = server.partition(":")[2]
    with pytest.raises(InputError, match="of this machine or of a private network; --allow-private-addresses"):
        web.fetch(f"http://{host}:{port}/file/i02.png")
    assert seen == []


def test_a_name_is_asked_at_the_addresses_that_were_checked(
    server: str, seen: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[ipaddress.ip_address("127.0.0.1")], [ipaddress.ip_address("192.0.2.1")]]
    monkeypatch.setattr(web, "resolve", lambda *_: answers.pop(0))
    monkeypatch.setattr(web, "is_public", lambda address: str(address) == "127.0.0.1")
    port = server.partition(":")[2]
    web.fetch(f"http://pictures.test:{port}/file/i02.png", limits=QUICK)
    assert len(answers) == 1
    assert seen == [("/file/i02.png", f"pictures.test:{port}", "")]
    with pytest.raises(InputError, match=r"is at 192\.0\.2\.1, an address of this machine"):
        web.fetch(f"http://pictures.test:{port}/file/i02.png", limits=QUICK)


def test_one_private_address_of_a_name_is_enough_to_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.0.1")]
    monkeypatch.setattr(web, "resolve", lambda *_: found)
    with pytest.raises(InputError, match=r"is at 10\.0\.0\.1"):
        web.fetch("http://pictures.test/a.png", limits=QUICK)


def test_a_redirect_to_a_private_address_is_refused(
    server: str, seen: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "is_public", lambda address: str(address) == "127.0.0.1")
    with pytest.raises(InputError, match=r"is at 127\.0\.0\.2, an address of this machine"):
        web.fetch(f"http://{server}/away/file/i02.png", limits=QUICK)
    assert [path for path, _, _ in seen] == ["/away/file/i02.png"]


def test_a_password_goes_to_its_server_alone_and_into_no_message(server: str, seen: list[tuple[str, str, str]]) -> None:
    login = f"http://ann:s3cret@{server}"
    expected = "Basic " + base64.b64encode(b"ann:s3cret").decode()
    web.fetch(f"{login}/to/file/i02.png?token=abc", private=True)
    assert [given for _, _, given in seen] == [expected, expected]
    seen.clear()
    web.fetch(f"{login}/away/file/i02.png", private=True)
    assert [given for _, _, given in seen] == [expected, ""]
    with pytest.raises(InputError) as caught:
        web.fetch(f"{login}/status/403?token=abc#part", private=True)
    assert str(caught.value) == f"http://{server}/status/403: the server does not allow it (HTTP 403)"


def test_https_is_not_left_for_http() -> None:
    with pytest.raises(InputError, match="from https to http"):
        web._redirected(web.httpx2.URL("https://example.org/a"), "http://example.org/a", "it")
