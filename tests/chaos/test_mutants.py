"""The mutants fit the program: whether their tests kill them is tried by hand."""

from __future__ import annotations

import pytest

from tests.chaos.mutants import MUTANTS, PROJECT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_takes_out_is_there_once(mutant: Mutant) -> None:
    for change in mutant.cuts:
        assert (PROJECT / "queuectl" / change.file).read_text().count(change.text) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_that_kills_a_mutant_is_there(mutant: Mutant) -> None:
    path, _, name = mutant.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (PROJECT / path).read_text()
