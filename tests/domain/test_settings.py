"""Every tunable: its key, its bounds, and what is made of what a store holds."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from queuectl.domain.settings import (
    KEYS,
    YEAR,
    Settings,
    Value,
    as_dict,
    choices_of,
    default_of,
    faults,
    from_stored,
    help_of,
    parse_value,
    resolve_key,
    show,
)

PROMISED: dict[str, tuple[Value, float, float]] = {
    "max_retries": (3, 0, 1_000_000),
    "backoff_base": (2.0, 0, 1_000_000),
    "backoff_cap": (3600.0, 0, YEAR),
    "timeout_seconds": (0.0, 0, YEAR),
    "poll_interval_sec": (1.0, 0.01, 3600),
    "concurrency": (1, 1, 256),
    "lease_seconds": (30.0, 1, 86_400),
    "stop_grace_seconds": (0.0, 0, YEAR),
    "kill_grace_seconds": (5.0, 0, 3600),
    "max_interruptions": (5, 1, 1_000_000),
    "retention_completed": (0.0, 0, 100 * YEAR),
    "retention_cancelled": (0.0, 0, 100 * YEAR),
    "retention_dead": (0.0, 0, 100 * YEAR),
    "retention_history": (0.0, 0, 100 * YEAR),
    "retention_stats": (691_200.0, 0, 100 * YEAR),
    "retention_audit": (7_776_000.0, 0, 100 * YEAR),
    "retention_worker_logs": (2_592_000.0, 0, 100 * YEAR),
    "max_log_bytes": (0, 0, 2**50),
}
"""Of every setting that is a number: its default and its bounds."""

PROMISED_WORDS: dict[str, Value] = {
    "kill_leftovers": False, "full_durability": True, "clean_env": False,
    "on_parent_failure": "wait", "log_format": "text", "allowed_commands": "",
    "denied_commands": "",
}  # fmt: skip
BOUNDS = {
    item.name: (item.metadata["minimum"], item.metadata["maximum"])
    for item in fields(Settings)
    if isinstance(item.default, (int, float)) and not isinstance(item.default, bool)
} | {key: bounds for key, (_, *bounds) in PROMISED.items()}
"""Those of every setting that is a number."""

SWITCHES = tuple(key for key in KEYS if isinstance(default_of(key), bool))
TEXTS = tuple(key for key in KEYS if default_of(key) == "" and not choices_of(key))
CHOICES = tuple(key for key in KEYS if choices_of(key) and key not in SWITCHES)
WHOLE = tuple(key for key in BOUNDS if isinstance(default_of(key), int))


def test_the_defaults_are_those_that_were_promised() -> None:
    promised = PROMISED_WORDS | {key: default for key, (default, *_) in PROMISED.items()}
    assert {key: default_of(key) for key in promised} == promised
    assert as_dict(Settings()) == {key: default_of(key) for key in KEYS}


def test_every_key_has_tested_bounds_or_is_a_switch_a_text_or_a_choice() -> None:
    assert set(KEYS) == {*BOUNDS, *SWITCHES, *TEXTS, *CHOICES}


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("retention_completed", "7d", 604_800.0),
        ("lease_seconds", "1m 30s", 90.0),
        ("max_log_bytes", "2GiB", 2 * 2**30),
        ("max_log_bytes", "1.5 kb", 1536),
    ],
)
def test_a_value_may_be_written_with_its_unit(key: str, raw: str, value: float) -> None:
    assert parse_value(key, raw) == value


@pytest.mark.parametrize(("key", "raw"), [("retention_dead", "7 moons"), ("max_log_bytes", "2x")])
def test_a_unit_that_does_not_exist_is_refused(key: str, raw: str) -> None:
    with pytest.raises(InvalidInput, match=f"{key} must be a number"):
        parse_value(key, raw)


def test_a_choice_is_one_of_few_words_in_whatever_case() -> None:
    assert choices_of("log_format") == ("text", "json")
    assert parse_value("log_format", " JSON ") == "json"
    with pytest.raises(InvalidInput, match="log_format must be text or json, not 'xml'"):
        parse_value("log_format", "xml")


@pytest.mark.parametrize("key", [key for key in TEXTS if key != "log_store"])
def test_a_text_is_kept_without_the_blanks_around_it(key: str) -> None:
    assert parse_value(key, " make *, ./run.sh\n") == "make *, ./run.sh"


@pytest.mark.parametrize("raw", [7, None, [], "a\0b", "x" * 100_001])
def test_what_is_no_plain_text_is_refused(raw: object) -> None:
    with pytest.raises(InvalidInput, match=r"^denied_commands must"):
        parse_value("denied_commands", raw)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("max-retries", "max_retries"),
        ("MAX_RETRIES", "max_retries"),
        (" Backoff-Base ", "backoff_base"),
        ("job_timeout", "timeout_seconds"),
        ("timeout", "timeout_seconds"),
        ("poll-interval", "poll_interval_sec"),
        ("poll_interval_seconds", "poll_interval_sec"),
    ],
)
def test_a_key_is_found_whatever_its_case_and_hyphens(word: str, key: str) -> None:
    assert resolve_key(word) == key


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("max-retrys", "unknown setting 'max-retrys' (did you mean 'max_retries'?)"),
        ("qqq", "unknown setting 'qqq'"),
        ("a\nb", "unknown setting 'a\\nb'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(word: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_key(word)
    assert str(caught.value) == message
    assert "config get" in caught.value.hint


@pytest.mark.parametrize("key", BOUNDS)
def test_both_bounds_are_allowed_and_kept_in_the_type_of_the_default(key: str) -> None:
    for bound in BOUNDS[key]:
        value = parse_value(key, str(bound))
        assert value == bound
        assert type(value) is type(default_of(key))


@pytest.mark.parametrize("key", BOUNDS)
def test_beyond_a_bound_the_message_names_key_and_bounds(key: str) -> None:
    low, high = BOUNDS[key]
    for outside in (low - 1, high + 1):
        with pytest.raises(InvalidInput, match=f"{key} must be between") as caught:
            parse_value(key, outside)
        assert f"{show(low)} and {show(high)}" in str(caught.value)


@pytest.mark.parametrize("key", BOUNDS)
@pytest.mark.parametrize("raw", ["", "many", None, True, [], {}, "nan", "inf", 10**400])
def test_what_is_no_number_is_refused_by_every_numeric_key(key: str, raw: object) -> None:
    with pytest.raises(InvalidInput, match=f"^{key} must be a number between ") as caught:
        parse_value(key, raw)
    low, high = map(show, BOUNDS[key])
    assert f" between {low} and {high}, not " in str(caught.value)


@pytest.mark.parametrize("key", BOUNDS)
def test_a_count_takes_no_fraction_and_every_other_number_does(key: str) -> None:
    if key in WHOLE:
        with pytest.raises(InvalidInput, match=f"{key} must be a whole number between .*, not 1.5"):
            parse_value(key, 1.5)
    else:
        fraction = min(1.5, BOUNDS[key][1] / 2)
        assert parse_value(key, str(fraction)) == fraction


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        *((word, True) for word in ("true", "Yes", "on", 1, True)),
        *((word, False) for word in ("false", "NO", "off", 0, False)),
    ],
)
def test_a_switch_is_read_from_the_usual_words(raw: object, value: bool) -> None:
    assert parse_value("kill_leftovers", raw) is value


def test_any_other_word_for_a_switch_is_refused() -> None:
    with pytest.raises(InvalidInput, match="kill_leftovers must be true or false, not 'maybe'"):
        parse_value("kill_leftovers", "maybe")


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (3.0, "3"), (1.5, "1.5"), (True, "true"), (False, "false")]
)
def test_a_value_is_shown_without_needless_digits(value: Value, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize("key", KEYS)
def test_the_help_of_a_key_ends_with_its_default_which_is_read_back_as_it_is_shown(
    key: str,
) -> None:
    default = show(default_of(key))
    assert parse_value(key, default) == default_of(key)
    assert help_of(key).endswith(f"default {default or 'none'}")
    assert "\n" not in help_of(key)


@pytest.mark.parametrize("place", ["nonsense", "s3:", "file://shared/logs", "/shared", "stor"])
def test_a_log_store_that_is_no_address_is_refused(place: str) -> None:
    with pytest.raises(InvalidInput, match="log_store cannot be") as caught:
        parse_value("log_store", place)
    assert "file:///shared/DIR" in caught.value.hint


@pytest.mark.parametrize(
    "place", ["", "store", "s3://b/p", "file:///shared/logs", "memory://x", "simplecache::s3://b"]
)
def test_a_log_store_is_the_store_or_an_address(place: str) -> None:
    assert parse_value("log_store", place) == place


def test_stored_values_come_before_the_defaults() -> None:
    settings = from_stored({"max_retries": 9, "backoff_base": "1.5", "kill_leftovers": True})
    assert settings == Settings(max_retries=9, backoff_base=1.5, kill_leftovers=True)


def test_unusable_and_unknown_stored_values_count_as_unset() -> None:
    stored = {"max_retries": -1, "lease_seconds": "long", "from_tomorrow": 1}
    assert from_stored(stored) == Settings()


def test_each_stored_value_that_is_not_used_is_told_with_the_reason() -> None:
    lines = faults({"max_retries": -1, "from_tomorrow": 1, "backoff_base": 3})
    assert lines == [
        "max_retries must be between 0 and 1000000, not -1; the default 3 is used",
        "unknown setting 'from_tomorrow' is ignored",
    ]


stored_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(), stored_values))
def test_whatever_a_store_holds_the_settings_in_force_are_legal(stored: dict[str, Any]) -> None:
    for key, value in as_dict(from_stored(stored)).items():
        assert parse_value(key, value) == value
    assert all("\n" not in line for line in faults(stored))
