"""Reading the models that plan and mpc work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions, load_transitions
from trajopt_sgp.envs.cartpole_equations import CONTROL_NAMES, STATE_NAMES
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.models import (
    EnergyNetwork,
    EnsembleDynamics,
    LearnedDistance,
    LearnedDynamics,
    ScoreNetwork,
    check_same_data,
    load_model_as,
)
from trajopt_sgp.models.model_file import find_model_file
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.uncertainty import DataDistance, EnsembleVariance, ExactSmoothedDistance, GradientModel


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """The arguments of a command that say what it plans with."""

    dynamics: Path
    score: Path | None
    energy: Path | None
    learned_distance: Path | None
    ensemble: Path | None
    exact: str | None


@dataclass(frozen=True)
class Models:
    """A dynamics model and what measures the distance to data, if anything."""

    dynamics: LearnedDynamics
    """Of the cart-pole's sizes."""
    distance: GradientModel | None
    """Of the same data."""
    files: dict[str, Path | str]
    """By role."""

    def terms(self, guidance: Guidance) -> list[DataDistance]:
        """Return the distance to data as the guidance wants it; nothing where there is no model or no weight."""
        return [] if self.distance is None else guidance.term(self.distance)

    def data_box(self) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper corner `(n + m,)` of the data."""
        normalizer = self.dynamics.normalizer
        return normalizer.center - normalizer.scale, normalizer.center + normalizer.scale

    def describe(self) -> dict[str, Any]:
        """Return files and the dataset they come from, for JSON."""
        dataset = self.dynamics.dataset
        return {**self.files, "dataset": {"id": dataset.id, "hash": dataset.hash}}


def load_models(request: ModelRequest) -> Models:
    """Read the models; each path is a file or the folder of a training run.

    Raises:
        ModelFileError: a file is missing, damaged, or holds another kind of model.
        DatasetError: the dataset of the exact distance is missing or damaged.
        IncompatibleError: ensemble and dynamics were trained on different data, or dynamics or dataset are not of the
            cart-pole.
    """
    given = {role: source for role in _DISTANCES if (source := getattr(request, role)) is not None}
    if len(given) > 1:
        options = " and ".join(map(_option, given))
        raise typer.BadParameter(f"{options} cannot go together: one distance to data guides a plan.")
    dynamics_file = find_model_file(request.dynamics)
    dynamics = load_model_as(LearnedDynamics, dynamics_file)
    _check_cart_pole(str(dynamics_file), dynamics)
    found = {role: source if role == "exact" else find_model_file(source) for role, source in given.items()}
    distance = None
    for role, source in found.items():
        distance = _DISTANCES[role](source, dynamics)
    return Models(dynamics, distance, {"dynamics": dynamics_file, **found})


def _check_cart_pole(name: str, found: LearnedDynamics | Transitions) -> None:
    sizes = (found.state_size, found.control_size)
    if sizes != (len(STATE_NAMES), len(CONTROL_NAMES)):
        raise IncompatibleError(
            f"{name} has {sizes[0]} states and {sizes[1]} controls, those of dataset {found.dataset.id!r}. The "
            f"commands plan and mpc are for the cart-pole alone, with {len(STATE_NAMES)} states and "
            f"{len(CONTROL_NAMES)} control; state the problem of another system in Python, with solve() and MPC."
        )


def check_beta(beta: float | None, models: Models) -> None:
    """Check that a weight has a distance to weigh.

    Raises:
        OptionError: it has none.
    """
    if models.distance is None and beta:
        *others, last = map(_option, _DISTANCES)
        raise OptionError(f"--beta {beta:g} needs a distance to data: give {', '.join(others)} or {last}.")


def _ensemble(source: Any, dynamics: LearnedDynamics) -> EnsembleVariance:
    ensemble = load_model_as(EnsembleDynamics, source)
    check_same_data(dynamics, ensemble)
    return EnsembleVariance(ensemble)


def _exact(source: Any, dynamics: LearnedDynamics) -> ExactSmoothedDistance:
    data = load_transitions(source)
    _check_cart_pole(f"Dataset {source!r}", data)
    return ExactSmoothedDistance(data, normalizer=dynamics.normalizer)


def _of_file(kind: type[Any]) -> Callable[[Any, LearnedDynamics], GradientModel]:
    return lambda source, dynamics: load_model_as(kind, source)


_DISTANCES: Mapping[str, Callable[[Any, LearnedDynamics], GradientModel]] = {
    "score": _of_file(ScoreNetwork),
    "energy": _of_file(EnergyNetwork),
    "learned_distance": _of_file(LearnedDistance),
    "ensemble": _ensemble,
    "exact": _exact,
}


def _option(role: str) -> str:
    return "--" + role.replace("_", "-")
