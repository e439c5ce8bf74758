"""The search for the settings of a planner: as many trials for each, on a pair that is not judged, with its log."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trajopt_sgp.studies.pixels.measure import gather, plan_and_judge
from trajopt_sgp.studies.runner import CellContext

_CEM = {"population": (8, 16, 32), "elites": (0.15, 0.25, 0.4)}
_MPPI = {"population": (8, 16, 32), "temperature": (0.03, 0.1, 0.3)}
_PIXELS = {"spread": (0.02, 0.05, 0.15, 0.4)}
_SPLINE = {"spread": (0.15, 0.3, 0.6, 1.0), "points": (4, 6, 8)}
_COMPONENTS = {**_SPLINE, "components": (8, 16, 24)}
_WEIGHT = {"ensemble_weight": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)}

SPACES: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "ensemble gradient": _WEIGHT,
    "ensemble CEM": {**_CEM, **_PIXELS, **_WEIGHT},
    "CEM": {**_CEM, **_PIXELS},
    "MPPI": {**_MPPI, **_PIXELS},
    "CEM, components": {**_CEM, **_COMPONENTS},
    "MPPI, components": {**_MPPI, **_COMPONENTS},
    "CEM, discs": {**_CEM, **_SPLINE},
    "MPPI, discs": {**_MPPI, **_SPLINE},
}
"""What is tried for the settings of each planner."""


def tune(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Try settings drawn at random, and keep those with which the true point fares best.

    Settings: those of `measure` for the pair, and the number of `trials`.

    Returns:
        `settings`: the best; `trials`: the log, in order.
    """
    generator = np.random.default_rng([settings["seed"], settings["trials"]])
    ingredients = gather(settings["planner"], context)
    log: list[dict[str, Any]] = []
    for _ in range(settings["trials"]):
        space = SPACES[settings["planner"]]
        numbers = {name: float(generator.choice(values)) for name, values in space.items()}
        plan, verdict, _, seconds = plan_and_judge(settings, numbers, ingredients)
        judged = {"goal_distance": verdict.goal_distance, "hole_depth": verdict.hole_depth, "seconds": seconds}
        log.append({"settings": numbers, "excess": verdict.excess, **judged, "evaluations": plan.evaluations})
    return {"settings": min(log, key=lambda trial: float(trial["excess"]))["settings"], "trials": log}
