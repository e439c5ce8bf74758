"""Settings of solvers from `key=value` texts."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trajopt_sgp.errors import OptionError
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.compare_choices import find_kind, parse_settings

# set by --starts
_RESERVED = ("starts",)


def make_solver(name: str, defaults: Mapping[str, Any], entries: Sequence[str]) -> Solver:
    """Return a solver with some defaults and the settings in `entries`, each `key=value`.

    A key is a field of the solver that is a number, a truth value or one of a few words, or `options.NAME` for an
    option of the backend itself where the solver has one.

    Args:
        name: of the solver, for example `gradient-descent`.
        defaults: values of fields.
        entries: settings that replace them.

    Raises:
        OptionError: an unknown name, an entry without "=", an unknown key (lists the valid ones), or a value of the
            wrong kind.
    """
    kind = find_kind(Solver, name)  # type: ignore[type-abstract]
    make: Callable[..., Solver] = kind
    return make(**parse_settings(kind, entries, defaults, _RESERVED))


def check_weights(**weights: float | None) -> None:
    """Check weights of cost terms by the name of their option.

    Raises:
        OptionError: a weight is negative or not finite; names it.
    """
    for name, weight in weights.items():
        if weight is not None and not 0.0 <= weight < math.inf:
            raise OptionError(f"--{name} {weight:g}: a weight must be finite and not negative.")
