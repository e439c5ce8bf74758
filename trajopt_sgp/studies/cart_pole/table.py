"""What the results of the cart-pole study amount to: pooled rates, medians, and the rule for β."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trajopt_sgp.models.calibration import CALIBRATION_QUANTILE
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import Estimate, bootstrap, success_rate

_BOOTSTRAP_SEED = 0
_WORST_COST = 1e3


@dataclass(frozen=True)
class Pooled:
    """Cells that differ in nothing but their seed."""

    method: str
    """Name of the method."""
    size: int
    """Number of transitions."""
    seeds: tuple[int, ...]
    """Of data and models."""
    varied: str
    """The setting that is multiplied by `factor`; empty in the table."""
    factor: float
    """1 where no setting is varied."""
    seconds: float
    """Of planning, mean over seeds."""
    success: Estimate
    """Over all plans of all seeds, with its Wilson interval."""
    by_seed: tuple[float, ...]
    """Success rate of each seed."""
    true_cost: Estimate
    """Median true terminal cost of all plans, with its bootstrap interval over seeds and plans."""
    outside: float
    """Median share of knots outside the data, over all plans."""
    plans: float
    """Plans made within the budget, mean over seeds."""
    nearest: float
    """95th percentile over plans of the largest distance of the executed motion to the nearest data point."""
    violation: float
    """95th percentile over plans of the largest violation of a constraint."""


def split_by_limits(records: Sequence[CellRecord]) -> tuple[list[CellRecord], list[CellRecord]]:
    """Return the records where planners are told the limits of the motor, and those where they are not."""
    told = [record for record in records if record.settings.get("force_limits", True)]
    return told, [record for record in records if not record.settings.get("force_limits", True)]


def pool(records: Sequence[CellRecord]) -> list[Pooled]:
    """Return one entry for each method, size and varied setting among the records of plans."""
    groups: dict[tuple[str, int, str, float], list[CellRecord]] = {}
    for record in records:
        if record.function == "plan_and_judge":
            ((varied, factor),) = record.settings.get("factors", {}).items() or (("", 1.0),)
            key = record.settings["method"], record.settings["size"], varied, float(factor)
            groups.setdefault(key, []).append(record)
    return [_pooled(*key, group) for key, group in groups.items()]


def _pooled(method: str, size: int, varied: str, factor: float, group: Sequence[CellRecord]) -> Pooled:
    results = [record.result for record in group]
    costs = np.concatenate([_costs(result) for result in results])
    counts = [(result["successes"], result["plans"]) for result in results]
    return Pooled(
        method=method,
        size=size,
        seeds=tuple(record.settings["seed"] for record in group),
        varied=varied,
        factor=factor,
        seconds=float(np.mean([result["planning_seconds"] for result in results])),
        success=success_rate(sum(good for good, _ in counts), sum(plans for _, plans in counts)),
        by_seed=tuple(good / plans for good, plans in counts),
        true_cost=bootstrap(costs, np.random.default_rng(_BOOTSTRAP_SEED)),
        outside=float(np.median(_joined(results, "outside"))),
        plans=float(np.mean([plans for _, plans in counts])),
        nearest=float(np.quantile(_joined(results, "executed_nearest"), 0.95)),
        violation=float(np.quantile(_joined(results, "violations"), 0.95)),
    )


def _costs(result: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([_WORST_COST if cost is None else cost for cost in result["true_costs"]])


def _joined(results: Sequence[Mapping[str, Any]], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.inf if value is None else value for result in results for value in result[name]])


@dataclass(frozen=True)
class Choice:
    """What the rule for β chose on the data of one seed."""

    seed: int
    """Of data and models."""
    chosen: float | None
    """Factor of the tuned β; None where no β passed."""
    success: float | None
    """Success rate there."""
    best: float
    """Largest success rate of any β."""


def beta_curve(records: Sequence[CellRecord]) -> list[CellRecord]:
    """Return the records of plans with another β, and those with the tuned one beside them, whose factor is 1."""
    plans = [record for record in records if record.function == "plan_and_judge"]
    varied = [record for record in plans if "beta" in record.settings.get("factors", {})]
    places = {_place(record) for record in varied}
    tuned = [record for record in plans if "factors" not in record.settings and _place(record) in places]
    return [*varied, *(replace(own, settings={**own.settings, "factors": {"beta": 1.0}}) for own in tuned)]


def _place(record: CellRecord) -> tuple[Any, ...]:
    return tuple(record.settings[name] for name in ("method", "size", "seed"))


def choose_betas(records: Sequence[CellRecord], share: float = 0.95) -> list[Choice]:
    """Apply the rule for β to each seed of the curve and return what it chose.

    The rule needs models and data, no true system: the smallest β at which a share of all plans, nineteen in twenty
    unless given, have no larger part of their knots outside the data than unseen data themselves have.
    """
    curves: dict[int, dict[float, CellRecord]] = {}
    for record in beta_curve(records):
        curves.setdefault(record.settings["seed"], {})[record.settings["factors"]["beta"]] = record
    return [_choose(seed, curve, share) for seed, curve in sorted(curves.items())]


def _choose(seed: int, curve: Mapping[float, CellRecord], share: float) -> Choice:
    allowed = 1.0 - CALIBRATION_QUANTILE
    rates = {factor: record.result["successes"] / record.result["plans"] for factor, record in curve.items()}
    within = {factor: np.mean(np.array(record.result["outside"]) <= allowed) for factor, record in curve.items()}
    passing = [factor for factor, found in within.items() if found >= share]
    chosen = min(passing, default=None)
    return Choice(seed, chosen, None if chosen is None else rates[chosen], max(rates.values()))
