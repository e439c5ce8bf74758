"""Pictures of a plan."""

from pathlib import Path

import numpy as np

from trajopt_sgp.cli.jobs.models import Models
from trajopt_sgp.cli.jobs.plan_result import PlanResult
from trajopt_sgp.viz import (
    CARTPOLE_UNITS,
    PlanView,
    plot_certificate,
    plot_cost_by_iteration,
    plot_data_distance,
    plot_plan_against_truth,
    save_figure,
)

_UPRIGHT = (0.0, np.pi, 0.0, 0.0)


def draw_plan(folder: Path, result: PlanResult, models: Models) -> dict[str, Path]:
    """Draw plan.png, cost.png and, of what there is, distance.png and certificate.png; return their paths by name."""
    solution, label = result.solution, "guided" if models.distance is not None else "naive"
    note = f"predicted cost {result.predicted_cost:.3g}, true cost {result.true_cost:.3g}"
    view = PlanView(label, solution, result.truth, note=note, success=bool(result.document()["true_success"]))
    low, high = models.data_box()
    figures = {"plan": plot_plan_against_truth([view], (low, high), goal=np.array(_UPRIGHT), units=CARTPOLE_UNITS)}
    if solution.log:
        figures["cost"] = plot_cost_by_iteration({label: solution})
    if (distance := solution.known_data_distance) is not None:
        figures["distance"] = plot_data_distance({label: distance}, solution.problem.grid.time_step)
    check = result.resimulation.certificate
    if check is not None:
        figures["certificate"] = plot_certificate(check, solution.problem.state_labels, units=CARTPOLE_UNITS)
    return {f"{name}_plot": save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()}
