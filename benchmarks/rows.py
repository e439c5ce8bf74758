"""Rows of the results: what was compared with what, how long either took, and whether they agree."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from benchmarks.measure import Measurement

FLOAT64, FLOAT32 = 1e-8, 1e-4
"""Largest relative difference from a peer of either precision."""

NOT_INSTALLED = "not installed: pip install 'trajopt_sgp[bench]'"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; what does not apply is None."""

    case: str
    """What was computed."""
    ours_ms: float | None = None
    """Median time of this library."""
    peer: str = ""
    """With what it is compared."""
    peer_ms: float | None = None
    """Median time of the peer in the same run."""
    bound_ms: float | None = None
    """Median time of the arithmetic that no implementation can leave out, in the same run."""
    agreement: float | None = None
    """Largest relative difference of the results."""
    tolerance: float | None = None
    """What the agreement must not exceed."""
    note: str = ""
    """How the peer failed, what is missing, what to know."""
    sizes: Mapping[str, float] = field(default_factory=dict)
    """Horizon, width, batch, number of variables: what plots have on their axes."""
    plot: str = ""
    """Which plot the row belongs to: `NAME` of `benchmark_NAME.png`."""

    @property
    def ratio(self) -> float | None:
        """How many times as long the peer takes."""
        return None if self.peer_ms is None or not self.ours_ms else self.peer_ms / self.ours_ms

    @property
    def of_bound(self) -> float | None:
        """How many times as long as the bound this library takes."""
        return None if self.ours_ms is None or not self.bound_ms else self.ours_ms / self.bound_ms

    @property
    def error(self) -> str:
        """What makes the row an error, or nothing."""
        if self.agreement is None or self.tolerance is None or self.agreement <= self.tolerance:
            return ""
        return f"differs by {self.agreement:.1e}, allowed {self.tolerance:.0e}"

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Self:
        """Return the row that `as_dict` has written."""
        return cls(**{entry.name: written[entry.name] for entry in fields(cls)})

    def as_dict(self) -> dict[str, Any]:
        """The row as it is written to the results."""
        names = ("case", "ours_ms", "peer", "peer_ms", "ratio", "bound_ms", "agreement", "tolerance", "note", "error")
        return {name: getattr(self, name) for name in names} | {"sizes": dict(self.sizes), "plot": self.plot}


@dataclass(frozen=True)
class Case:
    """Something that can be measured, alone or with others."""

    name: str
    """`BENCHMARK` or `BENCHMARK/PART`, to choose it by."""
    summary: str
    """One line."""
    run: Callable[[bool], Iterable[Row | Measurement]]
    """Measure; with True, sizes and repeats as small as can be."""
    study: bool = False
    """Whether it takes so long that it runs only when named; it writes a page of its own."""


def as_row(found: Row | Measurement) -> Row:
    """A measurement without a peer is a row as well."""
    return found if isinstance(found, Row) else Row(case=found.case, ours_ms=1e3 * found.median)
