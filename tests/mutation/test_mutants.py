"""The mutants still fit the product, and their page lists these."""

import re
from pathlib import Path

import pytest

from tests.mutation.mutant import Mutant
from tests.mutation.mutants import MUTANTS

HOUSE = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_changes_one_place(mutant: Mutant) -> None:
    """A mutant whose source has moved would be killed by nothing, or by the wrong thing."""
    assert 1 == (HOUSE / mutant.file).read_text().count(mutant.before)
    assert mutant.before != mutant.after


def test_no_two_mutants_are_alike() -> None:
    """The same mistake twice under two names is counted twice."""
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS})
    assert len(MUTANTS) == len({(m.file, m.before, m.after) for m in MUTANTS})


def test_the_page_lists_these_mutants() -> None:
    """A table of last month's mutants says nothing about today's tests."""
    page = (HOUSE / "docs" / "mutation.md").read_text()
    listed = re.findall(r"^\| ([^|]+?) \| `", page, re.MULTILINE)
    assert [mutant.name for mutant in MUTANTS] == listed
    assert "survived" not in page
