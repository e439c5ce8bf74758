"""Grids of panels with names and a legend, and rates beside each other."""

import numpy as np

from trajopt_sgp.studies.statistics import Estimate, success_rate
from trajopt_sgp.viz.hardware_plots import plot_run_times
from trajopt_sgp.viz.rate_plots import beside, draw_rates, interval_lengths, share_axis
from trajopt_sgp.viz.style import key_line, key_marker, legend_below, name_axes, new_figure, panel_grid


def test_the_lowest_panel_of_each_column_is_named() -> None:
    figure = new_figure(6.0, 4.0)
    panels = panel_grid(figure, 5, 3)
    name_axes(panels, "x [m]", "y [m]")
    assert figure.axes == panels
    assert [axes.get_xlabel() for axes in panels] == ["", "", "x [m]", "x [m]", "x [m]"]
    assert [axes.get_ylabel() for axes in panels] == ["y [m]", "", "", "y [m]", ""]
    legend_below(figure, [key_line("path", "red"), key_marker("goal", "*", "white", "black")])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["path", "goal"]


def test_rates_stand_beside_each_other_with_their_intervals() -> None:
    np.testing.assert_allclose(np.stack([beside([10, 100], k, 3, 2.0) for k in range(3)])[:, 0], [5.0, 10.0, 20.0])
    rates = [Estimate(1.0, 0.7, 1.0 - 1e-12), success_rate(1, 2)]
    np.testing.assert_allclose(interval_lengths(rates)[:, 0], [0.3, 0.0])
    axes = new_figure(3.0, 3.0).subplots()
    draw_rates(axes, [1, 2], rates, "red", label="planner")
    share_axis(axes)
    assert axes.get_ylabel() == "plans that succeed"
    assert axes.get_ylim()[1] > 1.0


def test_latencies_fill_their_axis() -> None:
    latencies = np.random.default_rng(0).uniform(4e-4, 2e-3, 500)
    left, right = plot_run_times(latencies, np.full(9, 0.4), 0.5).axes
    low, high = left.get_xlim()
    assert 0.3 < low < 0.4 and 2.0 < high < 3.0
    assert left.get_title("left") and right.get_title("left")
    assert len(plot_run_times(np.zeros(0), np.zeros(0), 0.5).axes) == 2
