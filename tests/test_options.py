"""Checks of settings: what they refuse, and the sentences that say so."""

import math
import re
from collections.abc import Callable

import pytest

from trajopt_sgp.errors import OptionError
from trajopt_sgp.options import (
    check_choice,
    check_count,
    check_counts,
    check_not_negative,
    check_positive,
    check_shares,
)

REFUSED: list[tuple[Callable[[], None], str]] = [
    (lambda: check_positive("Solver", first=1.0, second=0.0), "second = 0.0; it must be a positive number."),
    (lambda: check_positive("Solver", limit=math.inf), "limit = inf; it must be a positive number."),
    (lambda: check_not_negative("Solver", weight=-1.0), "weight = -1.0; it must be finite and not negative."),
    (lambda: check_not_negative("Solver", weight=math.nan), "weight = nan; it must be finite and not negative."),
    (lambda: check_shares("Solver", part=1.5), "part = 1.5; it must be above 0 and at most 1."),
    (lambda: check_counts("Solver", steps=0), "steps = 0; it must be a whole number, at least 1."),
    (lambda: check_counts("Solver", steps=True), "steps = True; it must be a whole number, at least 1."),
    (lambda: check_count("Solver", "members", 1, least=2), "members = 1; it must be a whole number, at least 2."),
    (lambda: check_count("Solver", "degree", 10, most=9), "degree = 10; it must be a whole number, 1 to 9."),
    (lambda: check_choice("Solver", "kind", "c", "ab"), "unknown kind 'c'; choose from 'a', 'b'."),
]


@pytest.mark.parametrize(("check", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_not_valid_is_refused_by_name(check: Callable[[], None], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{re.escape(f'Solver: {message}')}$"):
        check()


def test_what_is_valid_passes() -> None:
    check_positive("Solver", tolerance=1e-8)
    check_not_negative("Solver", weight=0.0)
    check_shares("Solver", part=1.0)
    check_counts("Solver", first=1, second=7)
    check_count("Solver", "degree", 9, most=9)
    check_choice("Solver", "kind", None, (None, "a"))
