"""What a person may say of a job: one table, from which everything else about a field is made.

To add a field, add a line to `Spec`, and its effect where that belongs. Both stores keep it then;
`enqueue`, `schedule add`, JSON, files, the API and Python take it; `show`, `list --json`, `edit`,
exports, backups and migrations have it, and so do `enqueue --help` and the schemas of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from queuectl.domain import field_checks
from queuectl.domain.field_checks import Check, Command
from queuectl.domain.frozen import Line, frozen, line, lines_of
from queuectl.domain.settings import CANCEL, WAIT, Settings, as_flag, bounds_of_setting

DEFAULT_QUEUE = "default"

CGROUP, ADDRESS_SPACE = "cgroup", "address-space"
"""What the limit `memory` is of: all processes of a run together, or what each of them reserves."""


class Kind(Enum):
    """What the values of a field are: how stores keep them and JSON shows them follows from it."""

    TEXT = "str"
    MAYBE_TEXT = "str | None"
    WHOLE = "int"
    NUMBER = "float"
    FLAG = "bool"
    WORDS = "tuple[str, ...]"
    PAIRS = "tuple[tuple[str, str], ...]"


class Field(NamedTuple):
    """All that is known of one field but its effect.

    `check` turns what a person wrote into a value; a field without one is queuectl's own. `column`
    is its name in stores and exports. Where nobody names it, a new job gets the `setting` of that
    name, or the `default`. `bounds` and `choices` limit its values.

    `option` is the option that sets it, `short` its letter, with `metavar` and `help`; `splits`
    says that commas part the words of one use. In the file of `edit` it has a `comment`, and an
    `example` where a job does not use it. `of_schedule` says that a schedule may give it to the
    jobs that it makes, `is_secret` that its value is shown nowhere, `is_hidden` that no help
    names its option, and `is_signed` that the signature of a job covers it: all but what cannot
    change what is executed.
    """

    name: str
    kind: Kind
    default: Any
    check: Check | None
    column: str
    setting: str = ""
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    option: str = ""
    short: str = ""
    metavar: str = ""
    help: str = ""
    splits: bool = False
    comment: str = ""
    example: str = ""
    of_schedule: bool = True
    is_secret: bool = False
    is_hidden: bool = False
    is_signed: bool = True


def _field(default: object, check: Check | None = None, **known: object) -> Any:
    """Return the line of a field: its default, its check and what else there is to `Field`.

    Without a check the kind of the field, its `bounds` and `choices` say what is right.
    """
    return line(default, check=check, **known)


def _internal(default: object, **known: object) -> Any:
    """Return the line of a field that only queuectl sets."""
    return line(default, is_internal=True, **known)


@frozen
class Spec:
    """What somebody asked for; `request` is where that is validated.

    A command is a string for /bin/sh, or a tuple of arguments that is run without a shell.
    `retry_on` and `no_retry_on` say which ends of a run are tried again (see `retry_rules`).
    `load_below` (0: any), `between` and `preflight` say when it may start (see `start_rules`).
    `backoff_cap` and `timeout` are seconds, `timeout` 0 is none; `backoff_jitter` is a share from
    0 to 1; `env` holds pairs of name and value. `input` is a file of the host that runs the job,
    seen from `cwd`; `input_text` is such a file's content, and a secret as passwords are sent so.
    `slots` is how much of its queue's limit a run takes. `after`, `after_fail` and `after_any`
    name the jobs that must have succeeded, failed or ended before; of the jobs with one `unique`
    key only one waits or runs. `needs` holds pairs of a resource and an amount. With `clean_env` a
    run gets nothing of its worker's environment, and with `merge_output` it has one file for all
    that it writes. With `pty` it has a terminal, with `stdin` a pipe to read from (with `input` or
    `input_text` it reads that alone), and else nothing to read. `memory` is bytes that a run may
    have, of which `memory_kind` says what counts, and `cpus` how many processors it may use; 0 is
    no limit. `on_parent_failure` is WAIT, as the parent may be retried, or CANCEL. `batch` names
    what it was made with; at most `at_once` jobs of that (0: any number) are let to workers at
    once, and the rest of them is cancelled once `max_fails` (0: never) are dead. `imported_from` is
    the hash of what another program's file said of it.
    `generated_id` says that the id was made for the user, so that a prefix may stand for it;
    `environment` names a captured environment of the store's, and `snapshot` a state of the work
    tree that it runs in (see `domain.snapshot`). `batch_index` numbers the jobs of a
    sweep from 1 (0: it is of none), `params` are the names and values that made this one, and
    `slot_places` say where the number of its slot goes in its arguments (see `placeholders`).
    `signature` is who has signed it, when, and how (see `queue.signing`).
    """

    id: str
    command: Command
    queue: str = _field(
        DEFAULT_QUEUE,
        field_checks.check_name,
        short="q",
        metavar="NAME",
        help="The queue; `default` unless said.",
    )
    priority: int = _field(
        0, field_checks.check_priority, is_signed=False, metavar="N",
        help="Jobs with a higher number start first; or low, normal, high. 0 unless named.",
        bounds=(-field_checks.MAX_PRIORITY, field_checks.MAX_PRIORITY),
        comment="higher first; or low, normal, high",
    )  # fmt: skip
    timeout: float = _field(
        0.0, field_checks.check_timeout, setting="timeout_seconds",
        metavar="SECONDS", help="Seconds that one run may take before it is ended; 0 is no limit.",
        comment="seconds that one run may take; 0: no limit",
    )  # fmt: skip
    max_retries: int = _field(
        3, field_checks.check_setting, setting="max_retries",
        metavar="N", help="How often it is tried in all before it is dead, and in the DLQ.",
        comment="attempts in all before the DLQ",
    )  # fmt: skip
    backoff_base: float = _field(
        2.0, field_checks.check_setting, setting="backoff_base",
        metavar="N",
        help="A retry waits this number to the power of the attempts, in seconds.",
        comment="a retry waits base ** attempts seconds",
    )  # fmt: skip
    backoff_cap: float = _field(
        3600.0, field_checks.check_setting, setting="backoff_cap",
        metavar="SECONDS", help="The longest that a retry waits, in seconds.",
        comment="seconds, the longest wait before a retry",
    )  # fmt: skip
    backoff_jitter: float = _field(
        0.0, field_checks.check_setting, setting="backoff_jitter",
        metavar="SHARE", help="How much of the wait before a retry is left to chance.",
        comment="the share of the wait before a retry that is left to chance",
    )  # fmt: skip
    retry_on: tuple[str, ...] = _field(
        (), field_checks.check_ends, splits=True,
        metavar="ENDS", help="Try it again after these ends alone: 75,64-78,signal:9,timeout,oom.",
        comment="the only ends of a run after which it is tried again",
        example='["75", "signal:9"]',
    )  # fmt: skip
    no_retry_on: tuple[str, ...] = _field(
        (), field_checks.check_ends, splits=True,
        metavar="ENDS", help="Do not try it again after these ends: 2,126,timeout.",
        comment="the ends of a run after which it is not tried again", example='["2", "126"]',
    )  # fmt: skip
    load_below: float = _field(
        0.0, bounds=(0, field_checks.MAX_LOAD),
        metavar="N", help="Start it only while its host's load (1 minute) is below this; 0: any.",
        comment="it starts only while its host's load is below this; 0: any load",
    )  # fmt: skip
    between: str | None = _field(
        None, field_checks.check_between, column="between_hours", metavar="HOURS",
        help="Start it only between these: 22:00-06:00, 'mon-fri 20-6 Europe/Berlin'.",
        comment="the hours in which it may start", example='"22:00-06:00 Europe/Berlin"',
    )  # fmt: skip
    preflight: str | None = _field(
        None, field_checks.check_preflight, metavar="COMMAND",
        help="Start it only once this command ends with 0; it is asked again until then.",
        comment="what must end with 0 before it starts", example='"test -e /mnt/data/ready"',
    )  # fmt: skip
    cwd: str | None = _field(
        None, field_checks.check_cwd, metavar="DIR",
        help="The directory it runs in; this one unless another is named.",
        comment="the directory it runs in", example='"/srv/app"',
    )  # fmt: skip
    env: tuple[tuple[str, str], ...] = _field(
        (), field_checks.check_env, metavar="K=V",
        help="Set an environment variable for it (repeat for more).",
        comment="a variable of its environment", example='"value"',
    )  # fmt: skip
    clean_env: bool = _field(
        False, setting="clean_env",
        help="Give it no environment but PATH, HOME, LANG and what --env sets.",
        comment="whether it gets nothing of its worker's environment", example="true",
    )  # fmt: skip
    merge_output: bool = _field(
        False, help="Keep both streams in one file, in their exact order.",
        comment="whether both streams are kept in one file, in their exact order", example="true",
    )  # fmt: skip
    pty: bool = _field(
        False, help="Give it a terminal of 80 x 24, for colours, progress and `attach`.",
        comment="whether it gets a terminal, for colours, progress and `attach`", example="true",
    )  # fmt: skip
    stdin: bool = _field(
        False, help="Let `send` write to its standard input, which is else empty.",
        comment="whether `send` may write to its standard input, which is else empty",
        example="true",
    )  # fmt: skip
    input_text: str | None = _field(
        None, field_checks.check_input, is_secret=True,
        metavar="TEXT", help="Let it read this text on its standard input; it is shown nowhere.",
        comment="what it reads on its standard input", example='"yes"',
    )  # fmt: skip
    after: tuple[str, ...] = _field(
        (), field_checks.check_ids, splits=True, of_schedule=False,
        metavar="ID", help="Start it once this job has succeeded (repeat for more).",
        comment="jobs that must have succeeded before", example='["job1"]',
    )  # fmt: skip
    after_any: tuple[str, ...] = _field(
        (), field_checks.check_ids, splits=True, of_schedule=False,
        metavar="ID", help="Start it once this job has ended, however it did (repeat for more).",
        comment="jobs that must have ended before", example='["job1"]',
    )  # fmt: skip
    after_fail: tuple[str, ...] = _field(
        (), field_checks.check_ids, splits=True, of_schedule=False,
        metavar="ID", help="Start it once this job has failed for good (repeat for more).",
        comment="jobs that must have failed before", example='["job1"]',
    )  # fmt: skip
    on_parent_failure: str = _field(
        WAIT, setting="on_parent_failure", choices=(WAIT, CANCEL), metavar="RULE",
        help="What to do if one in --after is dead or cancelled: `wait` for its retry or `cancel`.",
        comment="wait or cancel, when one of those in `after` is dead or cancelled",
        example='"cancel"',
    )  # fmt: skip
    input: str | None = _field(
        None, metavar="FILE",
        help="Read standard input from this file; it is empty unless one is named.",
        comment="the file that is its standard input, which is empty without", example='"data.csv"',
    )  # fmt: skip
    memory: int = _field(
        0, field_checks.check_memory, metavar="SIZE",
        help="The most memory that a run may have, as 2G; it is ended when it needs more.",
        comment="the most memory that a run may have; 0: no limit", example='"2G"',
    )  # fmt: skip
    cpus: float = _field(
        0.0, bounds=(0, field_checks.MAX_CPUS), metavar="N",
        help="How many processors a run may use at a time, as 2 or 0.5.",
        comment="how many processors a run may use at a time; 0: no limit", example="2",
    )  # fmt: skip
    memory_kind: str = _field(
        CGROUP, choices=(CGROUP, ADDRESS_SPACE), metavar="KIND",
        help="What --memory limits: `cgroup` all that a run uses, or each `address-space`.",
        comment="cgroup: all that a run uses; or what each process reserves",
        example='"address-space"',
    )  # fmt: skip
    slots: int = _field(
        1, bounds=(1, field_checks.MAX_SLOTS),
        metavar="N", help="How many slots of its queue's limit it takes; 1 unless named.",
        comment="what it takes of its queue's limit",
    )  # fmt: skip
    unique: str | None = _field(
        None, field_checks.check_key, column="unique_key", of_schedule=False,
        metavar="KEY", help="Store it only if no other job with this key waits or runs.",
        comment="of the jobs with this key only one waits or runs", example='"nightly"',
    )  # fmt: skip
    labels: tuple[str, ...] = _field(
        (), field_checks.check_labels, option="label",
        metavar="LABEL", help="Give it a label, by which --label finds it (repeat for more).",
    )  # fmt: skip
    needs: tuple[tuple[str, str], ...] = _field(
        (), field_checks.check_needs, option="need", metavar="NAME=N",
        help="Start it only where so much of a resource is free, and hold it (repeat for more).",
        comment="what it needs of a resource", example='"2"',
    )  # fmt: skip
    batch: str | None = _field(
        None, field_checks.check_batch, column="batch_name", of_schedule=False, metavar="NAME",
        help="The batch it belongs to, by which --batch finds it: list, wait, cancel, results.",
        comment="the batch that it belongs to", example='"sweep1"',
    )  # fmt: skip
    at_once: int = _field(
        0, bounds=(0, field_checks.MAX_AT_ONCE), of_schedule=False, is_signed=False, metavar="N",
        help="Let at most N jobs of its batch wait for a worker or run at once; 0 is any number.",
        comment="how many jobs of its batch run at once; 0: any number", example="8",
    )  # fmt: skip
    max_fails: int = _field(
        0, bounds=(0, field_checks.MAX_AT_ONCE), of_schedule=False, is_signed=False, metavar="N",
        help="Cancel the rest of its batch once N jobs of it are dead; 0 is never.",
        comment="after how many dead jobs the rest of its batch is cancelled; 0: never",
        example="3",
    )  # fmt: skip
    imported_from: str | None = _field(
        None, field_checks.check_key, is_hidden=True, metavar="HASH",
        help="The hash of the line of another program that it was made of.",
        comment="the hash of the line that it was made of",
    )  # fmt: skip
    generated_id: bool = _internal(False)
    environment: str | None = _internal(None)
    snapshot: str | None = _internal(None)
    batch_index: int = _internal(0)
    params: tuple[tuple[str, str], ...] = _internal(())
    slot_places: tuple[str, ...] = _internal(())
    signature: str | None = _internal(None, is_signed=False)

    @property
    def has_parents(self) -> bool:
        """Whether the job waits for others."""
        return bool(self.after or self.after_any or self.after_fail)


def _check_of(name: str, kind: Kind, known: Mapping[str, Any]) -> Check:
    """Return the check of a field that names none of its own."""
    if known.get("choices"):
        return field_checks.one_of(known["choices"])
    bounds = known.get("bounds")
    if kind is Kind.WHOLE and bounds:
        return field_checks.whole(*bounds)
    if kind is Kind.NUMBER and bounds:
        return field_checks.fraction(*bounds)
    simple: dict[Kind, Check] = {
        Kind.FLAG: as_flag,
        Kind.TEXT: field_checks.check_text,
        Kind.MAYBE_TEXT: field_checks.check_text,
        Kind.WORDS: field_checks.check_labels,
    }
    if kind not in simple:
        raise TypeError(f"the field {name} of Spec needs a check, or bounds")
    return simple[kind]


def _known_of(name: str, item: Line) -> Field:
    """Return what is known of a field from its line in `Spec`."""
    known: dict[str, Any] = {"column": name, "option": name, **item.known}
    is_internal = known.pop("is_internal", False)
    kind = Kind(Spec.__annotations__[name])
    if not is_internal and known.get("check") is None:
        known["check"] = _check_of(name, kind, known)
    if is_internal:
        known |= {"check": None, "option": "", "of_schedule": False}
    return Field(name, kind, item.default, **known)


FIELDS: dict[str, Field] = {name: _known_of(name, item) for name, item in lines_of(Spec).items()}
"""Every field of `Spec` but `id` and `command`, which each job has, in their order."""

ASKED = {name: field for name, field in FIELDS.items() if field.check is not None}
"""Those that a person may set."""


def bounds_of(field: Field) -> tuple[float, float] | None:
    """Return the least and the greatest value of a field, or None where it is no number."""
    if field.setting and field.kind in (Kind.WHOLE, Kind.NUMBER):
        return bounds_of_setting(field.setting)
    return field.bounds


def defaults_of(settings: Settings) -> dict[str, Any]:
    """Return every field in `FIELDS` as a job has it that does not name it."""
    return {
        name: getattr(settings, field.setting) if field.setting else field.default
        for name, field in FIELDS.items()
    }


def command_text(command: Command) -> str:
    """Return a command as one string, arguments quoted as a shell would need them."""
    if isinstance(command, str):
        return command
    from shlex import join

    return join(command)


def plain(value: object) -> Any:
    """Return the value of a field as JSON has it: tuples as arrays."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value
