"""Figures: what is drawn is what was given, nothing falls outside the axes, and no global state is left behind."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image
from torch import Tensor

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import FileError, OptionError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, PolicySearch, SingleShooting
from trajopt_sgp.models import TimeVaryingAffine
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance
from trajopt_sgp.viz import (
    PlanView,
    plot_comparison,
    plot_cost_by_iteration,
    plot_data_distance,
    plot_gradient_errors,
    plot_mpc,
    plot_plan_against_truth,
    plot_predicted_against_true,
    plot_solution,
    plot_training_curves,
    save_figure,
)
from trajopt_sgp.viz.style import PALETTE, pick_colours

UNITS = {"height": "m", "climb_rate": "m/s", "thrust": "N"}


class Rocket:
    """Three states and two controls, so that nothing can hold for the cart-pole only."""

    state_size, control_size = 3, 2

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        height, rate, fuel = state.unbind(-1)
        thrust, brake = control.unbind(-1)
        return torch.stack([height + 0.1 * rate, rate + 0.1 * (thrust - brake), fuel - 0.1 * thrust**2], dim=-1)


def make_problem() -> OptimalControlProblem:
    return OptimalControlProblem(
        dynamics=Rocket(),
        horizon=12,
        initial_state=[0.0, 0.0, 5.0],
        terminal_costs=[lambda x: (x[..., 0] - 1.0) ** 2 + x[..., 1] ** 2],
        control_bounds=(-2.0, 3.0),
        time_step=0.1,
        state_names=("height", "climb_rate", "fuel"),
        control_names=("thrust", "brake"),
    )


@pytest.fixture(scope="module")
def descent() -> Solution:
    return solve(make_problem(), SingleShooting(), GradientDescent(iterations=20, starts=4))


@pytest.fixture(scope="module")
def interior_point() -> Solution:
    return solve(make_problem(), DirectTranscription(), Ipopt())


@pytest.fixture
def plans(descent: Solution, interior_point: Solution) -> list[PlanView]:
    drifted = Trajectory(descent.trajectory.states * 3.0 - 0.7, descent.trajectory.controls.clip(-0.5, 0.5), 0.1)
    return [
        PlanView("naive", descent, drifted, note="true cost 9", success=False),
        PlanView("guided", interior_point, interior_point.trajectory, success=True),
    ]


def holds(axes: Axes, x: np.ndarray, y: np.ndarray) -> bool:
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return bool((x >= left).all() and (x <= right).all() and (y >= low).all() and (y <= high).all())


def texts(figure: Figure) -> str:
    return "\n".join(artist.get_text() for artist in figure.findobj(matplotlib.text.Text))


def draws(axes: Axes, values: np.ndarray) -> bool:
    """Whether a line or a staircase of the panel has these vertical values."""
    lines = [np.asarray(line.get_ydata()) for line in axes.lines]
    stairs = [patch.get_data()[0] for patch in axes.patches if isinstance(patch, matplotlib.patches.StepPatch)]
    return any(array.shape == values.shape and np.allclose(array, values) for array in lines + stairs)


def test_plan_panels_hold_prediction_truth_box_and_goal(plans: list[PlanView]) -> None:
    box = (np.array([-4.0, -5.0, -1.0]), np.array([4.0, 5.0, 8.0]))
    goal = np.array([9.0, 0.0, np.nan])
    figure = plot_plan_against_truth(plans, box, axes=[(0, 1), 2], controls=[0, 1], goal=goal, units=UNITS)
    grid = np.array(figure.axes).reshape(2, 4)
    for plan, (phase, fuel, *controls) in zip(plans, grid, strict=True):
        for trajectory in (plan.solution.trajectory, plan.truth):
            states = trajectory.states
            assert holds(phase, states[:, 0], states[:, 1])
            assert draws(phase, states[:, 1])
            assert holds(fuel, trajectory.times, states[:, 2])
            assert draws(fuel, states[:, 2])
            for i, panel in enumerate(controls):
                assert draws(panel, trajectory.controls[:, i])
                assert holds(panel, trajectory.times[:-1], trajectory.controls[:, i])
                assert holds(panel, trajectory.times[:1], np.array([-2.0, 3.0]))
        assert holds(phase, np.array([-4.0, 4.0, 9.0]), np.array([-5.0, 5.0, 0.0]))
        assert holds(fuel, np.array([0.0, 0.0]), np.array([-1.0, 8.0]))
    assert [axes.get_xlabel() for axes in grid[1]] == ["height [m]", "time [s]", "time [s]", "time [s]"]
    assert [axes.get_ylabel() for axes in grid[1]] == ["climb rate [m/s]", "fuel", "thrust [N]", "brake"]
    assert [row[0].get_title(loc="left") for row in grid] == ["naive", "guided"]
    assert "true cost 9" in texts(figure)


def test_plan_marks_predicted_and_true_end(plans: list[PlanView]) -> None:
    phase = plot_plan_against_truth(plans[:1], axes=[(0, 1)]).axes[0]
    lines = [np.asarray(line.get_xydata()) for line in phase.lines]
    points = [line[0] for line in lines if len(line) == 1]
    for end in (plans[0].solution.trajectory.states[-1], plans[0].truth.states[-1]):
        assert any(np.allclose(point, end[:2]) for point in points)


def test_box_over_states_and_controls_shades_both(plans: list[PlanView]) -> None:
    figure = plot_plan_against_truth(plans[:1], ([-1.0] * 5, [1.0, 1.0, 1.0, 0.25, 0.75]), controls=[0])
    (band,) = [p for p in figure.axes[-1].patches if isinstance(p, matplotlib.patches.Rectangle)]
    assert (band.get_y(), band.get_height()) == (-1.0, 1.25)


def test_plan_refuses_what_does_not_fit(plans: list[PlanView]) -> None:
    with pytest.raises(OptionError, match="at least one plan"):
        plot_plan_against_truth([])
    with pytest.raises(OptionError, match="no state 3: choose from 0 to 2"):
        plot_plan_against_truth(plans, axes=[(0, 3)])
    with pytest.raises(ShapeError, match=r"give \(3,\) or \(5,\)"):
        plot_plan_against_truth(plans, ([0.0] * 4, [1.0] * 4))
    short = Trajectory(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ShapeError, match="'odd'"):
        plot_plan_against_truth([PlanView("odd", plans[0].solution, short)])


def test_data_distance_shows_curves_and_limit() -> None:
    curves = {"naive": np.array([0.0, 2.5, 1.0]), "guided": np.array([0.0, 0.01, 0.02])}
    (axes,) = plot_data_distance(curves, 0.05, limit=3.0).axes
    for values in curves.values():
        assert draws(axes, values)
    assert holds(axes, np.array([0.0, 0.1]), np.array([0.0, 3.0]))
    assert "naive (largest 2.5)" in axes.get_legend_handles_labels()[1]
    with pytest.raises(OptionError):
        plot_data_distance({}, 0.05)


def test_a_policy_has_a_line_for_each_initial_state() -> None:
    data = linear_transitions(40, seed=0)
    distance = DataDistance(ExactSmoothedDistance(data), sigma=0.2)
    problem = make_problem().replaced(stage_costs=[distance])
    starts = np.array([[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [2.0, 1.0, 4.0]])
    solution = solve(problem, PolicySearch(TimeVaryingAffine(), starts), GradientDescent(iterations=2))
    figure = plot_solution(solution)
    height, thrust = figure.axes[0], figure.axes[3]
    for member in range(3):
        assert draws(height, solution.trajectory.states[member, :, 0])
        assert draws(thrust, solution.trajectory.controls[member, :, 0])
    assert [len(axes.lines) for axes in (height, thrust)] == [6, 8]
    lines = [np.asarray(line.get_xdata()) for line in height.lines]
    assert all((np.diff(times) >= 0.0).all() for times in lines)
    assert solution.data_distance is not None
    assert all(draws(figure.axes[-1], own) for own in solution.data_distance)
    assert len(plot_comparison({"policy": solution}).axes[0].lines) == 3


def test_every_curve_of_a_comparison_has_a_style_of_its_own(descent: Solution, interior_point: Solution) -> None:
    figure = plot_comparison({**{f"way {k}": descent for k in range(13)}, "good": interior_point})
    keys = [child for child in figure.axes[5].get_children() if isinstance(child, Annotation)]
    arrows = [key.arrow_patch for key in keys if key.arrow_patch is not None]
    assert len({(str(arrow.get_edgecolor()), str(arrow.get_linestyle())) for arrow in arrows}) == 14
    assert [axes.get_title(loc="left") for axes in figure.axes[5:]] == ["cost, relative to the best", "wall time [s]"]
    assert "no success" in texts(figure)
    alone = plot_comparison({"good": interior_point})
    assert "no success" not in texts(alone)
    assert "solved in 1 way" in texts(alone)
    low, high = alone.axes[5].get_xlim()
    assert low < high


def test_cost_by_iteration_draws_median_of_starts_and_residuals(descent: Solution, interior_point: Solution) -> None:
    figure = plot_cost_by_iteration({"descent": descent, "direct": interior_point})
    left, right = figure.axes
    best = np.array([[entry["best"] for entry in start.log] for start in descent.starts])
    assert best.shape == (4, 20)
    assert draws(left, np.median(best, axis=0))
    for name in ("merit", "violation", "stationarity"):
        assert draws(right, np.array([entry[name] for entry in interior_point.log]))
    assert "descent (4 starts)" in texts(figure)
    assert (left.get_yscale(), left.get_ylabel()) == ("log", "best merit so far")


@pytest.mark.parametrize(
    ("best", "scale"),
    [([0.0, 0.0], "linear"), ([2.0, -1.0], "symlog"), ([np.inf, 0.5], "log"), ([3.0], "log")],
)
def test_cost_by_iteration_takes_any_merit(descent: Solution, best: list[float], scale: str) -> None:
    log = [{"progress": i / len(best), "merit": value, "best": value} for i, value in enumerate(best, 1)]
    figure = plot_cost_by_iteration({"odd": [replace(descent, log=log, starts=())] * 2})
    figure.draw_without_rendering()
    assert figure.axes[0].get_yscale() == scale
    assert holds(figure.axes[0], np.array([len(best)]), np.array(best[-1:]))


def test_cost_by_iteration_names_a_solution_without_log(descent: Solution) -> None:
    bare = replace(descent, log=(), starts=())
    with pytest.raises(OptionError, match="'bare'"):
        plot_cost_by_iteration({"bare": bare})


def test_predicted_against_true_counts_and_shows_every_start() -> None:
    predicted, true = np.array([1e-9, 0.0, 0.05, 2.0]), np.array([3.0, np.inf, 0.06, np.nan])
    figure = plot_predicted_against_true({"naive": (predicted, true), "guided": ([0.02], [0.03])}, threshold=0.1)
    (axes,) = figure.axes
    labels = axes.get_legend_handles_labels()[1]
    assert "naive: 1 of 4 succeed" in labels
    assert "guided: 1 of 1 succeed" in labels
    points = np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])
    assert len(points) == 5
    assert holds(axes, *points.T)
    assert any(np.allclose(point, (1e-9, 3.0)) for point in points)
    with pytest.raises(ShapeError, match="'naive'"):
        plot_predicted_against_true({"naive": (predicted, true[:2])}, threshold=0.1)


def test_predicted_against_true_survives_costs_without_a_logarithm() -> None:
    (axes,) = plot_predicted_against_true({"lost": ([0.0], [np.nan])}, threshold=0.1).axes
    assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


def test_gradient_errors_are_sorted_by_sigma() -> None:
    (axes,) = plot_gradient_errors({"score": {0.4: 0.06, 0.05: 0.42, 0.1: 0.3}}, aims={0.4: 0.1, 0.2: 0.15}).axes
    assert draws(axes, np.array([0.42, 0.3, 0.06]))
    assert draws(axes, np.array([0.15, 0.15]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.05", "0.1", "0.2", "0.4"]


@pytest.mark.parametrize("losses", [(3.0, 0.5, 0.7), (0.5, -2.0, -1.5)])
def test_training_curves_mark_the_best(losses: tuple[float, ...], tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    records = [{"step": 10 * i, "validation_loss": loss} for i, loss in enumerate(losses, 1)]
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    figure = plot_training_curves({"score": path, "energy": path})
    assert len(figure.axes) == 2
    assert draws(figure.axes[0], np.array(losses))
    assert any(np.array_equal(line.get_xydata(), [[20.0, losses[1]]]) for line in figure.axes[0].lines)
    assert f"best {losses[1]:g}" in texts(figure)
    assert figure.axes[0].get_yscale() == ("log" if min(losses) > 0.0 else "linear")


@pytest.mark.parametrize("content", [None, "{broken", '{"step": 1}\n', "[1, 2]\n"])
def test_training_curves_name_a_bad_file(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FileError, match=r"metrics\.jsonl"):
        plot_training_curves({"score": path})


def test_mpc_shows_all_successes_and_lets_failures_run_away(rng: np.random.Generator) -> None:
    times = np.linspace(0.0, 2.0, 21)
    states = rng.normal(size=(3, 21, 2)).cumsum(axis=1)
    states[2] *= 1e3
    controls = rng.uniform(-5.0, 5.0, (3, 20, 1))
    figure = plot_mpc(
        times,
        states,
        controls,
        ("position", "speed"),
        ("force",),
        goal=[40.0, np.nan],
        tolerances={0: 0.5},
        judged_from=1.5,
        success=[True, True, False],
        control_limits=(-8.0, 8.0),
        units={"force": "N"},
    )
    position, speed, force = figure.axes
    for i, axes in enumerate((position, speed)):
        assert holds(axes, times, states[0, :, i])
        assert holds(axes, times, states[1, :, i])
        assert not holds(axes, times, states[2, :, i])
    assert holds(position, np.array([0.0, 2.0]), np.array([39.5, 40.5]))
    assert holds(force, np.array([0.0, 0.0]), np.array([-8.0, 8.0]))
    assert force.get_ylabel() == "force [N]"
    assert "2 of 3 episodes succeed" in texts(figure)


def test_mpc_takes_names_and_bounds_from_the_problem(rng: np.random.Generator) -> None:
    problem = make_problem().replaced(state_bounds=([-np.inf, -0.5, -100.0], [np.inf, 0.5, 100.0]))
    states, controls = 0.4 * rng.uniform(size=(1, 6, 3)), np.zeros((1, 5, 2))
    figure = plot_mpc(np.arange(6.0), states, controls, problem=problem)
    height, rate, fuel, thrust, _ = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["height", "climb rate", "fuel", "thrust", "brake"]
    assert holds(thrust, np.array([0.0, 0.0]), np.array([-2.0, 3.0]))
    assert [len(axes.lines) for axes in (height, rate, fuel, thrust)] == [1, 2, 1, 3]
    assert "limit" in texts(figure)
    free = problem.replaced(control_bounds=None, state_bounds=None)
    assert "limit" not in texts(plot_mpc(np.arange(6.0), states, controls, problem=free))
    with pytest.raises(ShapeError, match=r"The problem has \(3, 2\) states and controls, the episodes \(3, 1\)"):
        plot_mpc(np.arange(6.0), states, controls[..., :1], problem=problem)


def test_mpc_without_a_success_shows_everything(rng: np.random.Generator) -> None:
    states = 1e3 * rng.normal(size=(2, 6, 1))
    figure = plot_mpc(np.arange(6.0), states, np.zeros((2, 5, 1)), goal=[0.0], success=[False, False])
    assert holds(figure.axes[0], np.arange(6.0), states[0, :, 0])
    assert holds(figure.axes[0], np.arange(6.0), states[1, :, 0])


def test_mpc_refuses_arrays_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"must be \(2, 6, n\)"):
        plot_mpc(np.arange(6.0), np.zeros((2, 5, 1)), np.zeros((2, 5, 1)))
    with pytest.raises(ShapeError, match=r"must be \(2, 5, m\)"):
        plot_mpc(np.arange(6.0), np.zeros((2, 6, 1)), np.zeros((2, 6, 1)))
    with pytest.raises(ShapeError, match=r"The goal has shape \(2,\); it must be \(1,\)"):
        plot_mpc(np.arange(6.0), np.zeros((2, 6, 1)), np.zeros((2, 5, 1)), goal=[0.0, 1.0])


def test_saved_figure_has_its_resolution_and_replaces_the_old(tmp_path: Path, plans: list[PlanView]) -> None:
    figure = plot_plan_against_truth(plans)
    path = tmp_path / "plots" / "plan.png"
    for dpi in (50, 150):
        assert save_figure(figure, path, dpi) == path
        assert save_figure(figure, str(path), dpi) == path
        with Image.open(path) as image:
            assert image.size == tuple(int(dpi * side) for side in figure.get_size_inches())
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 100
    assert [file.name for file in path.parent.iterdir()] == ["plan.png"]
    with pytest.raises(OptionError, match=r"'\.xyz' is no format"):
        save_figure(figure, tmp_path / "other" / "plan.xyz")
    assert not (tmp_path / "other").exists()


def test_plots_leave_the_settings_of_matplotlib_alone(plans: list[PlanView]) -> None:
    with matplotlib.rc_context({"font.size": 33.0, "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        plot_plan_against_truth(plans)
        assert dict(matplotlib.rcParams) == before


def test_import_loads_neither_pyplot_nor_pygame() -> None:
    code = "import sys, trajopt_sgp.viz; print([m for m in ('matplotlib.pyplot', 'pygame') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_colours_are_distinct_and_the_same_in_every_figure() -> None:
    labels = ["direct", "guided", "tube", "naive"]
    colours = pick_colours(labels)
    assert len(set(colours.values())) == 4
    assert colours["guided"] == pick_colours(["naive", "guided"])["guided"]
    assert pick_colours(labels, {"naive": PALETTE[3]})["naive"] == PALETTE[3]
