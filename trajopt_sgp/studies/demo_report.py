"""Pictures, animation and report of the demo."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.envs.cartpole_equations import CONTROL_NAMES, STATE_BOX_HIGH, STATE_BOX_LOW, STATE_NAMES
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.studies.mpc_episodes import NEAR_ORIGIN, SETTLED_SECONDS, UPRIGHT_ANGLE, EpisodeResults
from trajopt_sgp.studies.planning import FORCE_LIMIT, PlannedRow
from trajopt_sgp.studies.swing_up import SUCCESS_COST
from trajopt_sgp.studies.training import TrainedModels
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance
from trajopt_sgp.viz import (
    CARTPOLE_UNITS,
    Column,
    Picture,
    PlanView,
    Section,
    Table,
    animate_cartpole,
    plot_cost_by_iteration,
    plot_data_distance,
    plot_gradient_errors,
    plot_mpc,
    plot_plan_against_truth,
    plot_predicted_against_true,
    save_figure,
    write_report,
)

_GOAL = np.array([0.0, np.pi, 0.0, 0.0])
_GUIDED, _NAIVE = "guided shooting, limits unknown", "unguided shooting, limits unknown"
_AIMS = {0.2: 0.15, 0.4: 0.10}


def write_demo_report(
    folder: Path,
    summary: Mapping[str, Any],
    data: Transitions,
    models: TrainedModels,
    rows: Sequence[PlannedRow],
    episodes: EpisodeResults,
) -> Path:
    """Draw all pictures into `folder/plots`, write `folder/report.html` and return its path."""
    plots = folder / "plots"
    by_name = {row.planner.name: row for row in rows}
    views = [_view("naive", by_name[_NAIVE]), _view("guided", by_name[_GUIDED])]
    _draw_plans(plots, views, rows, data, models)
    _draw_rest(plots, summary, rows, episodes)
    return write_report(
        folder / "report.html",
        "From logged data to a swing-up",
        [*_plan_sections(plots, summary), *_other_sections(plots, summary)],
        headline=_headline(by_name),
        facts=_facts(by_name, summary),
        footer=f"Seed {summary['seed']}; trajopt_sgp {summary['versions']['trajopt_sgp']}, torch "
        f"{summary['versions']['torch']}, casadi {summary['versions']['casadi']}. Made by `trajopt-sgp demo`.",
    )


def _view(label: str, row: PlannedRow) -> PlanView:
    k = row.typical
    predicted, true = row.predicted_costs[k], row.true_costs[k]
    note = f"predicted cost {predicted:.3g}, true cost {true:.3g}"
    return PlanView(label, row.solutions[k], row.truths[k], note=note, success=bool(true < SUCCESS_COST))


def _draw_plans(
    plots: Path, views: Sequence[PlanView], rows: Sequence[PlannedRow], data: Transitions, models: TrainedModels
) -> None:
    box = np.append(STATE_BOX_LOW, -FORCE_LIMIT), np.append(STATE_BOX_HIGH, FORCE_LIMIT)
    figure = plot_plan_against_truth(
        views, box, axes=[(0, 2), (1, 3)], control_limits=(-FORCE_LIMIT, FORCE_LIMIT), goal=_GOAL, units=CARTPOLE_UNITS
    )
    save_figure(figure, plots / "plans.png")
    oracle = ExactSmoothedDistance(data, models.dynamics.normalizer)
    lengths = {view.label: _lengths(oracle, view.solution.trajectory) for view in views}
    save_figure(plot_data_distance(lengths, views[0].truth.time_step), plots / "data_distance.png")
    shooting = [row for row in rows if row.planner.distance == "score"]
    costs = {row.planner.name: (row.predicted_costs, row.true_costs) for row in shooting}
    save_figure(plot_predicted_against_true(costs, SUCCESS_COST), plots / "predicted_and_true.png")
    animate_cartpole(
        {view.label: view.truth for view in views},
        plots / "swing_up.gif",
        notes={view.label: view.note for view in views},
        caption="The true cart-pole under both plans; its motor ends at ±80 N.",
    )


def _lengths(oracle: ExactSmoothedDistance, plan: Trajectory) -> FloatArray:
    """Return the length from each knot to the nearest transition, in normalised coordinates."""
    z = oracle.normalizer.normalize(np.hstack([plan.states[:-1], plan.controls]))
    return oracle.nearest(z)


def _draw_rest(plots: Path, summary: Mapping[str, Any], rows: Sequence[PlannedRow], episodes: EpisodeResults) -> None:
    runs = {row.planner.name: list(row.solutions) for row in rows if row.planner.force_limits}
    save_figure(plot_cost_by_iteration(runs), plots / "cost_by_iteration.png")
    errors = {
        name: {float(sigma): error for sigma, error in summary["training"][name]["gradient_error"].items()}
        for name in ("score", "energy")
    }
    save_figure(plot_gradient_errors(errors, _AIMS), plots / "gradient_errors.png")
    steps = episodes.controls.shape[1]
    figure = plot_mpc(
        episodes.time_step * np.arange(steps + 1),
        episodes.states,
        episodes.controls,
        STATE_NAMES,
        CONTROL_NAMES,
        show=[0, 1],
        goal=_GOAL,
        tolerances={0: NEAR_ORIGIN, 1: UPRIGHT_ANGLE},
        judged_from=episodes.time_step * steps - SETTLED_SECONDS,
        success=episodes.success,
        control_limits=(-FORCE_LIMIT, FORCE_LIMIT),
        units=CARTPOLE_UNITS,
    )
    save_figure(figure, plots / "mpc.png")


def _headline(rows: Mapping[str, PlannedRow]) -> str:
    naive, guided = rows[_NAIVE].summary, rows[_GUIDED].summary
    return (
        "Both planners know the cart-pole only from logged data, and neither is told where its motor ends. Trusting "
        f"the learned model blindly, {naive['success_rate']:.0%} of {naive['starts']} plans swing the true pole up, "
        f"with a predicted cost of {naive['predicted_cost_median']:.4f}. Held to the data by the score, "
        f"{guided['success_rate']:.0%} do."
    )


def _facts(rows: Mapping[str, PlannedRow], summary: Mapping[str, Any]) -> dict[str, str]:
    mpc = summary["mpc"]
    return {
        "guided plans that succeed": f"{rows[_GUIDED].summary['success_rate']:.0%}",
        "naive plans that succeed": f"{rows[_NAIVE].summary['success_rate']:.0%}",
        "MPC episodes that end upright": f"{mpc['success_rate']:.0%} of {mpc['episodes']}",
        "median time of an MPC step": f"{mpc['step_ms_p50']:.0f} ms",
    }


def _plan_sections(plots: Path, summary: Mapping[str, Any]) -> list[Section]:
    columns: dict[str, Column | str] = {
        "name": "planner",
        "beta": "β (weighting σ²)",
        "sigmas": "σ schedule",
        "starts": "guesses",
        "success_rate": Column("success", "%", ".0f"),
        "predicted_cost_median": Column("predicted cost"),
        "true_cost_median": Column("true cost"),
        "left_data_rate": Column("leave the data", "%", ".0f"),
        "bound_violation_max": Column("beyond the motor", "N", ".3g"),
        "error_amplification_median": Column("error amplification", "", ".0f"),
        "single_plan_seconds": Column("one plan", "s", ".2f"),
    }
    table_rows = [{**row, "sigmas": _schedule(row["sigma_schedule"])} for row in summary["plans"]]
    shown = [{key: row[key] for key in columns} for row in table_rows]
    return [
        Section(
            "The true cart-pole under both plans",
            "The typical plan of each planner (median true cost), applied open loop: no feedback corrects it. Forces "
            "beyond the shaded band have never been seen in the data: what the learned model predicts there is "
            "invented. The score tells the guided planner where the data end.",
            images=[Picture(plots / "swing_up.gif"), Picture(plots / "plans.png", "Shaded: where the data are.")],
        ),
        Section(
            "All planners",
            f"A plan succeeds when the true terminal cost is below {SUCCESS_COST}. Costs are medians over the guesses. "
            "Rows without `limits unknown` know the force limits. Error amplification is the largest factor from small "
            "errors of the model's single steps to the error of the last state: a plan that amplifies strongly needs a "
            "better model to succeed. Planners that are told the force limits cannot leave the data here, so that an "
            "accurate model can do without guidance; the rows show how far that holds.",
            Table(shown, columns, highlight=[2, 3]),
            [
                Picture(plots / "predicted_and_true.png", "On the diagonal, a plan keeps its promise."),
                Picture(
                    plots / "data_distance.png", "Length to the nearest transition, in units of half the data range."
                ),
                Picture(plots / "cost_by_iteration.png"),
            ],
        ),
    ]


def _schedule(sigmas: Sequence[float] | None) -> str:
    return "none" if sigmas is None else f"{sigmas[0]:g} → {sigmas[1]:g}"


def _other_sections(plots: Path, summary: Mapping[str, Any]) -> list[Section]:
    mpc, training = summary["mpc"], summary["training"]
    sections = [
        Section(
            "Model predictive control",
            f"{mpc['success_rate']:.0%} of {mpc['episodes']} episodes from random hanging states end with the pole "
            f"within {UPRIGHT_ANGLE} rad of upright and the cart within {NEAR_ORIGIN} m for the last "
            f"{SETTLED_SECONDS:g} s. A step takes {mpc['step_ms_p50']:.0f} ms (median), {mpc['step_ms_p99']:.0f} ms "
            "(99th percentile); the control period is 50 ms.",
            images=[Picture(plots / "mpc.png")],
        ),
        Section(
            "What was learned",
            f"{summary['dataset']['transitions']:,} transitions (`{summary['dataset']['id']}`). One-step error of the "
            f"dynamics on unseen transitions: {training['dynamics']['validation_rmse']:.4f} of the spread of a step. "
            "The gradients of the distance to data are compared with the closed form over a million fresh transitions. "
            "At small σ part of the difference is the chance of that sample.",
            images=[Picture(plots / "gradient_errors.png")],
        ),
    ]
    if "mean_of_seeds" in summary:
        rows = [{"planner": name, **interval} for name, interval in summary["mean_of_seeds"].items()]
        percent = {key: Column(key, "%", ".1f") for key in ("mean", "low", "high")}
        text = f"Success rates over {len(summary['seeds'])} training seeds: mean and 95 % interval."
        sections.append(Section("Over training seeds", text, Table(rows, {"planner": "planner", **percent})))
    return sections
