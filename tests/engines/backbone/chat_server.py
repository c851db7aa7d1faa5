"""A chat server on loopback that streams what a test tells it to: well, badly, late or never."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SSE = "text/event-stream"


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """`chunks` are sent one by one; "drop" in their place breaks the connection, "hang" waits until the test is over."""

    chunks: Iterable[bytes | str] = ()
    status: int = 200
    kind: str = SSE
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class ChatServer:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Reply] = lambda asked: Reply(said("Good ", "day."))
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when whoever asked has closed the connection before the end."""
    over: threading.Event = field(default_factory=threading.Event)


def event(value: Any) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]})


def said(*texts: str, finish: str = "stop", usage: dict[str, Any] | None = None) -> list[bytes | str]:
    """A whole answer as OpenAI's own server streams it."""
    end = [event({"choices": [], "usage": usage})] if usage else []
    return [delta("", role="assistant"), *map(delta, texts), delta(finish=finish), *end, b"data: [DONE]\n\n"]


def refusal(status: int, message: str, **headers: str) -> Reply:
    return Reply([json.dumps({"error": {"message": message}}).encode()], status, "application/json", headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ChatServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, body: dict[str, Any]) -> None:
        asked = Asked(self.command, self.path, dict(self.headers), body)
        self.state.asked.append(asked)
        reply = self.state.answer(asked)
        self.close_connection = True
        try:
            self._send(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.state.gone.set()

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        sent = {"Content-Type": reply.kind, "Transfer-Encoding": "chunked", "Connection": "close", **reply.headers}
        for key, value in sent.items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        for chunk in reply.chunks:
            if chunk == "hang":
                self.state.over.wait(60)
                return
            if chunk == "drop":
                return
            assert isinstance(chunk, bytes)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    state = ChatServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        http.shutdown()
        thread.join()
        http.server_close()
