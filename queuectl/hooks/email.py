"""Mail about the events of a hook, handed to a server over an encrypted connection."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.hook_messages import Facts, sentence
from queuectl.domain.hooks import Hook
from queuectl.hooks import DeliveryError

SMTP_SECONDS = 10.0
_HINT = "for example smtp://me@mail.example.com:587, or smtps://mail.example.com"
_PORTS = {"smtp": 587, "smtps": 465}


class Server(NamedTuple):
    """A mail server: `smtps` is encrypted from the first byte, `smtp` by STARTTLS."""

    scheme: str
    host: str
    port: int
    user: str

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, so that nothing of the mail goes over a wire."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_server(url: str) -> Server:
    """Return the server at `smtp://USER@HOST:PORT` or `smtps://…`. Raises InvalidInput."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("the address of the mail server is malformed", _HINT) from None
    if parts.password is not None:
        raise InvalidInput(
            "the address of the mail server must not hold the password",
            hint="give it with --secret-file or --secret-env",
        )
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
        raise InvalidInput(f"{shown(url)} is not the address of a mail server", hint=_HINT)
    user = unquote(parts.username or "")
    return Server(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], user)


def check_addresses(text: str) -> str:
    """Return the addresses of people, with commas between them. Raises InvalidInput."""
    addresses = [each.strip() for each in text.split(",")]
    for each in addresses:
        name, at, domain = each.rpartition("@")
        if not (name and at and domain) or not each.isprintable() or " " in each:
            raise InvalidInput(f"{shown(each)} is not an e-mail address", "for example me@home.org")
    return ", ".join(addresses)


def message_of(hook: Hook, facts: Facts, delivery: str) -> EmailMessage:
    """Return the mail that tells an event; its id is made of the delivery's."""
    text = sentence(facts)
    host = socket.gethostname() or "localhost"
    message = EmailMessage()
    message["Subject"] = "queuectl: " + " ".join(text.split())
    message["From"] = hook.sender or f"queuectl@{host}"
    message["To"] = hook.address
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{delivery.replace(':', '.')}@queuectl>"
    message["Auto-Submitted"] = "auto-generated"
    details = json.dumps(facts, indent=2, ensure_ascii=False)
    message.set_content(f"{text}\n\nhook: {hook.name}\n\n{details}\n")
    return message


def send_mail(hook: Hook, facts: Facts, delivery: str) -> str:
    """Hand one mail to the hook's server; return what is to be said of it. Raises DeliveryError."""
    server = parse_server(hook.smtp)
    message = message_of(hook, facts, delivery)
    try:
        with _connection(server) as connection:
            if server.user:
                connection.login(server.user, hook.secret or "")
            connection.send_message(message)
    except smtplib.SMTPAuthenticationError:
        why = f"{server.host} refused the user's name or password"
        raise DeliveryError(why, is_final=True) from None
    except smtplib.SMTPRecipientsRefused as fault:
        codes = sorted({code for code, _ in fault.recipients.values()})
        listed = ", ".join(f"SMTP {code}" for code in codes)
        raise DeliveryError(
            f"{server.host} refused the recipients ({listed})", is_final=codes[0] >= 500
        ) from None
    except smtplib.SMTPResponseException as fault:
        raise DeliveryError(
            f"{server.host} answered SMTP {fault.smtp_code}", is_final=fault.smtp_code >= 500
        ) from None
    except (smtplib.SMTPException, OSError) as fault:
        why = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
        raise DeliveryError(f"{server.host} cannot be reached: {why}") from None
    return f"{server.host} took the mail"


def _connection(server: Server) -> smtplib.SMTP:
    """Return a connection that nobody can listen to, or one that does not leave this machine."""
    context = ssl.create_default_context()
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SMTP_SECONDS, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=SMTP_SECONDS)
    try:
        connection.ehlo()
        if not server.is_here:
            if not connection.has_extn("starttls"):
                raise DeliveryError(f"{server.host} offers no encryption", is_final=True)
            connection.starttls(context=context)
    except BaseException:
        connection.close()
        raise
    return connection
