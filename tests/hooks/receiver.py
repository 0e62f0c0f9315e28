"""Receivers on this machine: of webhooks, whose signatures they check, and of mail."""

from __future__ import annotations

import contextlib
import hmac
import json
import socketserver
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from tests.certificates import Certificate
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
    """Takes webhooks; `answers` are the codes of the next replies, then it is 200.

    With one that is no success it asks for a pause of `retry_after`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[Post] = []
        self.answers: list[int] = []
        self.retry_after = ""

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
        if code >= 300 and self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
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
    """Takes mail; `refusal` is what it says to a recipient instead.

    With a certificate it speaks TLS: from the first byte if it `is_tls_alone`, else when it is
    asked to by STARTTLS. `logins` are the names and passwords that it was told, each with whether
    the line was encrypted.
    """

    daemon_threads = True

    def __init__(
        self, certificate: Certificate | None = None, *, is_tls_alone: bool = False
    ) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.mails: list[EmailMessage] = []
        self.logins: list[tuple[str, str, bool]] = []
        self.refusal = ""
        self.is_tls_alone = is_tls_alone
        self.tls: ssl.SSLContext | None = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.authority, certificate.key)

    @property
    def url(self) -> str:
        """Where it is, and by whom it is to be used."""
        scheme = "smtps" if self.is_tls_alone else "smtp"
        return f"{scheme}://{'me@' if self.tls else ''}127.0.0.1:{self.server_address[1]}"


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailReceiver

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever does not trust the certificate hangs up
            if self.server.is_tls_alone:
                self._encrypt()
            self._talk()

    def finish(self) -> None:
        """Let go of the connection, which may be another than the one that came."""
        super().finish()
        self.connection.close()

    def _encrypt(self) -> None:
        assert self.server.tls
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", 0)

    def _talk(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline():
            word = line.split()[0].upper().decode()
            if word == "QUIT":
                self._say("221 bye")
                return
            if word == "RCPT" and self.server.refusal:
                self._say(self.server.refusal)
            elif word == "EHLO" and self.server.tls:
                self._say("250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN")
            elif word == "STARTTLS":
                self._say("220 go on")
                self._encrypt()
            elif word == "AUTH":
                _, name, password = b64decode(line.split()[2]).decode().split("\0")
                is_encrypted = isinstance(self.connection, ssl.SSLSocket)
                self.server.logins.append((name, password, is_encrypted))
                self._say("235 welcome")
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
