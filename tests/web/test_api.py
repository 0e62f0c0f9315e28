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
from queuectl.domain.job_fields import ASKED
from queuectl.domain.settings import KEYS
from queuectl.queue import Queue
from queuectl.web.api import BY_NAME, ENDPOINTS, description
from queuectl.web.api.endpoint import Endpoint
from queuectl.web.api.schemas import SCHEMAS
from queuectl.web.http import MESSAGE_HEADER
from tests.cli.harness import Cli, cli
from tests.web.kit import TOKEN, Served, add, policy

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


def call(client: TestClient, name: str, body: Any = None, /, query: str = "", **path: str) -> Any:
    """Ask for an endpoint by its name; return the answer, which is one that was promised."""
    endpoint = BY_NAME[name]
    address = f"/api{endpoint.path.format_map(path)}{query}"
    answer = client.request(endpoint.method, address, json=body)
    conforms(answer, endpoint)
    return answer


@pytest.mark.usefixtures("full")
def test_everything_that_is_told_is_what_the_command_line_tells(api: TestClient, cli: Cli) -> None:
    whole = "?full=true&oldest_first=true"
    for name, query, words in (
        ("getStatus", "", "status"),
        ("getJob", "", "show dead1"),
        ("listJobs", whole, "list"),
        ("listDead", whole, "dlq list"),
        ("listDeliveries", whole, "list --deliveries"),
        ("listQueues", "", "queue list"),
        ("listWorkers", "", "worker list"),
        ("listSchedules", "", "schedule list"),
        ("getSchedule", "", "schedule show nightly"),
        ("listHooks", "", "hook list"),
        ("getHook", "", "hook show team"),
        ("getSettings", "", "config get"),
    ):
        one = "team" if "Hook" in name else "nightly"
        answer = call(api, name, query=query, id="dead1", name=one).json()
        value = answer["jobs"] if query else answer
        assert value == cli.ok(*words.split(), "--json").json, name
    assert call(api, "getStats").json()["total"]["enqueued"] == 10
    assert call(api, "getLog", id="dead1").json()["text"] == "oh no\n"
    for name in ("getJob", "getLog", "getSchedule", "getHook"):
        assert call(api, name, id="nobody", name="nobody").status_code == 404


def test_a_job_is_enqueued_changed_and_deleted(api: TestClient, queue: Queue) -> None:
    fields = {"id": "a", "command": ["echo", "a b"], "priority": "high"}
    made = call(api, "enqueue", fields)
    assert (made.status_code, made.json()["command"]) == (201, ["echo", "a b"])
    assert call(api, "enqueue", fields).status_code == 409
    replaced = call(api, "enqueue", {**fields, "command": "false"}, query="?replace=true")
    assert replaced.json()["command"] == "false"
    held = call(api, "enqueue", {"id": "held", "command": "true", "hold": True})
    assert held.json()["reason"] == "paused"
    call(api, "deleteJob", id="held")
    for verb, state in (("pause", "pending"), ("resume", "pending"), ("cancel", "cancelled"),
                        ("retry", "pending")):  # fmt: skip
        assert call(api, f"{verb}Job", id="a").json()["state"] == state
    assert call(api, "retryJob", id="a").status_code == 409
    assert call(api, "deleteJob", id="a").json() == {"deleted": "a"}
    assert call(api, "getJob", id="a").status_code == 404
    assert queue.counts().total == 0


def test_batches_are_what_the_command_line_tells(api: TestClient, queue: Queue, cli: Cli) -> None:
    queue.enqueue(["true", "false"], batch="b", at_once=1)
    queue.enqueue_one("true")
    assert call(api, "listBatches").json() == cli.ok("batch", "list", "--json").json
    assert call(api, "getBatch", name="b").json() == cli.ok("batch", "show", "b", "--json").json
    assert call(api, "getBatch", name="x").status_code == 404
    assert len(call(api, "listJobs", query="?batch=b").json()["jobs"]) == 2
    assert call(api, "listJobs", query="?batch=x").status_code == 404
    assert call(api, "listDead", query="?batch=x").status_code == 404
    assert call(api, "cancelJobs", {"all": True, "batch": "x"}).status_code == 404


def test_many_jobs_of_one_command_are_enqueued_or_none(api: TestClient, queue: Queue) -> None:
    sweep = {"command": ["job", "{}", "{lr}"], "queue": "gpu", "batch": "b", "array": "1-2"}
    made = call(api, "enqueueSweep", {**sweep, "params": {"lr": [0.1, "x y"]}})
    assert (made.status_code, made.json()) == (
        201, {"batch": "b", "jobs": 4, "first": "b-1", "last": "b-4"},
    )  # fmt: skip
    assert unquote(made.headers[MESSAGE_HEADER]) == "Enqueued batch 'b' of 4 jobs"
    last = call(api, "getJob", id="b-4").json()
    assert (last["command"], last["queue"]) == (["job", "2", "x y"], "gpu")
    assert last["params"] == {"index": "2", "lr": "x y"}
    assert call(api, "enqueueSweep", sweep).status_code == 409
    for wrong in (
        {"command": "job '{}'"}, {"array": "3-1"}, {"params": {"lr": 1}}, {"rows": [1]},
        {"capture_env": True}, {"array": 5}, {"nonsense": 1},
        {"array": "1-2%1", "at_once": 2},
    ):  # fmt: skip
        refused = call(api, "enqueueSweep", {**sweep, "batch": "c", **wrong})
        assert refused.status_code == 400, wrong
    assert call(api, "enqueueSweep", {"command": "job"}).status_code == 400
    rows = call(api, "enqueueSweep", {"id": "r", "command": "job {a}", "rows": [{"a": 1}]})
    assert rows.json()["first"] == "r-1"
    assert queue.counts().total == 5


def test_jobs_that_are_not_made_yet_count_among_those_that_were_changed(api: TestClient) -> None:
    call(api, "enqueueSweep", {"command": "job {}", "batch": "b", "array": "1-20000"})
    for endpoint in ("cancelJobs", "deleteJobs"):
        assert call(api, endpoint, {"all": True, "batch": "b"}).json()["done"] == 20_000


def test_a_job_that_has_the_unique_key_already_is_not_told_to_be_enqueued(
    api: TestClient, queue: Queue
) -> None:
    answers = [call(api, "enqueue", {"id": i, "command": "true", "unique": "k"}) for i in "ab"]
    assert [answer.json()["id"] for answer in answers] == ["a", "a"]
    assert [unquote(answer.headers[MESSAGE_HEADER]) for answer in answers] == [
        "Enqueued job 'a'", "Job 'a' with this unique key waits or runs already",
    ]  # fmt: skip
    assert queue.counts().total == 1


def test_dead_jobs_are_retried_and_purged(api: TestClient, full: Queue) -> None:
    some = call(api, "retryDead", {"ids": ["dead1", "done1", "nobody"]}).json()
    assert (some["done"], some["kept"]) == (1, 2)
    assert full.get("dead1").state is State.PENDING
    assert call(api, "purgeDead", {"ids": ["done1"]}).json()["done"] == 0
    assert call(api, "purgeDead", {"all": True}).json()["done"] == 1
    assert full.counts().of(State.DEAD) == 0
    assert full.get("done1").state is State.COMPLETED
    for body in ({}, {"all": False}, {"all": True, "ids": ["a"]}, {"ids": "a"}):
        assert call(api, "purgeDead", body).status_code == 400


def test_queues_schedules_hooks_and_settings_are_changed(api: TestClient, full: Queue) -> None:
    for kind, name in (("Queue", "mail"), ("Hook", "team"), ("Schedule", "nightly")):
        call(api, f"resume{kind}", name=name)
        for verb, is_paused in (("pause", True), ("resume", False)):
            answer = call(api, f"{verb}{kind}", name=name)
            assert (answer.status_code, answer.json()["paused"]) == (200, is_paused)
    assert call(api, "limitQueue", {"limit": 2}, name="mail").json()["limit"] == 2
    assert full.queue_limits()["mail"].limit == 2
    for value, stored in ((5, 5), ("7", 7)):
        answer = call(api, "setSetting", {"value": value}, key="max-retries")
        assert answer.json() == {"key": "max_retries", "value": stored}
    assert call(api, "setSetting", {"value": -1}, key="max_retries").status_code == 400
    assert call(api, "unsetSetting", key="max_retries").json()["value"] == 3
    assert call(api, "resumeHook", name="team").status_code == 409
    for kind, name in (("Hook", "team"), ("Schedule", "nightly")):
        assert call(api, f"remove{kind}", name=name).json() == {"deleted": name}
    assert (full.schedules.all(), full.hooks.all()) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/api/jobs/nobody", 404, "no job 'nobody'"),
        ("GET", "/api/jobs?limit=0", 400, "limit must be at least 1, not 0"),
        ("GET", "/api/jobs?state=happy", 400, "state must be one of pending, processing, "),
        ("GET", "/api/jobs?limti=5", 400, "did you mean 'limit'?"),
        ("GET", "/api/jobs?after=1&after=2", 400, "given twice"),
        ("PUT", "/api/settings/max_retrys", 400, "did you mean 'max_retries'?"),
        ("POST", "/api/jobs", 400, "'command' is missing"),
        ("GET", "/api/nothing", 404, "Not Found"),
        ("PATCH", "/api/jobs", 405, "Method Not Allowed"),
    ],
)
def test_an_error_is_problem_json_with_our_own_words(
    api: TestClient, method: str, path: str, status: int, words: str
) -> None:
    answer = api.request(method, path, json={"value": 1} if method == "PUT" else {})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"1", b"[" * 100_000, b"\xff\xfe", b"{'a':1}"])
def test_a_body_that_is_no_object_is_refused(api: TestClient, body: bytes) -> None:
    assert api.post("/api/jobs", content=body).status_code == 400


def test_the_description_is_served_and_its_schemas_are_valid(api: TestClient) -> None:
    assert api.get("/api/openapi.json").json() == DESCRIPTION
    for schema in DESCRIPTION["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_description_says_when_a_token_is_needed() -> None:
    for open_reading in (True, False):
        with Served(policy(open_reading=open_reading)) as served:
            client = served.client()
            client.headers["authorization"] = f"Bearer {TOKEN}"
            paths = client.get("/api/openapi.json").json()["paths"]
            alone = served.client()
            for endpoint in ENDPOINTS:
                operation = paths[f"/api{endpoint.path}"][endpoint.method.lower()]
                address = f"/api{endpoint.path.format(id='a', name='a', key='a')}"
                status = alone.request(endpoint.method, address).status_code
                assert ({} in operation["security"]) == (status != 401), endpoint.name


def test_the_description_has_the_bounds_of_what_is_accepted(api: TestClient) -> None:
    schemas = api.get("/api/openapi.json").json()["components"]["schemas"]
    wanted = schemas["Settings"]["properties"]["backoff_jitter"]
    assert (wanted["type"], wanted["minimum"], wanted["maximum"]) == ("number", 0, 1)
    fits = Draft202012Validator({**schemas["Enqueue"], "components": {"schemas": schemas}})
    for command in ("true", " a", ["a"], "", " ", []):
        made = api.post("/api/jobs", json={"command": command})
        assert fits.is_valid({"command": command}) == (made.status_code == 201), command


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/jobs", {"GET", "HEAD", "POST"}),
        ("/api/jobs/a", {"GET", "HEAD", "DELETE"}),
        ("/api/settings/max_retries", {"PUT", "DELETE"}),
        ("/login", {"GET", "HEAD", "POST"}),
    ],
)
def test_what_is_not_allowed_says_what_is(api: TestClient, path: str, methods: set[str]) -> None:
    answer = api.patch(path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == methods


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
    for near, words in (("127.0.0.1", "queue.db"), ("192.0.2.7", "the store does not answer\n")):
        answer = served.client(near).get("/healthz")
        assert (answer.status_code, answer.text.count("\n")) == (503, 1)
        assert words in answer.text
    answer = served.client().get("/api/status")
    assert (answer.status_code, answer.json()["status"]) == (503, 503)


# from here on: whatever fits the description, and much that does not

_NAMES = st.sampled_from(
    ["dead1", "done1", "failed1", "mail1", "mail", "nightly", "team", "nobody", "x@y"]
)
_ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
                 st.lists(st.integers(), max_size=2), st.just({"a": {}}))  # fmt: skip
_FIELDS = st.sampled_from(["id", "command", "queue", "priority", "labels", "in", "after", "env"])
_NO_SUCH_PATH = ("Not Found", "Method Not Allowed")


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what makes values that fit a schema."""
    if "$ref" in schema:
        return st.dictionaries(_FIELDS, st.one_of(_ODD, _NAMES))
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

    def try_out(endpoint: Endpoint) -> None:
        @settings(
            max_examples=6, deadline=None, database=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(requests(endpoint))
        def some(request: dict[str, Any]) -> None:
            try:
                answer = api.request(endpoint.method, **request)
            except (ValueError, TypeError):
                return  # what no JSON and no address can hold is never sent
            if answer.status_code in (404, 405) and answer.json()["detail"] in _NO_SUCH_PATH:
                return  # the name in the path made another path of it
            seen.add((endpoint.name, answer.status_code))
            conforms(answer, endpoint)

        some()

    for endpoint in ENDPOINTS:
        try_out(endpoint)
    assert {name for name, _ in seen} == {*BY_NAME}
    assert {status for _, status in seen} >= {200, 400, 404}


def test_what_is_taken_as_the_value_of_a_field_is_described_so(api: TestClient) -> None:
    schema = {**SCHEMAS["Enqueue"], "components": {"schemas": SCHEMAS}}
    known = Draft202012Validator(schema)
    for name in ASKED:
        for value in (0, 1, 0.5, False, "", "x", [], [1], ["x"], {}, {"x": 1}, None):
            body = {"command": "true", name: value}
            if call(api, "enqueue", body).status_code == 201:
                assert known.is_valid(body), body
