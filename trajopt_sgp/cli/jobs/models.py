"""Reading the models that plan and mpc work with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import EnergyNetwork, LearnedDynamics, ScoreNetwork, load_model_as
from trajopt_sgp.studies.swing_up import Guidance
from trajopt_sgp.uncertainty import DataDistance

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Models:
    """A dynamics model and what measures the distance to data, if anything."""

    dynamics: LearnedDynamics
    """Checked to be cart-pole sized by the problem, not here."""
    distance: ScoreNetwork | EnergyNetwork | None
    """Score or energy."""
    files: dict[str, Path]
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


def load_models(dynamics: Path, score: Path | None, energy: Path | None) -> Models:
    """Read the models; each path is a file or the folder of a training run.

    Raises:
        ModelFileError: a file is missing, damaged, or holds another kind of model.
    """
    if score is not None and energy is not None:
        raise typer.BadParameter("give either --score or --energy, not both: one distance to data guides a plan.")
    files = {"dynamics": model_file(dynamics)}
    distance: ScoreNetwork | EnergyNetwork | None = None
    if score is not None:
        files["score"] = model_file(score)
        distance = load_model_as(ScoreNetwork, files["score"])
    elif energy is not None:
        files["energy"] = model_file(energy)
        distance = load_model_as(EnergyNetwork, files["energy"])
    return Models(load_model_as(LearnedDynamics, files["dynamics"]), distance, files)


def model_file(path: Path) -> Path:
    """Return the model file in the folder of a training run, or the path itself."""
    return path / MODEL_FILE if path.is_dir() else path
