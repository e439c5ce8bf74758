"""Comparing this library with peers: the same results first, then both timed in turn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.measure import interleave
from benchmarks.rows import FLOAT64, NOT_INSTALLED, Row
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.errors import IncompatibleError


@dataclass(frozen=True)
class Contender:
    """One way to compute something."""

    run: Callable[[], Any]
    """What is timed."""
    values: Callable[[Any], Sequence[ArrayLike]]
    """From its result to what must agree, not timed."""
    tolerance: float = FLOAT64
    """Largest relative difference; that of its precision."""
    failure: Callable[[Any], str] = lambda result: ""
    """How it failed, read off its result; nothing where it did not."""
    remark: Callable[[Any], str] = lambda result: ""
    """What else a reader should know of its result."""


@dataclass(frozen=True)
class Peer:
    """Another library or another way, built when its turn comes."""

    name: str
    build: Callable[[], Contender]


def compare(
    case: str,
    ours: Contender,
    peers: Sequence[Peer],
    *,
    bound: Callable[[], object] | None = None,
    seconds: float = 1.0,
    sizes: Mapping[str, float] | None = None,
    plot: str = "",
) -> Iterator[Row]:
    """Compare with each peer on one thread; a peer that is missing or fails gives a row that says so."""
    fixed: dict[str, Any] = {"case": case, "sizes": sizes or {}, "plot": plot}
    with limited_threads(1):
        if not peers:
            yield _alone(ours, bound, seconds, fixed)
        for peer in peers:
            yield _tried(ours, peer, bound, seconds, fixed)


def relative_difference(values: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> float:
    """Return the largest difference of any of the arrays, relative to the largest entry of its reference."""
    worst = 0.0
    for value, expected in zip(values, reference, strict=True):
        a, b = np.asarray(value, dtype=np.float64), np.asarray(expected, dtype=np.float64)
        if a.shape != b.shape:
            raise AssertionError(f"results of shapes {a.shape} and {b.shape} cannot be compared")
        size = max(float(np.abs(b).max(initial=0.0)), np.finfo(np.float64).tiny)
        worst = max(worst, float(np.abs(a - b).max(initial=0.0)) / size)
    return worst


def _tried(
    ours: Contender, peer: Peer, bound: Callable[[], object] | None, seconds: float, fixed: Mapping[str, Any]
) -> Row:
    try:
        return _against(ours, peer, bound, seconds, fixed)
    except ImportError as error:
        return Row(**fixed, peer=peer.name, note=f"{NOT_INSTALLED} ({error.name})")
    except (RuntimeError, ValueError, IncompatibleError) as error:
        return Row(**fixed, peer=peer.name, note=f"failed: {_first_line(error)}")


def _against(
    ours: Contender, peer: Peer, bound: Callable[[], object] | None, seconds: float, fixed: Mapping[str, Any]
) -> Row:
    other = peer.build()
    own_result, result = ours.run(), other.run()
    failure, own_failure = other.failure(result), ours.failure(own_result)
    if own_failure:
        raise AssertionError(f"{fixed['case']}: this library failed: {own_failure}")
    agreement = None if failure else relative_difference(other.values(result), ours.values(own_result))
    functions = {"ours": ours.run, "peer": other.run} | ({} if bound is None else {"bound": bound})
    times = interleave(functions, seconds)
    remark = "; ".join(filter(None, [failure and f"failed: {failure}", other.remark(result)]))
    return Row(
        **fixed,
        ours_ms=1e3 * times["ours"],
        peer=peer.name,
        peer_ms=1e3 * times["peer"],
        bound_ms=None if bound is None else 1e3 * times["bound"],
        agreement=agreement,
        tolerance=other.tolerance,
        note=remark,
    )


def _alone(ours: Contender, bound: Callable[[], object] | None, seconds: float, fixed: Mapping[str, Any]) -> Row:
    result = ours.run()
    times = interleave({"ours": ours.run} | ({} if bound is None else {"bound": bound}), seconds)
    limit = None if bound is None else 1e3 * times["bound"]
    note = "; ".join(filter(None, [ours.failure(result), ours.remark(result)]))
    return Row(**fixed, ours_ms=1e3 * times["ours"], bound_ms=limit, note=note)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:120] if lines else type(error).__name__
