"""The methods that are compared: each a small factory from models and tuned settings to something that plans.

A method joins the study by an entry in `METHODS`; models of a new kind, by one in `models.KINDS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trajopt_sgp.envs.cartpole_equations import CONTROL_NAMES, STATE_NAMES
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription, Formulation, ScoreTranscription, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import CEM, MPPI, GradientDescent, Ipopt
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.planning import FORCE_LIMIT
from trajopt_sgp.studies.swing_up import Guidance, swing_up_problem
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance, ensemble_problem

Numbers = Mapping[str, float]

SIGMA_START = 0.3
"""Where every annealing of σ begins."""

_EFFORT_WEIGHT = 1e-3


@dataclass(frozen=True)
class Range:
    """An interval that a setting is searched in, on a logarithmic scale."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    whole: bool = False
    """Whether only whole numbers are tried."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a method solves, and how."""

    problem: OptimalControlProblem
    """With the terms of the method."""
    formulation: Formulation
    """How it is transcribed."""
    solver: Solver
    """How it is solved."""


@dataclass(frozen=True)
class Method:
    """One row of the table."""

    summary: str
    """What it is, for the page; β with its weighting and schedule."""
    models: tuple[str, ...]
    """Kinds of models it needs, names in `models.KINDS`."""
    space: Mapping[str, Range]
    """Settings that are tuned."""
    defaults: Numbers
    """Their values where nothing is tuned: the first trial of every search."""
    make: "Maker"
    """Models and settings to a recipe."""
    sequential: bool = False
    """Whether plans are made one after another, as many as the time allows, instead of all in one batch.

    For solvers without batches, and for methods that a batch would leave only a few iterations of in the time.
    """

    def __post_init__(self) -> None:
        if set(self.space) != set(self.defaults):
            raise OptionError(f"{self.summary}: settings {sorted(self.space)} need defaults, not {[*self.defaults]}.")


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a recipe is made of."""

    models: Mapping[str, Any]
    """Trained models by kind."""
    data: Any
    """The transitions they were trained on."""
    horizon: int = 60
    """Intervals of 0.05 s."""
    most_iterations: int | None = None
    """Cap on the iterations of every solver, for reduced versions."""
    force_limits: bool = True
    """Whether planners are told that the motor ends at ±80 N; the true system ends there in any case."""

    def iterations(self, wanted: float) -> int:
        """Return a number of iterations within the cap."""
        count = round(wanted)
        return count if self.most_iterations is None else min(count, self.most_iterations)

    def problem(self, *distances: DataDistance, **options: Any) -> OptimalControlProblem:
        """Return the swing-up over the learned dynamics."""
        options = {"horizon": self.horizon, "force_limits": self.force_limits, **options}
        problem = swing_up_problem(self.models["dynamics"], distances, **options)
        # without limits a step or a sample still needs a unit
        return problem if self.force_limits else problem.replaced(control_scale=np.array([FORCE_LIMIT]))


Maker = Callable[[Ingredients, Numbers], Recipe]
"""What a method is made by."""


def find_method(name: str) -> Method:
    """Return a method.

    Raises:
        OptionError: there is none of this name; lists the valid names.
    """
    if name not in METHODS:
        raise OptionError(f"Unknown method {name!r}; choose from {', '.join(METHODS)}.")
    return METHODS[name]


def _guidance(settings: Numbers) -> Guidance:
    return Guidance(settings["beta"], SIGMA_START, min(settings["sigma_stop"], SIGMA_START))


def _descent(ingredients: Ingredients, settings: Numbers) -> GradientDescent:
    iterations = ingredients.iterations(settings["iterations"])
    return GradientDescent(iterations=iterations, step_size=settings["step_size"], annealing=0.6)


def _unguided(ingredients: Ingredients, settings: Numbers) -> Recipe:
    return Recipe(ingredients.problem(), SingleShooting(), _descent(ingredients, settings))


def _shooting(kind: str) -> Maker:
    def make(ingredients: Ingredients, settings: Numbers) -> Recipe:
        terms = _guidance(settings).term(ingredients.models[kind])
        return Recipe(ingredients.problem(*terms), SingleShooting(), _descent(ingredients, settings))

    return make


def _exact(ingredients: Ingredients, settings: Numbers) -> Recipe:
    guidance = _guidance(settings)
    # so little that the gradient is that of all data too
    tolerance = 1e-3 * guidance.sigma_stop**2
    model = ExactSmoothedDistance(ingredients.data, ingredients.models["dynamics"].normalizer, tolerance=tolerance)
    terms = guidance.term(model)
    return Recipe(ingredients.problem(*terms), SingleShooting(), _descent(ingredients, settings))


def _transcription_descent(ingredients: Ingredients, settings: Numbers) -> Recipe:
    terms = _guidance(settings).term(ingredients.models["score"])
    return Recipe(ingredients.problem(*terms), DirectTranscription(), _descent(ingredients, settings))


def _transcription_ipopt(ingredients: Ingredients, settings: Numbers) -> Recipe:
    terms = _guidance(settings).term(ingredients.models["energy"])
    problem = ingredients.problem(*terms, effort_weight=settings["effort_weight"])
    return Recipe(problem, DirectTranscription(), _ipopt(ingredients))


def _transcription_constrained(ingredients: Ingredients, settings: Numbers) -> Recipe:
    limit = DataDistance(ingredients.models["energy"], sigma=settings["sigma"], upper=settings["delta"])
    problem = ingredients.problem(effort_weight=settings["effort_weight"]).replaced(constraints=[limit])
    return Recipe(problem, DirectTranscription(), _ipopt(ingredients))


def _ipopt(ingredients: Ingredients) -> Ipopt:
    return Ipopt(max_iterations=ingredients.iterations(300.0), tolerance=1e-6)


def _score_transcription(ingredients: Ingredients, settings: Numbers) -> Recipe:
    guidance = _guidance(settings)
    terms = [replace(term, next_state=True) for term in guidance.term(ingredients.models["triple-score"])]
    return Recipe(_without_dynamics(ingredients, terms), ScoreTranscription(), _descent(ingredients, settings))


def _without_dynamics(ingredients: Ingredients, terms: list[DataDistance]) -> OptimalControlProblem:
    whole = ingredients.problem()
    return OptimalControlProblem(
        dynamics=None,
        horizon=whole.horizon,
        initial_state=whole.initial_state,
        stage_costs=terms,
        terminal_costs=whole.terminal_costs,
        time_step=whole.time_step,
        control_bounds=whole.control_bounds,
        control_scale=whole.control_scale,
        state_names=STATE_NAMES,
        control_names=CONTROL_NAMES,
        name=whole.name,
    )


def _learned_distance(ingredients: Ingredients, settings: Numbers) -> OptimalControlProblem:
    return ingredients.problem(DataDistance(ingredients.models["learned-distance"], weight=settings["beta"]))


def _ensemble(ingredients: Ingredients, settings: Numbers) -> OptimalControlProblem:
    return ensemble_problem(ingredients.problem(), ingredients.models["ensemble"], settings["beta"])


def _by_descent(problem: Callable[[Ingredients, Numbers], OptimalControlProblem]) -> Maker:
    return lambda ingredients, settings: Recipe(
        problem(ingredients, settings), SingleShooting(), _descent(ingredients, settings)
    )


def _by_samples(problem: Callable[[Ingredients, Numbers], OptimalControlProblem], solver: type[CEM | MPPI]) -> Maker:
    def make(ingredients: Ingredients, settings: Numbers) -> Recipe:
        iterations = ingredients.iterations(settings["iterations"])
        search = solver(iterations=iterations, spread=settings["spread"], noise_exponent=settings["noise_exponent"])
        return Recipe(problem(ingredients, settings), SingleShooting(), search)

    return make


_DESCENT = {"step_size": Range(0.02, 1.0), "iterations": Range(100.0, 2000.0, whole=True)}
_DESCENT_DEFAULTS = {"step_size": 0.3, "iterations": 250.0}
_GUIDED = {"beta": Range(0.1, 100.0), "sigma_stop": Range(0.02, 0.2), **_DESCENT}
_GUIDED_DEFAULTS = {"beta": 5.0, "sigma_stop": 0.02, **_DESCENT_DEFAULTS}
_PENALISED = {"beta": Range(0.01, 100.0), **_DESCENT}
_SAMPLED = {
    "beta": Range(0.01, 100.0),
    "iterations": Range(10.0, 300.0, whole=True),
    "spread": Range(0.1, 1.0),
    "noise_exponent": Range(0.2, 3.0),
}
_SAMPLED_DEFAULTS = {"iterations": 100.0, "spread": 0.5, "noise_exponent": 1.0}

METHODS: dict[str, Method] = {
    "unguided-shooting": Method(
        "β = 0: single shooting by gradient descent", ("dynamics",), _DESCENT, _DESCENT_DEFAULTS, _unguided
    ),
    "sgp-shooting": Method(
        "score network, weighting σ², σ annealed geometrically from 0.3: single shooting by gradient descent",
        ("dynamics", "score"),
        _GUIDED,
        _GUIDED_DEFAULTS,
        _shooting("score"),
    ),
    "sgp-transcription-descent": Method(
        "score network, weighting σ², σ annealed from 0.3: direct transcription by gradient descent",
        ("dynamics", "score"),
        _GUIDED,
        {**_GUIDED_DEFAULTS, "beta": 1.0, "sigma_stop": 0.1},
        _transcription_descent,
    ),
    "sgp-transcription-ipopt": Method(
        "energy network as a cost, weighting σ², σ in four stages from 0.3: direct transcription by Ipopt",
        ("dynamics", "energy"),
        {"beta": Range(0.05, 20.0), "sigma_stop": Range(0.05, 0.3), "effort_weight": Range(1e-4, 1e-1)},
        {"beta": 1.0, "sigma_stop": 0.2, "effort_weight": _EFFORT_WEIGHT},
        _transcription_ipopt,
        sequential=True,
    ),
    "sgp-constrained-ipopt": Method(
        "energy network as a hard constraint, calibrated length at most δ: direct transcription by Ipopt",
        ("dynamics", "energy"),
        {"delta": Range(0.02, 0.5), "sigma": Range(0.05, 0.3), "effort_weight": Range(1e-4, 1e-1)},
        {"delta": 0.1, "sigma": 0.2, "effort_weight": _EFFORT_WEIGHT},
        _transcription_constrained,
        sequential=True,
    ),
    "score-transcription": Method(
        "score network of (x, u, x'), no dynamics, weighting σ², σ annealed from 0.3: gradient descent",
        ("dynamics", "triple-score"),
        {**_GUIDED, "beta": Range(1.0, 1e4)},
        {**_GUIDED_DEFAULTS, "beta": 100.0},
        _score_transcription,
    ),
    "exact-shooting": Method(
        "exact smoothed distance, weighting σ², σ annealed from 0.3: shooting by gradient descent",
        ("dynamics",),
        _GUIDED,
        # the field of single points is stiffer than that of a network
        {**_GUIDED_DEFAULTS, "beta": 0.1, "sigma_stop": 0.03},
        _exact,
        sequential=True,
    ),
    "ensemble-descent": Method(
        "mean cost of six members + β variance of their total costs: shooting by gradient descent",
        ("dynamics", "ensemble"),
        _PENALISED,
        {"beta": 1.0, **_DESCENT_DEFAULTS},
        _by_descent(_ensemble),
    ),
    "ensemble-cem": Method(
        "mean cost of six members + β variance of their total costs: CEM",
        ("dynamics", "ensemble"),
        _SAMPLED,
        {"beta": 1.0, **_SAMPLED_DEFAULTS},
        _by_samples(_ensemble, CEM),
        sequential=True,
    ),
    "ensemble-mppi": Method(
        "mean cost of six members + β variance of their total costs: MPPI",
        ("dynamics", "ensemble"),
        _SAMPLED,
        {"beta": 1.0, **_SAMPLED_DEFAULTS},
        _by_samples(_ensemble, MPPI),
        sequential=True,
    ),
    "learned-distance-descent": Method(
        "network regressed to the smoothed distance at σ = 0.1, weighting σ²: shooting by gradient descent",
        ("dynamics", "learned-distance"),
        _PENALISED,
        {"beta": 5.0, **_DESCENT_DEFAULTS},
        _by_descent(_learned_distance),
    ),
    "learned-distance-cem": Method(
        "network regressed to the smoothed distance at σ = 0.1, weighting σ²: CEM",
        ("dynamics", "learned-distance"),
        _SAMPLED,
        {"beta": 5.0, **_SAMPLED_DEFAULTS},
        _by_samples(_learned_distance, CEM),
        sequential=True,
    ),
}
"""By name, in the order of the table."""
