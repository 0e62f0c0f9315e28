"""The API as others use it: fuzzed by schemathesis, and called by two generated clients.

`python -m tests.web.api_clients` installs the tools into a temporary directory, which needs the
network, serves a home with jobs of every kind, and ends with 1 where something was found. It is
no part of the tests: the tools change, and it takes minutes. The second client, in TypeScript, is
made where there is npx.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from queuectl.queue import open_queue
from queuectl.web.tokens import Tokens
from tests.web.kit import fill

TOOLS = ("schemathesis>=4", "openapi-python-client>=0.25")
LEFT_OUT = (
    # a wrong token makes an address wait, and so all that follows
    "--exclude-checks=ignored_auth,positive_data_acceptance",
    "--exclude-operation-id=testHook",  # it calls a host that is not there
)
"""What the fuzzer cannot judge: also which texts are times, ranges or commands."""

PHASES = (
    ("--phases=coverage",),
    # a deletion by force waits for a run as long as a setting says, which shall not be made up
    ("--phases=fuzzing", "--max-examples=40", "--exclude-operation-id=setSetting"),
)
"""What the fuzzer is run for. Without --max-time: it would begin again until that is over."""

_CLIENT = """
import importlib, inspect, pkgutil, sys
sys.path.insert(0, {path!r})
from queuectl_client import AuthenticatedClient, api, models
from queuectl_client.api.jobs import enqueue

client = AuthenticatedClient(sys.argv[1], sys.argv[2], raise_on_unexpected_status=True)
made = enqueue.sync(client=client, body=models.Enqueue(command="true", id="generated"))
assert made.id == "generated" and made.state == "pending", made
known = dict(id="dead1", key="max_retries")
called = 0
for found in pkgutil.walk_packages(api.__path__, "queuectl_client.api."):
    module = importlib.import_module(found.name)
    if not hasattr(module, "sync_detailed"):
        continue
    needed = [each.name for each in inspect.signature(module.sync_detailed).parameters.values()
              if each.default is inspect.Parameter.empty and each.name != "client"]
    if "body" in needed:
        continue
    name = "team" if "hook" in found.name else "nightly"
    values = dict((each, known.get(each.rstrip("_"), name)) for each in needed)
    if module._get_kwargs(**values)["method"] != "get":
        continue
    answer = module.sync_detailed(client=client, **values)
    called += 1
    fine = answer.status_code == (404 if "get_batch" in found.name else 200)
    assert fine and answer.parsed is not None, (found.name, answer)
print("the generated client for Python has called", called, "operations")
"""


def run(*words: str | Path, cwd: Path | None = None) -> bool:
    """Run a program; return whether it ended well."""
    print("$", *words[:3], "...", flush=True)
    return subprocess.run([str(word) for word in words], cwd=cwd, check=False).returncode == 0


def install(root: Path) -> Path:
    """Install the tools; return the directory of their programs."""
    subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
    subprocess.run([str(root / "bin/pip"), "install", "-q", *TOOLS], check=True)
    return root / "bin"


def check(root: Path, url: str, token: str) -> list[str]:
    """Return what has found something wrong."""
    programs, described = install(root / "tools"), root / "openapi.json"
    answer = httpx.get(f"{url}/api/openapi.json", headers={"authorization": f"Bearer {token}"})
    described.write_text(json.dumps(answer.raise_for_status().json()))
    client, script = root / "client", root / "call.py"
    script.write_text(_CLIENT.format(path=str(client)))
    results = {
        "the client for Python": run(
            programs / "openapi-python-client", "generate", "--path", described,
            "--output-path", client, "--meta", "setup",
        ) and run(programs / "python", script, url, token),
        **{
            f"schemathesis {options[0]}": run(
                programs / "schemathesis", "run", f"{url}/api/openapi.json",
                "-H", f"Authorization: Bearer {token}", "--request-timeout=60",
                *options, *LEFT_OUT, cwd=root,
            )
            for options in PHASES
        },
    }  # fmt: skip
    if shutil.which("npx"):
        tool, made = "openapi-typescript@7", root / "api.d.ts"
        results["the client for TypeScript"] = run(
            "npx", "--yes", tool, described, "-o", made
        ) and run("npx", "--yes", "-p", "typescript@5", "tsc", "--noEmit", "--strict", made)
    return [name for name, is_fine in results.items() if not is_fine]


def main() -> int:
    """Serve a home with jobs, and have it checked."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        os.environ["QUEUECTL_HOME"] = str(root / "home")
        with open_queue() as queue:
            fill(queue)
            token = Tokens(queue.home).new("clients")
        server = subprocess.Popen(
            [sys.executable, "-m", "queuectl", "dashboard", "--port", "0"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout
            url = server.stdout.readline().split()[2].rstrip("/")
            wrong = check(root, url, token)
        finally:
            server.terminate()
            server.wait()
    print("Wrong:" if wrong else "All is well.", *wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
