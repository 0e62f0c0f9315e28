"""The JSON API: what it does, and that it says what its description promises."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from queuectl.domain.job import State
from queuectl.domain.settings import KEYS
from queuectl.queue import Queue
from queuectl.web.api import ENDPOINTS, description
from queuectl.web.api.endpoint import Endpoint
from queuectl.web.http import MESSAGE_HEADER
from tests.cli.harness import Cli, cli
from tests.web.kit import Served, add

__all__ = ["cli"]

DESCRIPTION = description()


def conforms(answer: Any, endpoint: Endpoint) -> None:
    """Assert that an answer is one of those that the description promises."""
    promised = DESCRIPTION["paths"][f"/api{endpoint.path}"][endpoint.method.lower()]["responses"]
    assert str(int(answer.status_code)) in promised, (endpoint.name, answer.text)
    is_fine = answer.status_code < 400
    kind = "application/json" if is_fine else "application/problem+json"
    assert answer.headers["content-type"] == kind
    schema = endpoint.answer if is_fine else {"$ref": "#/components/schemas/Problem"}
    whole = {**schema, "components": DESCRIPTION["components"]}
    Draft202012Validator(whole).validate(answer.json())


def by_name(name: str) -> Endpoint:
    """Return an endpoint."""
    return next(endpoint for endpoint in ENDPOINTS if endpoint.name == name)


@pytest.mark.usefixtures("full")
def test_everything_that_is_told_is_what_the_command_line_tells(api: TestClient, cli: Cli) -> None:
    for path, words in {
        "/api/status": ["status"],
        "/api/jobs/dead1": ["show", "dead1"],
        "/api/jobs?full=true&oldest_first=true": ["list"],
        "/api/dlq?full=true&oldest_first=true": ["dlq", "list"],
        "/api/deliveries?full=true&oldest_first=true": ["list", "--deliveries"],
        "/api/queues": ["queue", "list"],
        "/api/workers": ["worker", "list"],
        "/api/schedules": ["schedule", "list"],
        "/api/schedules/nightly": ["schedule", "show", "nightly"],
        "/api/hooks": ["hook", "list"],
        "/api/hooks/team": ["hook", "show", "team"],
        "/api/settings": ["config", "get"],
    }.items():
        answer = api.get(path).json()
        told = answer["jobs"] if "full=true" in path else answer
        assert told == cli.ok(*words, "--json").json, path
    assert api.get("/api/stats").json()["total"]["enqueued"] == 10


@pytest.mark.usefixtures("full")
def test_every_reading_endpoint_keeps_its_promise(api: TestClient) -> None:
    for endpoint in ENDPOINTS:
        if not endpoint.changes:
            for job, name in (("dead1", "nightly"), ("running1", "team"), ("nobody", "nobody")):
                path = endpoint.path.replace("{id}", job).replace("{name}", name)
                conforms(api.get(f"/api{path}"), endpoint)


def test_a_job_is_enqueued_changed_and_deleted(api: TestClient, queue: Queue) -> None:
    made = api.post("/api/jobs", json={"id": "a", "command": ["echo", "a b"], "priority": "high"})
    conforms(made, by_name("enqueue"))
    assert (made.status_code, made.json()["command"]) == (201, ["echo", "a b"])
    assert api.post("/api/jobs", json={"id": "a", "command": "true"}).status_code == 409
    replaced = api.post("/api/jobs?replace=true", json={"id": "a", "command": "false"})
    assert replaced.json()["command"] == "false"
    for verb, state in (("pause", "pending"), ("resume", "pending"), ("cancel", "cancelled"),
                        ("retry", "pending")):  # fmt: skip
        answer = api.post(f"/api/jobs/a/{verb}")
        conforms(answer, by_name(f"{verb}Job"))
        assert answer.json()["state"] == state
    assert api.post("/api/jobs/a/retry").status_code == 409
    assert api.delete("/api/jobs/a").json() == {"deleted": "a"}
    assert api.get("/api/jobs/a").status_code == 404
    assert queue.counts().total == 0


def test_a_job_that_has_the_unique_key_already_is_not_told_to_be_enqueued(
    api: TestClient, queue: Queue
) -> None:
    told = []
    for job_id in ("a", "b"):
        fields = {"id": job_id, "command": "true", "unique": "k"}
        answer = api.post("/api/jobs", json=fields)
        conforms(answer, by_name("enqueue"))
        assert answer.json()["id"] == "a"
        told.append(unquote(answer.headers[MESSAGE_HEADER]))
    assert told == ["Enqueued job 'a'", "Job 'a' with this unique key waits or runs already"]
    assert queue.counts().total == 1


def test_dead_jobs_are_retried_and_purged(api: TestClient, full: Queue) -> None:
    both = api.post("/api/dlq/retry", json={"ids": ["dead1", "done1", "nobody"]})
    conforms(both, by_name("retryDead"))
    assert both.json()["done"] == 1
    assert both.json()["kept"] == 2
    assert full.get("dead1").state is State.PENDING
    assert full.get("done1").state is State.COMPLETED
    assert api.post("/api/dlq/purge", json={"ids": ["done1"]}).json()["done"] == 0
    assert api.post("/api/dlq/purge", json={"all": True}).json()["done"] == 1
    assert full.counts().of(State.DEAD) == 0
    assert full.get("done1")
    for body in ({}, {"all": False}, {"all": True, "ids": ["a"]}, {"ids": "a"}):
        assert api.post("/api/dlq/purge", json=body).status_code == 400


def test_queues_schedules_hooks_and_settings_are_changed(api: TestClient, full: Queue) -> None:
    for path, name in (("queues/mail/resume", "resumeQueue"), ("queues/mail/pause", "pauseQueue"),
                       ("hooks/team/pause", "pauseHook"), ("hooks/team/resume", "resumeHook"),
                       ("schedules/nightly/pause", "pauseSchedule"),
                       ("schedules/nightly/resume", "resumeSchedule")):  # fmt: skip
        answer = api.post(f"/api/{path}")
        assert answer.status_code == 200
        conforms(answer, by_name(name))
    assert api.put("/api/queues/mail/limit", json={"limit": 2}).json()["limit"] == 2
    assert full.queue_limits()["mail"].limit == 2
    for value, stored in ((5, 5), ("7", 7)):
        answer = api.put("/api/settings/max-retries", json={"value": value})
        assert answer.json() == {"key": "max_retries", "value": stored}
        conforms(answer, by_name("setSetting"))
    assert api.put("/api/settings/max_retries", json={"value": -1}).status_code == 400
    assert api.delete("/api/settings/max_retries").json()["value"] == 3
    assert api.delete("/api/schedules/nightly").json() == {"deleted": "nightly"}
    assert full.schedules.all() == []
    assert api.post("/api/hooks/team/resume").status_code == 409
    assert api.delete("/api/hooks/team").json() == {"deleted": "team"}
    assert full.hooks.all() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/api/jobs/nobody", 404, "no job 'nobody'"),
        ("GET", "/api/jobs?limit=0", 400, "limit must be at least 1"),
        ("GET", "/api/jobs?limti=5", 400, "did you mean 'limit'?"),
        ("GET", "/api/jobs?after=1&after=2", 400, "given twice"),
        ("PUT", "/api/settings/max_retrys", 400, "did you mean 'max_retries'?"),
        ("POST", "/api/jobs", 400, "'command' is missing"),
        ("GET", "/api/nothing", 404, "Not Found"),
        ("PATCH", "/api/jobs", 405, "Method Not Allowed"),
    ],
)
def test_an_error_is_problem_json_with_our_own_words(
    api: TestClient, method: str, path: str, status: int, told: str
) -> None:
    body = {"value": 1} if method == "PUT" else {}
    answer = api.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert told in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"1", b"[" * 100_000, b"\xff\xfe", b"{'a':1}"])
def test_a_body_that_is_no_object_is_refused(api: TestClient, body: bytes) -> None:
    assert api.post("/api/jobs", content=body).status_code == 400


def test_the_description_is_served_and_its_schemas_are_valid(api: TestClient) -> None:
    assert api.get("/api/openapi.json").json() == DESCRIPTION
    for schema in DESCRIPTION["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_health_and_metrics_are_told(served: Served, queue: Queue) -> None:
    add(queue, "a")
    client = served.client()
    assert client.get("/healthz").text == "ok\n"
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert 'queuectl_jobs{queue="default",state="pending"} 1.0' in metrics.text


def test_a_store_that_does_not_answer_is_503_and_one_line(served: Served, queue: Queue) -> None:
    add(queue, "a")
    queue.home.store_file.write_bytes(b"this is no store" * 1000)
    for near, told in (("127.0.0.1", "queue.db"), ("192.0.2.7", "the store does not answer\n")):
        answer = served.client(near).get("/healthz")
        assert answer.status_code == 503
        assert told in answer.text
        assert answer.text.count("\n") == 1
    answer = served.client().get("/api/status")
    assert (answer.status_code, answer.json()["status"]) == (503, 503)


# from here on: whatever fits the description, and much that does not

_NAMES = st.sampled_from(
    ["dead1", "done1", "failed1", "mail1", "mail", "nightly", "team", "nobody", "x@y"]
)
_ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
                 st.lists(st.integers(), max_size=2), st.just({"a": {}}))  # fmt: skip


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what makes values that fit a schema."""
    if "$ref" in schema:
        return st.dictionaries(
            st.sampled_from(["id", "command", "queue", "priority", "labels", "in", "after", "env"]),
            st.one_of(_ODD, _NAMES),
        )
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if isinstance(kind, list):
        return st.one_of(*(values({"type": each}) for each in kind))
    if kind == "array":
        return st.lists(values(schema["items"]), max_size=3)
    if kind == "integer":
        return st.integers(schema.get("minimum", -(2**60)), schema.get("maximum", 2**60))
    if kind == "number":
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind == "boolean":
        return st.booleans()
    return _NAMES if "pattern" in schema else st.one_of(st.text(max_size=30), st.sampled_from(KEYS))


@st.composite
def requests(draw: st.DrawFn, endpoint: Endpoint) -> dict[str, Any]:
    """Return a request that fits an endpoint but perhaps for some values."""
    path, query, body = endpoint.path, {}, dict[str, Any]()
    for param in endpoint.params:
        if param.place != "path" and not param.required and draw(st.booleans()):
            continue
        value = draw(st.one_of(values(param.schema), values(param.schema), _ODD))
        if param.place == "path":
            name = draw(st.one_of(_NAMES, st.sampled_from(KEYS), st.text("ab%?#\0é/ ", min_size=1)))
            path = path.replace(f"{{{param.name}}}", quote(name, safe=""))
        elif param.place == "query":
            query[param.name] = value
        elif param.name == "*":
            body = value if isinstance(value, dict) else {}
        else:
            body[param.name] = value
    sent = {"url": f"/api{path}", "params": query}
    return sent if endpoint.method == "GET" else {**sent, "json": body}


def test_no_request_surprises_the_api(api: TestClient, full: Queue) -> None:
    assert full.counts().total
    seen = set()

    def answered(endpoint: Endpoint, request: dict[str, Any]) -> None:
        try:
            answer = api.request(endpoint.method, **request)
        except (ValueError, TypeError):
            return  # what no JSON and no address can hold is never sent
        if answer.status_code in (404, 405) and answer.json()["detail"] in _NO_SUCH_PATH:
            return  # the name in the path made another path of it
        seen.add((endpoint.name, answer.status_code))
        conforms(answer, endpoint)

    def try_out(endpoint: Endpoint) -> None:
        @settings(
            max_examples=6, deadline=None, database=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(requests(endpoint))
        def some(request: dict[str, Any]) -> None:
            answered(endpoint, request)

        some()

    for endpoint in ENDPOINTS:
        try_out(endpoint)
    assert {name for name, _ in seen} == {endpoint.name for endpoint in ENDPOINTS}
    assert {status for _, status in seen} >= {200, 400, 404}


_NO_SUCH_PATH = ("Not Found", "Method Not Allowed")
