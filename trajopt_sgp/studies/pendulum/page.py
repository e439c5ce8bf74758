"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.pendulum.control import UP
from trajopt_sgp.studies.pendulum.planning import PLANT
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.toys.compact import unpack_array
from trajopt_sgp.viz.pendulum_plots import plot_keypoint_control, plot_keypoint_plan, plot_noise_levels

Records = Sequence[CellRecord]


def write_page(records: Records) -> str:
    """Return the body of the page."""
    plans, episodes = _kind(records, "plan"), _kind(records, "control")
    parts = ["What each number means is told in [toy systems](../../toy-systems.md)."]
    if plans:
        parts += ["## Hanging to upright as a boundary-value problem", _plan_text(plans), _plan_table(plans)]
    if episodes:
        parts += ["## Model predictive control", _control_text(episodes), _control_table(episodes)]
    return "\n\n".join(parts)


def draw_figures(records: Records) -> dict[str, Figure]:
    """Return the pictures of the plans, of what their noise level costs, and of an episode of each controller."""
    plans, episodes = _kind(records, "plan"), _kind(records, "control")
    figures = {}
    if plans:
        figures["plan"] = _draw_plan(plans)
        figures["noise"] = plot_noise_levels([_row(record) for record in plans])
    if episodes:
        shown = {
            _name(record): {key: unpack_array(record.result[key]) for key in ("states", "torques")}
            for record in episodes
        }
        figures["control"] = plot_keypoint_control(shown, PLANT.time_step, UP)
    return figures


def _name(record: CellRecord) -> str:
    """Return what solved it: the label without its kind and its noise level."""
    return record.label.split(": ")[1].split(", σ")[0]


def _kind(records: Records, kind: str) -> list[CellRecord]:
    return [record for record in records if record.label.startswith(f"{kind}: ")]


def _row(record: CellRecord) -> dict[str, Any]:
    return {**record.result, "solver": _name(record), "sigma_stop": record.settings["plan"]["sigma_stop"]}


def _draw_plan(plans: Records) -> Figure:
    sharpest = min(record.settings["plan"]["sigma_stop"] for record in plans)
    shown = [record for record in plans if record.settings["plan"]["sigma_stop"] == sharpest]
    return plot_keypoint_plan(
        unpack_array(shown[0].result["plan"]),
        unpack_array(shown[0].result["truth"]),
        {_name(record): unpack_array(record.result["rate_defects"]) for record in shown},
        PLANT.length,
        f"Hanging to upright by the score of (x, u, x'), σ → {sharpest:g}",
    )


def _plan_text(plans: Records) -> str:
    plan, training = plans[0].settings["plan"], plans[0].settings["training"]
    return (
        f"{training['transitions']:,} transitions, α = {training['stretch']:g}. {plan['horizon']} intervals of 0.05 s, "
        f"β = {plan['beta']:g} with weighting σ² and σ falling from {plan['sigma_start']:g}, effort weight "
        f"{plan['effort']:g}. Errors are those of one step against the true pendulum; the gap is how far its tip gets "
        "from the plan in open loop."
    )


def _plan_table(plans: Records) -> str:
    columns = [
        "solver",
        "σ at the end",
        "status",
        "error of the rate, median [rad/s]",
        "largest",
        "error of the tip, largest [m]",
        "gap [m]",
        "largest torque [N m]",
        "s",
    ]
    return markdown_table(columns, [_plan_cells(_row(record)) for record in plans])


def _plan_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["solver"],
        f"{row['sigma_stop']:g}",
        row["status"],
        *(f"{row[key]:.3f}" for key in ("rate_defect_median", "rate_defect_max", "tip_defect_max", "gap")),
        f"{row['torque_max']:.2f}",
        f"{row['seconds']:.1f}",
    ]


def _control_text(episodes: Records) -> str:
    control = episodes[0].settings["control"]
    return (
        f"{control['steps']} steps of the environment from rest at {len(control['angles'])} angles near hanging, "
        f"{control['horizon']} intervals planned; β = {control['triple_beta']:g} at σ = {control['triple_sigma']:g} "
        f"with the score, {control['shooting_beta']:g} at 0.1 in shooting, weighting σ². Held: upright in each of the "
        f"last {control['held']} steps."
    )


def _control_table(episodes: Records) -> str:
    columns = ["controller", "reached", "latest after [s]", "held", "off upright, worst median [rad]", "step [ms]"]
    return markdown_table(columns, [_control_cells(record) for record in episodes])


def _control_cells(record: CellRecord) -> list[str]:
    episodes = record.result["episodes"]
    reached = [episode["reached_after"] for episode in episodes if episode["reached_after"] is not None]
    return [
        _name(record),
        f"{len(reached)} of {len(episodes)}",
        f"{PLANT.time_step * max(reached):.2f}" if reached else "–",
        f"{sum(episode['held'] for episode in episodes)} of {len(episodes)}",
        f"{max(episode['off_upright_median_rad'] for episode in episodes):.3f}",
        f"{record.result['step_ms_p50']:.0f}",
    ]
