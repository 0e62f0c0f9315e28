"""A dashboard below a path of another site, as a proxy serves it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from queuectl.domain.errors import InvalidInput
from queuectl.web.pages import PAGES
from queuectl.web.server import Options, policy_of
from tests.web.kit import TOKEN, Served, csrf_of, policy

ROOT = "/queue"
LINK = re.compile(r'\s(?:href|src|action|formaction|data-path|data-next)="([^"]*)"')


@pytest.fixture(params=[True, False], ids=["taken away", "left"])
def browser(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """A browser behind a proxy, which takes the root path away or leaves it."""
    with Served(policy(root=ROOT)) as served:
        dashboard = served.app

        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["path"].startswith(ROOT), scope["path"]
            path = scope["path"][len(ROOT) :] if request.param else scope["path"]
            await dashboard({**scope, "path": path}, receive, send)

        served.app = proxy
        yield served.client()


def log_in(browser: TestClient) -> None:
    """Log in with the form, as a browser does."""
    page = browser.get(f"{ROOT}/login?next=/jobs").text
    answer = browser.post(
        f"{ROOT}/login", data={"token": TOKEN, "_csrf": csrf_of(page), "next": "/jobs"}
    )
    assert answer.headers["location"] == f"{ROOT}/jobs"
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 3
    assert all("Path=/queue;" in each for each in cookies), cookies


@pytest.mark.usefixtures("full")
def test_every_link_of_every_page_stays_below_the_path(browser: TestClient) -> None:
    log_in(browser)
    add_ons = ("/jobs/dead1", "/jobs?label=video", "/nothing")
    for path in (*(path for path in PAGES if "{" not in path), *add_ons):
        page = browser.get(ROOT + path).text
        links = [link for link in LINK.findall(page) if link and link[0] not in "?#"]
        assert len(links) > 5, path
        assert [link for link in links if not link.startswith(f"{ROOT}/")] == [], path
        assert f'data-root="{ROOT}"' in page


@pytest.mark.usefixtures("full")
def test_files_the_api_redirects_and_the_bare_path_are_below_it(browser: TestClient) -> None:
    page = browser.get(f"{ROOT}/login").text
    for link in LINK.findall(page):
        if "/static/" in link:
            assert browser.get(link).status_code == 200
    assert browser.get(f"{ROOT}/api/openapi.json").json()["servers"] == [{"url": ROOT}]
    assert browser.get(f"{ROOT}/api/jobs/dead1").json()["id"] == "dead1"
    assert browser.post(f"{ROOT}/do").headers["location"] == f"{ROOT}/login?next=/"
    theme = browser.get(f"{ROOT}/theme?to=dark&back=/dlq")
    assert theme.headers["location"] == f"{ROOT}/dlq"
    assert "Path=/queue;" in theme.headers["set-cookie"]
    assert "Overview" in browser.get(ROOT).text


@pytest.mark.usefixtures("full")
def test_a_form_leads_back_below_the_path_and_never_elsewhere(browser: TestClient) -> None:
    log_in(browser)
    csrf = csrf_of(browser.get(f"{ROOT}/queues").text)
    for back, led in (("/queues", f"{ROOT}/queues"), ("//evil.example/", f"{ROOT}/")):
        fields = {"_csrf": csrf, "_do": "pauseQueue", "name": "default", "_back": back}
        answer = browser.post(f"{ROOT}/do", data=fields)
        assert (answer.status_code, answer.headers["location"]) == (303, led)
    out = browser.post(f"{ROOT}/logout", data={"_csrf": csrf})
    assert out.headers["location"] == f"{ROOT}/"


@pytest.mark.parametrize(
    ("given", "root"), [("", ""), ("/", ""), ("queue", "/queue"), ("/a/b-c.d/", "/a/b-c.d")]
)
def test_the_path_is_written_with_or_without_its_slashes(given: str, root: str) -> None:
    assert policy_of(Options("127.0.0.1", 0, root_path=given), TOKEN, 1).root == root


@pytest.mark.parametrize(
    ("given", "why"),
    [("/jobs", "has a page /jobs"), ("/api/v1", "has a page /api"), ("/a b", "not like /queue"),
     ("/../x", "not like /queue"), ("/a//b", "not like /queue"), ('/"x', "not like /queue")],
)  # fmt: skip
def test_a_path_that_cannot_be_told_from_a_page_of_ours_is_refused(given: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        policy_of(Options("127.0.0.1", 0, root_path=given), TOKEN, 1)


def test_an_address_with_a_path_says_how_it_is_written() -> None:
    with pytest.raises(InvalidInput) as refusal:
        policy_of(Options("127.0.0.1", 0, url="https://a.example/queue/"), TOKEN, 1)
    assert refusal.value.hint == "--url https://a.example --root-path /queue"
