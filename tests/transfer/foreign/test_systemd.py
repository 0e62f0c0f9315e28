"""systemd's timers, with their services, where cron can say when they are due."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.transfer.foreign.entry import Entry
from queuectl.transfer.foreign.on_calendar import NotForCron, cron_of
from tests.transfer.foreign.kit import entries_of, entry_of, fields_of, path_in

TIMER = "[Unit]\nDescription=x\n[Timer]\n{}\n[Install]\nWantedBy=timers.target\n"
SERVICE = "[Service]\nType=oneshot\n{}\n"


HOME = "/home/ada/.config/systemd/user"


def cat(
    timer: str = "OnCalendar=daily", service: str = "ExecStart=/bin/true", place: str = HOME
) -> str:
    """Return what `systemctl cat` shows of a timer and its service."""
    return (
        f"# {place}/job.timer\n{TIMER.format(timer)}\n"
        f"# {place}/job.service\n{SERVICE.format(service)}"
    )


def read(timer: str = "OnCalendar=daily", service: str = "ExecStart=/bin/true") -> Entry:
    """Return the entry of a timer with one calendar."""
    return entry_of("systemd", cat(timer, service))


@pytest.mark.parametrize(
    ("text", "cron", "zone"),
    [
        ("hourly", "0 * * * *", None), ("Weekly", "0 0 * * 1", None),
        ("quarterly", "0 0 1 1,4,7,10 *", None), ("daily UTC", "0 0 * * *", "UTC"),
        ("*-*-* 02:30:00", "30 2 * * *", None), ("03:05", "5 3 * * *", None),
        ("Mon..Fri *-*-* 09,17:00:00", "0 9,17 * * 1,2,3,4,5", None),
        ("Mon-Fri 9:00", "0 9 * * 1,2,3,4,5", None), ("Sat,Sun 10:00", "0 10 * * 0,6", None),
        ("Sat..Sun 10:00", "0 10 * * 0,6", None), ("*-*-1/2", "0 0 */2 * *", None),
        ("Sunday", "0 0 * * 0", None),
        ("*:0/15", "*/15 * * * *", None), ("*:5/20", "5-59/20 * * * *", None),
        ("*-*-1..7 03:00:00", "0 3 1-7 * *", None), ("*-01,07-01", "0 0 1 1,7 *", None),
        ("*-05", "0 0 5 * *", None), ("8..17:0", "0 8-17 * * *", None),
        ("*-*-* 21:30:00 Asia/Tokyo", "30 21 * * *", "Asia/Tokyo"),
    ],
)  # fmt: skip
def test_a_calendar_that_cron_can_say(text: str, cron: str, zone: str | None) -> None:
    assert cron_of(text) == (cron, zone)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01", "Sat *-*-1..7 15:00", "*-*~1", "*:*:0/10", "*:*:30", "9", "Funday", "",
        "25:00", "*-*-* 0/90:00", "Mon..Fri..Sun 9:00", "Wed..Mon 9:00", "daily EST5EDT",
        "Sun..Tue 9:00", "*:*/10", "*-*-*/2", "*-*/3-1",
    ],
)  # fmt: skip
def test_a_calendar_that_it_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(NotForCron):
        cron_of(text)


def test_a_timer_is_a_schedule_of_what_its_service_runs() -> None:
    entry = read(
        "OnCalendar=*-*-* 02:30:00\nPersistent=true",
        'ExecStart=/usr/bin/rsync -a "/srv/a b" \\\n  %h/backup\nEnvironment=A=1 "B=2 3"\n'
        "WorkingDirectory=~\nTimeoutStartSec=5min 30s\nNice=5\n# no\n;no",
    )
    assert (entry.cron, entry.catch_up, entry.overlap) == ("30 2 * * *", True, False)
    fields = fields_of(entry)
    assert fields["command"] == ["/usr/bin/rsync", "-a", "/srv/a b", "/home/ada/backup"]
    assert (fields["env"]["A"], fields["env"]["B"], fields["cwd"]) == ("1", "2 3", "/home/ada")
    assert (fields["timeout"], fields["max_retries"], fields["clean_env"]) == (330, 1, True)
    assert "without counterpart: Nice" in entry.changes
    assert "each run that was missed is made up for" in "".join(entry.changes)


def test_each_calendar_is_a_schedule() -> None:
    first, second = entries_of("systemd", cat("OnCalendar=02:30\nOnCalendar=14:30"))
    assert (first.cron, second.cron) == ("30 2 * * *", "30 14 * * *")
    assert first.name != second.name
    assert read("OnCalendar=02:30\nOnCalendar=\nOnCalendar=hourly").cron == "0 * * * *"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("ExecStart=/bin/echo ${A} $$ x", "1 2 $ x"),
        ("ExecStart=/bin/echo $A", "1 2"),
        ("ExecStart=/bin/sh -c 'echo \"$0 ${A}\"'", "/bin/sh 1 2"),
        ("ExecStart=-/bin/sh -c 'echo x; exit 3'", "x"),
        ("ExecStartPre=/bin/echo a\nExecStart=/bin/echo b", "a\nb"),
        ("ExecStart=/bin/echo a; b", "a; b"),
        ("ExecStart=/bin/echo * 50%%", "* 50%"),
    ],
)
def test_the_command_does_what_it_did(written: str, said: str, tmp_path: Path) -> None:
    fields = fields_of(read(service=f"{written}\nEnvironment='A=1 2'"))
    command = fields["command"]
    ended = subprocess.run(
        command if isinstance(command, list) else ["/bin/sh", "-c", command],
        env=fields["env"], cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout.rstrip("\n") == said


@pytest.mark.parametrize(
    ("timer", "service", "why"),
    [
        ("OnCalendar=daily\nRandomizedDelaySec=15m", "ExecStart=/x", "RandomizedDelaySec"),
        ("OnBootSec=5min\nOnUnitActiveSec=1h", "ExecStart=/x", "schedule add NAME --every"),
        ("OnCalendar=daily", "ExecStart=/x\nUser=postgres", "sudo -u postgres"),
        ("OnCalendar=daily", "ExecStart=/x\nEnvironmentFile=/etc/x", "EnvironmentFile"),
        ("OnCalendar=daily", "ExecStart=+/x", "'+' before the command"),
        ("OnCalendar=daily", "ExecStart=/x %i", "%i"),
        ("OnCalendar=daily", r"ExecStart=/x a\x20b", "backslash"),
        ("OnCalendar=daily", "ExecStart=/x\nType=forking", "Type=forking"),
        ("OnCalendar=daily", "Nice=5", "has no ExecStart"),
        ("OnCalendar=daily\nUnit=y.service", "ExecStart=/x", "y.service is not in it"),
        ("Persistent=true", "ExecStart=/x", "it has no OnCalendar"),
        ("OnCalendar=daily", "ExecStart=/x\nno entry", "is no entry of a unit"),
        ("OnCalendar=daily\nbroken", "ExecStart=/x", "is no entry of a unit"),
    ],
)
def test_what_would_make_it_another_job_is_refused_by_name(
    timer: str, service: str, why: str
) -> None:
    assert why in read(timer, service).refused


def test_a_delay_of_nothing_is_none() -> None:
    assert read("OnCalendar=daily\nRandomizedDelaySec=0").is_taken


def test_a_unit_of_the_system_is_root_s() -> None:
    (entry,) = entries_of("systemd", cat(), is_system=True)
    assert "it runs as root" in entry.refused
    (own,) = entries_of("systemd", cat(), is_system=True, user="root", uid=0)
    assert fields_of(own)["cwd"] == "/"


@pytest.mark.parametrize(
    ("place", "is_root_s"),
    [
        ("/etc/systemd/system", True), ("/usr/lib/systemd/system", True),
        ("/run/systemd/transient", True), ("/usr/lib/systemd/user", False),
        ("/etc/systemd/user", False), (HOME, False),
    ],
)  # fmt: skip
def test_where_a_unit_that_is_shown_lies_says_whose_it_is(place: str, is_root_s: bool) -> None:
    (entry,) = entries_of("systemd", cat(place=place))
    assert ("it runs as root" in entry.refused) is is_root_s
    (own,) = entries_of("systemd", cat(place=place), user="root", uid=0, home="/root")
    assert fields_of(own)["cwd"] == ("/" if is_root_s else "/root")


def test_output_that_went_to_a_file_is_named() -> None:
    service = "ExecStart=/x\nStandardOutput=append:/var/log/x.log\nStandardError=inherit"
    assert "output to append:/var/log/x.log" in "".join(read(service=service).changes)


def test_a_directory_and_a_file_have_their_services_beside_them(tmp_path: Path) -> None:
    path = path_in(tmp_path, "job.timer", TIMER.format("OnCalendar=daily"))
    path_in(tmp_path, "job.service", SERVICE.format("ExecStart=/bin/true"))
    path_in(tmp_path, "other.service", "broken")
    for each in (path, tmp_path):
        data = path.read_bytes() if each is path else b""
        (entry,) = entries_of("systemd", data, path=each)
        assert (entry.where, fields_of(entry)["command"]) == ("job.timer", ["/bin/true"])


def test_the_drop_ins_of_a_unit_are_part_of_it(tmp_path: Path) -> None:
    path = path_in(tmp_path, "job.timer", TIMER.format("OnCalendar=daily"))
    path_in(tmp_path, "job.service", SERVICE.format("ExecStart=/bin/true"))
    for unit, text in (
        ("timer", "[Timer]\nOnCalendar=\nOnCalendar=*:0/15\n"),
        ("service", "[Service]\nExecStart=\nExecStart=/bin/false\n"),
    ):
        (tmp_path / f"job.{unit}.d").mkdir()
        path_in(tmp_path / f"job.{unit}.d", "override.conf", text)
    shown = f"# {path}\n{path.read_text()}\n# {path}.d/a.conf\n[Timer]\nOnCalendar=hourly\n"
    service = f"# {tmp_path}/job.service\n{SERVICE.format('ExecStart=/bin/true')}"
    for each in (path, tmp_path):
        data = path.read_bytes() if each is path else b""
        (entry,) = entries_of("systemd", data, path=each)
        assert (entry.cron, fields_of(entry)["command"]) == ("*/15 * * * *", ["/bin/false"])
    assert [each.cron for each in entries_of("systemd", shown + service)] == [
        "0 0 * * *", "0 * * * *",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[Service]\nExecStart=/x\n", "# /a/b.service\n[Service]\n"])
def test_a_file_without_a_timer_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no timer"):
        entries_of("systemd", text)
