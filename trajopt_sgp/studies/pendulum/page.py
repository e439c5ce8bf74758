"""The page of results of the pendulum study, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from trajopt_sgp.studies.one_dimension.page import markdown_table


def pendulum_page(results: Mapping[str, Any]) -> str:
    """Return the page for the results of the study."""
    settings = results["settings"]
    plan, control, training = settings["plan"], settings["control"], settings["training"]
    parts = [
        "# Pendulum in keypoints: results",
        "Written by `python -m trajopt_sgp.studies.pendulum`; do not edit it. What each number means is told in "
        f"[toy systems](../../toy-systems.md). {training['transitions']:,} transitions, α = {training['stretch']:g}; "
        f"{results['seconds']:.0f} s on one core besides training.",
        "## Hanging to upright as a boundary-value problem",
        f"{plan['horizon']} intervals of 0.05 s, β = {plan['beta']:g} with weighting σ² and σ falling from "
        f"{plan['sigma_start']:g}, effort weight {plan['effort']:g}. Errors against the true plant.",
        _plan_table(results["plans"]),
        "![plan](pendulum-plan.png)",
        "![noise](pendulum-noise.png)",
        "## Model predictive control of the environment",
        f"{control['steps']} steps from rest at {len(control['angles'])} angles near hanging, {control['horizon']} "
        f"intervals planned. Held: upright in all of the last {control['held']} steps.",
        _control_table(results["control"]),
        "![control](pendulum-control.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _plan_table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [
        "solver",
        "σ at the end",
        "status",
        "error of the rate, median",
        "largest [rad/s]",
        "error of the tip, largest [m]",
        "open-loop gap [m]",
        "largest torque [N m]",
        "s",
    ]
    return markdown_table(columns, [_plan_cells(row) for row in rows])


def _plan_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["solver"],
        f"{row['sigma_stop']:g}",
        row["status"],
        *(f"{row[key]:.3f}" for key in ("rate_defect_median", "rate_defect_max", "tip_defect_max", "gap")),
        f"{row['torque_max']:.2f}",
        f"{row['seconds']:.1f}",
    ]


def _control_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, cell in found.items():
        episodes = cell["episodes"]
        reached = [episode["reached_after"] for episode in episodes if episode["reached_after"] is not None]
        rows.append(
            [
                name,
                f"{len(reached)} of {len(episodes)}",
                "–" if not reached else f"{0.05 * max(reached):.2f}",
                f"{sum(episode['held'] for episode in episodes)} of {len(episodes)}",
                f"{max(episode['off_upright_median_rad'] for episode in episodes):.3f}",
                f"{cell['step_ms_p50']:.0f}",
            ]
        )
    columns = ["controller", "reached", "latest after [s]", "held", "off upright, worst median [rad]", "step [ms]"]
    return markdown_table(columns, rows)
