"""How time and memory grow with the horizon T: gradient of single shooting, derivatives of direct transcription."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.bench_nlp import products_alone
from benchmarks.bench_shooting import Shooting
from benchmarks.compare import Contender, Peer, compare
from benchmarks.memory import peak_megabytes
from benchmarks.networks import StepNetwork
from benchmarks.rows import Case, Row
from benchmarks.transcriptions import OwnDerivatives, Points

HORIZONS = (50, 100, 200, 500, 1000, 2000)
STEEPEST = 1.1
"""Largest log-log slope."""


def cases() -> list[Case]:
    """Time and memory of both formulations."""
    return [
        Case("horizon/gradient", "Single shooting, B = 1, 2×128 tanh: value and gradient.", partial(_time, _gradient)),
        Case("horizon/derivatives", "Transcription, 2×128 tanh: f, ∇f, g, J, H.", partial(_time, _derivatives)),
        Case("horizon/memory", "Growth of the memory of a new process, both formulations.", _memory),
    ]


def _time(rows_at: Callable[[int, bool], Iterator[Row]], quick: bool) -> Iterator[Row]:
    horizons, times = _horizons(quick), []
    for horizon in horizons:
        rows = list(rows_at(horizon, quick))
        times.append(rows[-1].ours_ms or 0.0)
        yield from rows
    yield _slope(f"{rows_at.__name__.strip('_')}, slope of time", horizons, times)


def _gradient(horizon: int, quick: bool) -> Iterator[Row]:
    shooting = Shooting(StepNetwork(128, 2), 1, horizon)
    peer = Peer("eager torch", lambda: shooting.eager(shooting.cost))
    yield from _compare(f"gradient, T={horizon}", shooting.ours(), [peer], shooting.products(), horizon, quick)


def _derivatives(horizon: int, quick: bool) -> Iterator[Row]:
    network = StepNetwork(128, 2)
    own = OwnDerivatives.of(network, Points(horizon))
    ours, bound = Contender(own.run, own.values), products_alone(network, horizon)
    yield from _compare(f"derivatives, T={horizon}", ours, [], bound, horizon, quick)


def _compare(
    case: str, ours: Contender, peers: Sequence[Peer], bound: Callable[[], object], horizon: int, quick: bool
) -> Iterator[Row]:
    seconds, sizes = 0.05 if quick else 1.0, {"horizon": horizon}
    yield from compare(case, ours, peers, bound=bound, seconds=seconds, sizes=sizes, plot="horizon")


def _memory(quick: bool) -> Iterator[Row]:
    if not Path("/proc/self/clear_refs").exists():
        yield Row(case="memory", note="not measured: only Linux tells the peak of a process")
        return
    for kind in ("gradient",) if quick else ("gradient", "derivatives"):
        horizons = (50, 100) if quick else (50, 500, 2000)
        megabytes = [peak_megabytes(kind, horizon) for horizon in horizons]
        for horizon, size in zip(horizons, megabytes, strict=True):
            yield Row(case=f"{kind}, T={horizon}, memory", note=f"{size:.1f} MB", sizes={"horizon": horizon})
        yield _slope(f"{kind}, slope of memory", horizons, [max(size, 0.1) for size in megabytes])


def _horizons(quick: bool) -> tuple[int, ...]:
    return (5, 10) if quick else HORIZONS


def _slope(case: str, horizons: Sequence[int], values: Sequence[float]) -> Row:
    slope = float(np.polyfit(np.log(horizons), np.log(values), 1)[0])
    verdict = "" if slope <= STEEPEST else f", more than {STEEPEST}"
    return Row(case=case, note=f"log-log slope {slope:.2f} from T={horizons[0]} to T={horizons[-1]}{verdict}")
