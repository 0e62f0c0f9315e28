"""Receivers on this machine: of webhooks, whose signatures they check, and of mail."""

from __future__ import annotations

import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from tests.worker.fleet import eventually

KEY = "s3cr3t-key"


@dataclass(frozen=True)
class Post:
    """One request that came, with whether its signature by `KEY` is right."""

    path: str
    body: bytes
    delivery: str
    idempotency_key: str
    is_signed: bool

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; `answers` are the codes of the next replies, then it is 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[Post] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        """Where it is, with a path that nobody else shall see."""
        return f"http://127.0.0.1:{self.server_address[1]}/s3cr3t/path?token=s3cr3t"

    def got(self, number: int) -> list[Post]:
        """Wait until so many posts have come, and return all."""
        return eventually(lambda: len(self.posts) >= number and list(self.posts))


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        delivery = self.headers.get("X-Queuectl-Delivery", "")
        self.server.posts.append(
            Post(self.path, body, delivery, self.headers["Idempotency-Key"], self._is_signed(body))
        )
        code = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _is_signed(self, body: bytes) -> bool:
        parts = dict(part.split("=") for part in self.headers["X-Queuectl-Signature"].split(",")) \
            if "X-Queuectl-Signature" in self.headers else {}  # fmt: skip
        wanted = hmac.new(KEY.encode(), parts.get("t", "").encode() + b"." + body, sha256)
        return hmac.compare_digest(wanted.hexdigest(), parts.get("v1", ""))

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class MailReceiver(socketserver.ThreadingTCPServer):
    """Takes mail without TLS or a login; `refusal` is what it says to a recipient instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.mails: list[EmailMessage] = []
        self.refusal = ""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailReceiver

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline():
            word = line.split()[0].upper().decode()
            if word == "QUIT":
                self._say("221 bye")
                return
            if word == "RCPT" and self.server.refusal:
                self._say(self.server.refusal)
            elif word == "DATA":
                self._take()
            else:
                self._say("250 ok")

    def _take(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.server.mails.append(mail)
        self._say("250 taken")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


Server = TypeVar("Server", bound=socketserver.TCPServer)


@contextmanager
def receiving(server: Server) -> Iterator[Server]:
    """Let a server answer until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
