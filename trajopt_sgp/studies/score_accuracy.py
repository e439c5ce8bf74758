"""How accurate learned scores and energies of the cart-pole are, per noise level: `python -m` writes the table.

A cell trains one network on sampled transitions and compares its gradient with the closed form over the very
transitions it was trained on. Beside it stands the *sampling error*: how far the closed form over a million fresh
transitions, the gradient of the density that the data are a sample of, is from the closed form over the data. A
network that generalises perfectly has this error; only one that has learned the sample by heart has less.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.data import Transitions
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.files import write_atomically, write_json
from trajopt_sgp.learning import EnergySettings, ScoreSettings, train_energy, train_score, training_split
from trajopt_sgp.models.denoiser import Denoiser
from trajopt_sgp.problem.precision import cast
from trajopt_sgp.uncertainty.accuracy import DENSE_POINTS, score_accuracy
from trajopt_sgp.uncertainty.validation import weighted_mean

SIGMAS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
"""Noise levels at which gradients are compared."""
BAR = 0.15
"""Relative error that is asked for wherever the data are dense."""

# Far from every training seed: the transitions that stand for the density are new.
_FRESH_SEED = 1_000_003

_NOTES = f"""\
Relative error of the gradient of each network against the closed form over its own training transitions, at 1024 of
them, perturbed by noise of the level σ: root of the summed squared differences over root of the summed squares.
*Dense* queries are those where at least {DENSE_POINTS} transitions weigh more than 1 % of the largest, *sparse* the
others. *Sampling* is the error that the gradient of the density itself has at the dense queries, by a million fresh
transitions: the transitions are a sample, and what the closed form over them has beyond the density is chance.
*Asymmetry* is ‖J − Jᵀ‖ / ‖J + Jᵀ‖ of the Jacobians of the gradient field, zero for a conservative one. Dense errors
above {BAR:.0%} are bold."""


@dataclass(frozen=True)
class AccuracyCell:
    """One network to train and judge; fields are plain, so that a cell is its JSON."""

    model: str = "score"
    """`score` or `energy`."""
    transitions: int = 10_000
    """Number of transitions."""
    seed: int = 0
    """Of data and training."""
    settings: Mapping[str, Any] | None = None
    """Fields of `ScoreSettings` or `EnergySettings` that differ from their defaults."""
    queries: int = 1024
    """At every noise level."""
    fresh: int = 1_000_000
    """Fresh transitions that stand for the density."""


CELLS = (
    *(AccuracyCell(model, count) for count in (1_000, 10_000, 100_000) for model in ("score", "energy")),
    *(
        AccuracyCell(model, 10_000, settings={"architecture": architecture})
        for architecture in ("residual", "level_embedding")
        for model in ("score", "energy")
    ),
)
"""All cells of the table."""


@dataclass(frozen=True, eq=False)
class DensityGradient:
    """The gradient of the smoothed distance to a large sample, in the normalised coordinates of another model."""

    model: Denoiser
    """Whose coordinates."""
    points: Tensor
    """The sample, `(N, d)`."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """That of the model."""
        return self.model.sigma_range

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z as the model does."""
        return cast(self.model, torch.float64).normalize(state, control)

    @torch.no_grad()
    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Return z minus the weighted mean of the sample, `(..., d) -> (..., d)`."""
        return z - weighted_mean(z, self.points, float(sigma))


def run_cell(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train and judge the network of an `AccuracyCell` given as plain values; return plain values.

    The result depends on nothing else but the versions of the packages and the kind of processor.
    """
    cell = AccuracyCell(**settings)
    data = sample_cartpole_transitions(cell.transitions, np.random.default_rng(cell.seed))
    if cell.model == "score":
        score_settings = ScoreSettings(**(cell.settings or {}))
        score = train_score(data, score_settings, cell.seed)
        return _judge(cell, score.model, training_split(data, score_settings, cell.seed)[0], score.seconds)
    energy_settings = EnergySettings(**(cell.settings or {}))
    energy = train_energy(data, energy_settings, cell.seed)
    return _judge(cell, energy.model, training_split(data, energy_settings, cell.seed)[0], energy.seconds)


def _judge(cell: AccuracyCell, model: Denoiser, data: Transitions, seconds: float) -> dict[str, Any]:
    accuracy = score_accuracy(model, data, SIGMAS, cell.queries)
    sampling = _sampling_errors(cell, model, data, [level.sigma for level in accuracy.levels if level.dense_queries])
    levels = [{**level, "sampling_error": sampling.get(level["sigma"])} for level in accuracy.to_json()["levels"]]
    parameters = sum(value.numel() for value in model.parameters())
    return {"points": accuracy.points, "seconds": seconds, "parameters": parameters, "levels": levels}


def _sampling_errors(
    cell: AccuracyCell, model: Denoiser, data: Transitions, sigmas: Sequence[float]
) -> dict[float, float | None]:
    """Return by noise level the error of the gradient of the density at the same dense queries."""
    fresh = sample_cartpole_transitions(cell.fresh, np.random.default_rng(_FRESH_SEED + cell.seed))
    points = model.normalizer.normalize(np.hstack([fresh.states, fresh.controls])).astype(np.float32)
    density = DensityGradient(model, torch.from_numpy(points))
    return {level.sigma: level.dense_error for level in score_accuracy(density, data, sigmas, cell.queries).levels}


def run_all(cells: Sequence[AccuracyCell], results: Path, report: Callable[[str], object]) -> list[dict[str, Any]]:
    """Run all cells, one after the other, but those that the results of an earlier run hold; write the results."""
    rows: list[dict[str, Any]] = json.loads(results.read_text())["cells"] if results.exists() else []
    for cell in cells:
        settings = json.loads(json.dumps(vars(cell)))
        if not any(row["cell"] == settings for row in rows):
            rows.append({"cell": settings, **run_cell(settings)})
            write_json(results, {"cells": rows})
            report(f"{_name(rows[-1])}: {rows[-1]['seconds']:.0f} s\n")
    return [row for row in rows if row["cell"] in [json.loads(json.dumps(vars(cell))) for cell in cells]]


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the results as a page of Markdown, one table for each cell."""
    origin = "Written by `python -m trajopt_sgp.studies.score_accuracy`; do not edit."
    head = ["# Accuracy of learned scores and energies", origin, _NOTES, _summary(rows)]
    return "\n\n".join([*head, *map(_section, rows)]) + "\n"


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    judged = [level for row in rows for level in row["levels"] if level["dense_error"] is not None]
    met = [level for level in judged if level["dense_error"] <= BAR]
    missed = [level for level in judged if level["dense_error"] > BAR]
    text = f"{len(met)} of {len(judged)} pairs of network and level with dense queries are within {BAR:.0%}."
    if missed:
        below = sum(level["dense_error"] <= level["sampling_error"] for level in missed)
        text += (
            f" Of the {len(missed)} others, {below} are closer to the closed form than the gradient of the density is."
        )
    return text


def _section(row: Mapping[str, Any]) -> str:
    lines = [
        f"## {_name(row)}",
        "",
        f"{row['points']} training transitions, {row['parameters']} parameters, trained in {row['seconds']:.0f} s.",
        "",
        "| σ | dense error | sampling | dense queries | sparse error | sparse queries | asymmetry |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_line, row["levels"])])


def _line(level: Mapping[str, Any]) -> str:
    dense, sampling, sparse = (_number(level[name]) for name in ("dense_error", "sampling_error", "sparse_error"))
    if level["dense_error"] is not None and level["dense_error"] > BAR:
        dense = f"**{dense}**"
    counts = level["dense_queries"], level["sparse_queries"]
    cells = f"{level['sigma']:g}", dense, sampling, str(counts[0]), sparse, str(counts[1]), f"{level['asymmetry']:.2g}"
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _name(row: Mapping[str, Any]) -> str:
    cell = row["cell"]
    changed = ", ".join(f"{name} {value}" for name, value in (cell["settings"] or {}).items())
    return f"{cell['model'].capitalize()}, {cell['transitions']} transitions{', ' if changed else ''}{changed}"


def main(folder: Path = Path("docs")) -> None:
    """Run all cells and write score-accuracy.json and score-accuracy.md to a folder."""
    torch.set_num_threads(1)
    rows = run_all(CELLS, folder / "score-accuracy.json", sys.stderr.write)
    write_atomically(folder / "score-accuracy.md", page(rows).encode())


if __name__ == "__main__":
    main()
