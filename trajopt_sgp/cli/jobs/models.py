"""Reading the models that plan and mpc work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from trajopt_sgp.data import load_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import (
    EnergyNetwork,
    EnsembleDynamics,
    LearnedDistance,
    LearnedDynamics,
    ScoreNetwork,
    check_same_data,
    load_model_as,
)
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.uncertainty import DataDistance, EnsembleVariance, ExactSmoothedDistance, GradientModel

FloatArray = NDArray[np.float64]


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
    """Checked to be cart-pole sized by the problem, not here."""
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
        IncompatibleError: ensemble and dynamics were trained on different data.
    """
    given = {role: source for role in _DISTANCES if (source := getattr(request, role)) is not None}
    if len(given) > 1:
        options = " and ".join(map(_option, given))
        raise typer.BadParameter(f"{options} cannot go together: one distance to data guides a plan.")
    dynamics = load_model_as(LearnedDynamics, model_file(request.dynamics))
    found = {role: source if role == "exact" else model_file(source) for role, source in given.items()}
    distance = None
    for role, source in found.items():
        distance = _DISTANCES[role](source, dynamics)
    return Models(dynamics, distance, {"dynamics": model_file(request.dynamics), **found})


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
    return ExactSmoothedDistance(load_transitions(source), normalizer=dynamics.normalizer)


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


def model_file(path: Path) -> Path:
    """Return the model file in the folder of a training run, or the path itself."""
    return path / MODEL_FILE if path.is_dir() else path
