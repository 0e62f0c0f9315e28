"""Random identifiers."""

from __future__ import annotations

import re
from itertools import islice

from queuectl.domain.field_checks import is_name
from queuectl.system.ids import PREFIX_LENGTH, new_job_id, new_job_ids, new_token


def test_a_made_id_is_a_valid_name_of_12_characters_that_begins_with_a_letter() -> None:
    for _ in range(200):
        made = new_job_id()
        assert re.fullmatch(r"[a-z][0-9a-z]{11}", made)
        assert is_name(made)
        assert not set(made) & set("ilou")


def test_a_thousand_ids_and_tokens_are_all_different() -> None:
    assert len({new_job_id() for _ in range(1000)}) == 1000
    assert len(set(islice(new_job_ids(300), 1000))) == 1000
    assert len({new_token() for _ in range(1000)}) == 1000


def test_a_token_is_96_bits_in_hexadecimal() -> None:
    assert re.fullmatch(r"[0-9a-f]{24}", new_token())


def test_a_prefix_is_shorter_than_an_id() -> None:
    assert 0 < PREFIX_LENGTH < len(new_job_id())
