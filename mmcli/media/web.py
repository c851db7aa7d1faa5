"""Files from http and https addresses, fetched with bounds: size, time, redirects, and which machines are asked.

A name is looked up once and the connection goes to the very addresses that were checked, so that a name server which
answers differently the second time cannot lead it to a machine of this network. Proxies are not used, as they would look
names up by themselves.
"""

from __future__ import annotations

import ipaddress
import socket
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import httpcore2
import httpx2

from mmcli import __version__
from mmcli.errors import InputError
from mmcli.media.files import Spooled, display_name, too_large

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

_SCHEMES = ("http", "https")
_REDIRECTS = (301, 302, 303, 307, 308)
_REASONS = {401: "wants a login", 403: "does not allow it", 404: "has no such file", 410: "has no such file any more"}
# Sent, so that what arrives is the file itself.
_HEADERS: dict[bytes | str, bytes | str] = {
    "User-Agent": f"mmcli/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_HEAD = 512

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one download: bytes, redirects, seconds for connecting, between two pieces, and in all."""

    size: int = 256_000_000
    redirects: int = 5
    connect_s: float = 10.0
    silence_s: float = 20.0
    total_s: float = 300.0


def is_address(name: str) -> bool:
    """Whether a name given by the user is an address of the web (or of another scheme, which `fetch` refuses)."""
    return "://" in name


def shown(address: str) -> str:
    """An address as messages and records name it: without user, password, query and fragment, which may hold secrets."""
    try:
        url = httpx2.URL(address)
        clean = url.copy_with(username=None, password=None, query=None, fragment=None) if url.userinfo else url
        return display_name(str(clean.copy_with(query=None, fragment=None)))
    except (httpx2.InvalidURL, TypeError, ValueError):
        return "the address"


def fetch(address: str, *, private: bool = False, limits: Limits | None = None) -> Spooled:
    """The content behind an http or https address in an unnamed file, which vanishes with the name given back.

    `private` allows addresses of this machine and of its networks. InputError in one line for whatever goes wrong.
    """
    limits = limits or Limits()
    source = shown(address)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the name of it
    try:
        with httpcore2.ConnectionPool(network_backend=_Checked(source, private, limits)) as pool:
            url = _parsed(address, source)
            for _ in range(limits.redirects + 1):
                target = _get(pool, url, cast("BinaryIO", file), source, limits)
                if target is None:
                    _check_content(cast("BinaryIO", file), source)
                    return Spooled.of(cast("BinaryIO", file), source)
                url = _redirected(url, target, source)
            raise InputError(source, f"is redirected more than {limits.redirects} times")
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise InputError(
                source, f"cannot be kept in {tempfile.gettempdir()} ({error.strerror or error})"
            ) from error
        raise


def _parsed(address: str, source: str) -> httpx2.URL:
    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL as error:
        raise InputError(source, "is not a valid address") from error
    if url.scheme not in _SCHEMES:
        raise InputError(source, f"only http and https addresses can be fetched, not {display_name(url.scheme)}:")
    if not url.host:
        raise InputError(source, "is not a valid address, it names no machine")
    return url


def _redirected(url: httpx2.URL, target: str, source: str) -> httpx2.URL:
    try:
        joined = url.join(target)
    except httpx2.InvalidURL as error:
        raise InputError(source, "is redirected to no valid address") from error
    new = _parsed(str(joined), source)
    if url.scheme == "https" and new.scheme != "https":
        raise InputError(source, "is redirected from https to http, where anybody on the way can change it")
    same = (url.scheme, url.host, url.port) == (new.scheme, new.host, new.port)
    # Who one has to be for one server is nothing that another one may know.
    user, password = (url.username, url.password) if same else ("", "")
    return new.copy_with(username=user, password=password)


def _get(pool: httpcore2.ConnectionPool, url: httpx2.URL, file: BinaryIO, source: str, limits: Limits) -> str | None:
    """One request: the body written to the file, or where it is redirected to."""
    headers = {"Host": url.netloc.decode("ascii"), **_HEADERS}
    if url.userinfo:
        request = httpx2.Request("GET", url)
        headers["Authorization"] = next(httpx2.BasicAuth(url.username, url.password).auth_flow(request)).headers[
            "Authorization"
        ]
    where = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    patience = {"connect": limits.connect_s, "read": limits.silence_s, "write": limits.silence_s, "pool": 1.0}
    try:
        with pool.stream("GET", where, headers=headers, extensions={"timeout": patience}) as response:
            answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in _REDIRECTS and "location" in answered:
                return answered["location"]
            _check_answer(response.status, answered, source, limits)
            count = 0
            for piece in response.iter_stream():
                count += len(piece)
                if count > limits.size:
                    raise too_large(source, limits.size)
                file.write(piece)
    except httpcore2.TimeoutException as error:
        raise InputError(source, "the server does not answer in time") from error
    except httpcore2.ConnectError as error:
        raise InputError(source, f"the server cannot be reached ({_reason(error)})") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise InputError(source, f"the connection broke off ({_reason(error)})") from error
    if not count:
        raise InputError(source, "is empty")
    return None


def _check_answer(status: int, headers: dict[str, str], source: str, limits: Limits) -> None:
    if status != 200:
        raise InputError(source, f"the server {_REASONS.get(status, 'does not give it')} (HTTP {status})")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise InputError(source, "the server sends it packed, though it was asked not to")
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.size:
        raise too_large(source, limits.size)


def _check_content(file: BinaryIO, source: str) -> None:
    """A page that asks for a login or tells of an error is not what was meant, and comes with HTTP 200 all the same."""
    file.seek(0)
    head = file.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        raise InputError(source, "is a web page, not a picture, document or recording")


def _reason(error: Exception) -> str:
    return display_name(str(error) or type(error).__name__)


# ---------------------------------------------------------------- which machines


class _Checked(httpcore2.NetworkBackend):
    """Connects to the addresses of a name that were checked, and to no other."""

    def __init__(self, source: str, private: bool, limits: Limits) -> None:
        self._source, self._private, self._limits = source, private, limits
        self._deadline = time.monotonic() + limits.total_s
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = resolve(host, port, self._source)
        for address in addresses:
            if not self._private and not is_public(address):
                raise InputError(
                    self._source,
                    f"is at {address}, an address of this machine or of a private network",
                    "--allow-private-addresses lets it be asked",
                )
        problem: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for address in addresses:
            try:
                stream = self._plain.connect_tcp(str(address), port, timeout, local_address, socket_options)
                return _Timed(stream, self._left)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore2.ConnectError("it has no address")

    def _left(self) -> float:
        """Seconds that are left for everything, however slowly the server drips."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise InputError(self._source, f"did not arrive within {self._limits.total_s:g} seconds")
        return left


class _Timed(httpcore2.NetworkStream):
    """A connection whose every wait is bounded by what is left of the whole time."""

    def __init__(self, stream: httpcore2.NetworkStream, left: Callable[[], float]) -> None:
        self._stream, self._left = stream, left

    def _bounded(self, timeout: float | None) -> float:
        left = self._left()
        return left if timeout is None else min(left, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._stream.read(max_bytes, self._bounded(timeout))
        except httpcore2.ReadTimeout:
            self._left()  # which says so where it is the whole time that is over
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._bounded(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, self._bounded(timeout)), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def resolve(host: str, port: int, source: str) -> list[Address]:
    """The addresses of a machine. InputError where its name is not known."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(source, f"there is no machine called {display_name(host)}, or no network") from error
    names = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return [ipaddress.ip_address(name) for name in names]


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, also where an IPv4 address hides in one of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and (address in _NAT64 or address in _COMPATIBLE):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
