"""The search for settings: the same for every method, on data of another seed, with its log."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.cart_pole.methods import Method, find_method
from trajopt_sgp.studies.cart_pole.plan import Budget, gather, run_method
from trajopt_sgp.studies.runner import CellContext

_GUESS_SEED = 7_654_321
_COST_SHARE = 0.01
_WORST_COST = 100.0


def tune_method(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Search with Optuna's TPE sampler (Bergstra et al. 2011); the first trial is the method's defaults.

    Settings: `method`, `size` and `seed` of the data, `trials`, `seconds`, `starts`, `most_iterations`,
    `force_limits` (True unless given). The worth of a trial is its success rate, less a little for the median true
    cost, which orders trials of equal success.

    Returns:
        `settings`: the best; `trials`: the log, in order.

    Raises:
        OptionError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise OptionError("The search needs Optuna: pip install 'trajopt_sgp[studies]'.") from error
    method, ingredients = find_method(settings["method"]), gather(settings, context)
    budget = Budget(settings["seconds"], settings["starts"], settings["most_iterations"])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=settings["seed"]))
    search.enqueue_trial(dict(method.defaults))
    log: list[dict[str, Any]] = []
    for _ in range(settings["trials"]):
        trial = search.ask()
        numbers = _suggest(trial, method)
        judged = run_method(method, ingredients, numbers, budget, _GUESS_SEED)
        worth = _worth(judged)
        search.tell(trial, worth)
        log.append({"settings": numbers, "worth": worth, **_summary(judged)})
    return {"settings": max(log, key=lambda entry: entry["worth"])["settings"], "trials": log}


def _suggest(trial: Any, method: Method) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, span in method.space.items():
        if span.whole:
            numbers[name] = float(trial.suggest_int(name, int(span.low), int(span.high), log=True))
        else:
            numbers[name] = trial.suggest_float(name, span.low, span.high, log=True)
    return numbers


def _worth(judged: Mapping[str, Any]) -> float:
    """Return the success rate less a hundredth of a measure of the median cost that lies in [0, 1]."""
    median = float(np.median(np.nan_to_num(judged["true_costs"], nan=_WORST_COST)))
    share = math.log1p(min(median, _WORST_COST)) / math.log1p(_WORST_COST)
    return float(judged["successes"] / judged["plans"] - _COST_SHARE * share)


def _summary(judged: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "successes": judged["successes"],
        "plans": judged["plans"],
        "median_true_cost": float(np.median(judged["true_costs"])),
        "planning_seconds": judged["planning_seconds"],
    }
