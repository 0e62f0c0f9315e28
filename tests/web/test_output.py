"""The whole of what a run wrote, as a browser is served it: in pieces, by line, by a word."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome
from queuectl.queue import Queue
from queuectl.stores.exchange import KeptRun
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_archive import pack
from tests.cli.harness import run_next
from tests.web.kit import HOSTILE, add


@pytest.fixture
def written(queue: Queue) -> Path:
    """The file of a run that wrote 5000 lines; into the other stream it wrote one, in between."""
    add(queue, "a")
    run_next(queue, Outcome(exit_code=0))
    logs = JobLogs(queue.home)
    logs.directory("a").mkdir(parents=True, exist_ok=True)
    text = "".join(f"line {number}\n" for number in range(1, 5001))
    logs.stdout("a", 1).write_text(text)
    logs.stderr("a", 1).write_text("an <b>error</b>\n")
    turn = text.index("line 11\n")
    logs.order("a", 1).write_text(f"{turn} 0\n{turn} 16\n")
    return logs.stdout("a", 1)


def lines_of(page: str) -> list[tuple[int, str]]:
    """Return the numbers and texts of the lines that a page shows."""
    found = re.findall(r'class="n"[^>]*>(\d+)</(?:span|a)>(.*)\n</span>', page)
    return [(int(number), re.sub("<[^>]*>", "", text)) for number, text in found]


def links_of(page: str) -> dict[str, str]:
    """Return the addresses of the links of a page, by their words."""
    found = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', page)
    return {word.strip("«»‹› "): address.replace("&amp;", "&") for address, word in found}


@pytest.mark.usefixtures("written")
def test_the_whole_output_is_there_from_the_beginning_to_the_end_and_back(
    browser: TestClient,
) -> None:
    address, seen = "/jobs/a/output", list[tuple[int, str]]()
    while True:
        page = browser.get(address).text
        seen += lines_of(page)
        assert len(page) < 300_000
        later = links_of(page).get("Later")
        if later is None:
            break
        address = f"/jobs/a/output{later}"
    assert [number for number, _ in seen] == [*range(1, 5002)]
    assert seen[9:12] == [(10, "line 10"), (11, "an &lt;b&gt;error&lt;/b&gt;"), (12, "line 11")]
    page = browser.get(f"/jobs/a/output{links_of(page)['End']}").text
    assert lines_of(page)[-1] == (5001, "line 5000")
    earlier = browser.get(f"/jobs/a/output{links_of(page)['Earlier']}").text
    assert lines_of(earlier)[-1][0] == lines_of(page)[0][0] - 1


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("line=4000", (4000, "line 3999")),
        ("line=40&stream=stdout", (40, "line 40")),
        ("stream=stderr", (1, "an &lt;b&gt;error&lt;/b&gt;")),
        ("find=LINE+4242", (4243, "line 4242")),
        ("find=%3Cb%3E", (11, "an &lt;b&gt;error&lt;/b&gt;")),
    ],
)
def test_one_goes_to_a_line_or_to_a_word(
    browser: TestClient, query: str, first: tuple[int, str]
) -> None:
    assert lines_of(browser.get(f"/jobs/a/output?{query}").text)[0] == first


@pytest.mark.usefixtures("written")
def test_a_search_leads_to_the_lines_around_and_goes_on(browser: TestClient) -> None:
    page = browser.get("/jobs/a/output?find=line").text
    assert "200+ lines" in page
    on = browser.get(f"/jobs/a/output{links_of(page)['Search on']}").text
    assert lines_of(on)[0][0] == 201 + 1  # the error, which has no such word, is the eleventh
    around = links_of(browser.get("/jobs/a/output?find=4242").text)["4243"]
    assert around.endswith("#L4243")
    page = browser.get(f"/jobs/a/output{around}").text
    assert 'id="L4243"' in page
    assert "no such" not in browser.get("/jobs/a/output?find=nothing").text
    assert "0 lines with “nothing”" in browser.get("/jobs/a/output?find=nothing").text


def test_lines_are_broken_unless_one_asks(browser: TestClient, written: Path) -> None:
    written.write_text(HOSTILE + "\n")
    for path in ("/jobs/a", "/jobs/a/output"):
        page = browser.get(path).text
        assert "<script>document" not in page
        assert 'class="log long"' not in page.replace(" tall", "")
        narrow = links_of(page)["Do not wrap"]
        page = browser.get(f"{path}{narrow}").text
        assert 'class="log long"' in page.replace(" tall", "")
        assert "Wrap" in links_of(page)


def test_what_only_the_record_of_a_job_has_is_shown_too(browser: TestClient, queue: Queue) -> None:
    add(queue, "far")
    page = browser.get("/jobs/far/output").text
    assert "it has not run yet" in page
    run_next(queue, Outcome(exit_code=0, stdout="one\ntwo\n"))
    assert lines_of(browser.get("/jobs/far/output").text) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("query", ["line=0", "after=1", "before=x-1", "wrap=maybe", "run=0"])
def test_a_place_that_is_none_is_refused(browser: TestClient, queue: Queue, query: str) -> None:
    add(queue, "a")
    assert browser.get(f"/jobs/a/output?{query}").status_code == 400


def test_each_line_has_its_time_where_one_asks(browser: TestClient, written: Path) -> None:
    size = len("line 1\n")
    written.with_suffix(".order").write_text(f"{size} 0 1800000000123\n{size} 16 1800000001000\n")
    os.utime(written, (1800000002, 1800000002))
    page = browser.get("/jobs/a/output").text
    assert "<time class" not in page
    page = browser.get(f"/jobs/a/output{links_of(page)['Times']}").text
    times = re.findall(
        r'<time class="n" datetime="([^"]*)" title="[^"]*" data-clock>([^<]*)<', page
    )
    assert times[:3] == [
        ("2027-01-15T08:00:00.123Z", "08:00:00.123Z"),
        ("2027-01-15T08:00:01.000Z", "08:00:01.000Z"),
        ("2027-01-15T08:00:02.000Z", "08:00:02.000Z"),
    ]
    assert 'name="times" value="on"' in page  # a search keeps it
    assert "times=on" in links_of(page)["Later"]
    assert "times=on" not in links_of(page)["No times"].replace("times=off", "")


def test_output_of_another_host_is_read_from_where_it_is_kept(
    browser: TestClient, queue: Queue, tmp_path: Path, written: Path
) -> None:
    queue.set_setting("log_store", f"file://{tmp_path}/shared")
    job = queue.get("a")
    data = pack(JobLogs(queue.home), "a", 1, 2**20)
    place = open_run_logs(queue.store, queue.settings().log_store)
    assert place is not None
    assert data is not None
    place.put([KeptRun("a", 1, job.history[0].claim_id, data)])
    shutil.rmtree(written.parent)
    page = browser.get("/jobs/a/output?end=true").text
    assert lines_of(page)[-1] == (5001, "line 5000")
