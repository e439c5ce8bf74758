"""The cells: what an iteration takes at each size, networks for sizes that do not ship, and plans of every planner."""

from collections.abc import Mapping

from trajopt_sgp.studies.pixel_scaling.plans import plan_sized
from trajopt_sgp.studies.pixel_scaling.timing import measure_iteration
from trajopt_sgp.studies.pixel_scaling.training import train_sized, train_sized_ensemble
from trajopt_sgp.studies.pixels.planners import PLANNERS
from trajopt_sgp.studies.runner import StudyCell

RESOLUTIONS = (16, 32, 64)
HORIZON = 15
HORIZONS = (5, 10, 15, 30, 60)
"""At 32 by 32 pixels."""
CHANNELS = {"narrow": (8, 16, 32, 64), "standard": (16, 32, 64)}
"""Of the networks; the narrow ones are those that are trained at 64 by 64 pixels."""
PAIRS = 8
WIDE, SHIPPED = 64, 32
SIZES = ((32, 15), (64, 15), (16, 15), (32, 5), (32, 10), (32, 30), (32, 60))
"""Pixels of a side, and steps, in the order in which plans are made."""
NUMBERS: Mapping[str, Mapping[str, float]] = {
    "guided": {},
    "score transcription": {},
    "unguided": {},
    "ensemble gradient": {"ensemble_weight": 0.003},
    "CEM": {"population": 32, "elites": 0.25, "spread": 0.02},
    "MPPI": {"population": 32, "temperature": 0.1, "spread": 0.05},
    "CEM, discs": {"population": 8, "elites": 0.4, "spread": 0.6, "points": 8},
    "MPPI, discs": {"population": 32, "temperature": 0.03, "spread": 1.0, "points": 4},
}
"""Planners, and their settings: those that the search at 32 by 32 pixels found."""

_TRAINED = {16: CHANNELS["standard"], 64: CHANNELS["narrow"]}
_TRANSITIONS = {16: 40_000, 32: 60_000, 64: 40_000}
_ENSEMBLE_STEPS = {16: 1000, 32: 1000, 64: 500}
_GUIDED_SECONDS = {16: 5.0, 32: 12.0, 64: 40.0}
"""Of one core, for a guided plan of 15 steps and as much for one from samples; in proportion to the steps."""


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return timings, which need no trained networks, then training, then plans."""
    timings = [_timing(name, side, HORIZON, reduced) for name in CHANNELS for side in RESOLUTIONS]
    timings += [_timing("standard", 32, horizon, reduced) for horizon in HORIZONS if horizon != HORIZON]
    models = {side: _training(side, reduced) for side in _TRAINED}
    if reduced:
        return [timings[0], models[16], _plan((16, HORIZON), "guided", 0, models, {}, reduced)]
    ensembles = {side: _ensemble(side) for side in RESOLUTIONS}
    plans = [
        _plan(size, planner, pair, models, ensembles, reduced)
        for planner in NUMBERS
        for size in SIZES
        for pair in range(PAIRS)
    ]
    return [*timings, *models.values(), *ensembles.values(), *plans]


def _training(side: int, reduced: bool) -> StudyCell:
    settings = {
        "resolution": side,
        "channels": [4, 8] if reduced else list(_TRAINED[side]),
        "transitions": 200 if reduced else _TRANSITIONS[side],
        "steps": [2, 2, 2] if reduced else [5000, 4000, 4000],
        "seed": 0,
    }
    return StudyCell(f"train {side}", train_sized, settings)


def _ensemble(side: int) -> StudyCell:
    settings = {"resolution": side, "transitions": _TRANSITIONS[side], "steps": _ENSEMBLE_STEPS[side], "seed": 0}
    return StudyCell(f"ensemble {side}", train_sized_ensemble, settings)


def _plan(
    size: tuple[int, int],
    planner: str,
    pair: int,
    models: Mapping[int, StudyCell],
    ensembles: Mapping[int, StudyCell],
    reduced: bool,
) -> StudyCell:
    side, horizon = size
    settings = {"resolution": side, "horizon": horizon, "planner": planner, "pair": pair, "seed": 1}
    settings |= {"numbers": dict(NUMBERS[planner]), **({"iterations": 1} if reduced else {})}
    if PLANNERS[planner].search in ("cem", "mppi"):
        settings["seconds"] = _GUIDED_SECONDS[side] * horizon / HORIZON
    needs = {"models": models[side]} if side in models else {}
    if PLANNERS[planner].uncertainty == "ensemble":
        needs["ensemble"] = ensembles[side]
    return StudyCell(f"plan {side} N={horizon} {planner} {pair}", plan_sized, settings, needs)


def _timing(channels: str, resolution: int, horizon: int, reduced: bool) -> StudyCell:
    settings = {
        "channels": list(CHANNELS[channels]),
        "resolution": resolution,
        "horizon": horizon,
        "repetitions": 1 if reduced else 5,
    }
    return StudyCell(f"time {channels} {resolution} N={horizon}", measure_iteration, settings)
