"""A real proxy with TLS in front of a dashboard."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import certificate_in

_CONF = """
daemon off; user root; pid {root}/nginx.pid; error_log {root}/error.log;
worker_processes 1;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        location / {{ return 404 "another site"; }}
        location {path} {{
            proxy_pass {to};
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            {more}
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


def program() -> str:
    """Return where nginx is; the test is skipped where there is none."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    return found


@contextmanager
def free_port() -> Iterator[socket.socket]:
    """Listen at a port that is nobody else's, for the proxy to take over."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener


@contextmanager
def proxy(
    listener: socket.socket, to: str, root: Path, path: str = "/", more: str = ""
) -> Iterator[None]:
    """Serve by TLS at a port what is at `to`, below a path; `more` are lines of its own."""
    nginx, certificate = program(), certificate_in(root)
    conf = root / "nginx.conf"
    conf.write_text(_CONF.format(
        root=root, port=listener.getsockname()[1], certificate=certificate.authority,
        key=certificate.key, path=path, to=to, more=more,
    ))  # fmt: skip
    number = listener.fileno()
    process = subprocess.Popen(
        [nginx, "-p", str(root), "-e", str(root / "error.log"), "-c", str(conf)],
        env={**os.environ, "NGINX": f"{number};"}, pass_fds=[number],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield  # whoever connects before it has begun waits at the port
    finally:
        process.terminate()  # not killed, so that it ends its worker
        process.communicate(timeout=60)
