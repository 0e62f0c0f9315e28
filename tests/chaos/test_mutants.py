"""What the mutants take out is still there, and so are the tests that must notice it.

The mutants themselves take minutes: `python -m tests.chaos.mutants`.
"""

from __future__ import annotations

from tests.chaos.mutants import MUTANTS, PROJECT


def test_every_mutant_finds_the_text_that_it_takes_out_exactly_once() -> None:
    package = PROJECT / "queuectl"
    for change in [change for mutant in MUTANTS for change in mutant.cuts]:
        assert (package / change.file).read_text().count(change.text) == 1, change


def test_every_mutant_names_a_test_that_exists() -> None:
    for mutant in MUTANTS:
        file, _, test = mutant.test.partition("::")
        name = test.partition("[")[0]
        assert f"def {name}(" in (PROJECT / file).read_text(), mutant.name
