"""Figures and the report section of a certificate show what was promised and what happened."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import CertificateCheck, PlanCertificate, Trajectory
from trajopt_sgp.viz import certificate_section, plot_certificate, plot_error_ratios, write_report

HORIZON = 10


def make_check(confidence: float | None = 0.9, excess: float = 1.0) -> CertificateCheck:
    """A plan on a line whose tube widens, executed half a radius beside it; one error `excess` times its bound."""
    states = np.stack([np.linspace(0.0, 1.0, HORIZON + 1), np.linspace(1.0, 0.0, HORIZON + 1)], axis=1)
    tube = np.linspace(0.0, 0.4, HORIZON + 1)[:, None] * np.array([1.0, 0.5])
    controls = np.zeros((HORIZON, 1))
    bound = np.linspace(0.1, 0.3, HORIZON)
    error = 0.5 * bound
    error[4] = excess * bound[4]
    plan, executed = Trajectory(states, controls, 0.1), Trajectory(states + 0.5 * tube, controls, 0.1)
    return PlanCertificate(plan, bound, tube, confidence, np.ones(2), lambda run: error).compare(executed)


def test_the_figure_draws_what_was_given() -> None:
    check = make_check()
    figure = plot_certificate(check, ["height", "rate"], units={"height": "m"})
    errors, height, rate = figure.axes
    bound, realised = (line.get_ydata() for line in errors.get_lines()[:2])
    np.testing.assert_array_equal(bound, check.certificate.bound)
    np.testing.assert_array_equal(realised, check.error)
    assert (height.get_ylabel(), rate.get_ylabel()) == ("height [m]", "rate")
    named = replace(check, certificate=replace(check.certificate, state_names=("z", "v")))
    assert [axes.get_ylabel() for axes in plot_certificate(named).axes[1:]] == ["z", "v"]
    assert [axes.get_ylabel() for axes in plot_certificate(check).axes[1:]] == ["x[0]", "x[1]"]
    (tube,) = height.collections
    edge = np.asarray(tube.get_paths()[0].vertices)
    assert edge[:, 1].max() == pytest.approx((check.certificate.plan.states + check.certificate.tube)[:, 0].max())
    np.testing.assert_array_equal(height.get_lines()[1].get_ydata(), check.executed.states[:, 0])


def test_what_is_printed_fits_on_a_line() -> None:
    check = make_check(excess=1.5)
    promised = check.certificate
    assert repr(promised) == (
        "PlanCertificate(one-step errors up to 0.3, radius of the tube at the end 0.4, 0.2, confidence 0.9)"
    )
    first, second = check.promises
    assert repr(check) == f"CertificateCheck({first}; {second})"
    assert "promised, broken (1.5 at most)" in str(first) and "kept (0.5 at most)" in str(second)
    plans = (Trajectory(plan.states[None], plan.controls[None]) for plan in (promised.plan, check.executed))
    batch = replace(promised, plan=next(plans), bound=promised.bound[None], tube=promised.tube[None])
    many = CertificateCheck(batch, next(plans), check.error[None], check.gap[None])
    assert str(many) == "of 1 plans 0 kept their bounds and 1 their tubes"
    assert "0.4, 0.2" in str(batch)


def test_ratios_tell_a_broken_bound() -> None:
    assert float(make_check().error_ratio) == pytest.approx(1.0)
    assert float(make_check().tube_ratio) == pytest.approx(0.5)
    broken = make_check(excess=1.5)
    assert float(broken.error_ratio) == pytest.approx(1.5)
    marks = plot_certificate(broken).axes[0].get_lines()[2]
    np.testing.assert_array_equal(marks.get_ydata(), broken.error[[4]])


def test_what_cannot_be_drawn_is_refused() -> None:
    check = make_check()
    with pytest.raises(OptionError, match="2 states"):
        plot_certificate(check, ["height"])
    with pytest.raises(OptionError, match=r"show = \[2\]"):
        plot_certificate(check, show=[2])
    plan = check.certificate.plan
    batch = Trajectory(plan.states[None], plan.controls[None])
    many = PlanCertificate(batch, check.error[None], check.gap[None], None, np.ones(2), lambda run: check.error[None])
    with pytest.raises(ShapeError, match="not a batch"):
        plot_certificate(many.compare(batch))
    with pytest.raises(OptionError, match="at least one"):
        plot_error_ratios({}, 0.9)


def test_ratios_of_plans_are_drawn_in_order() -> None:
    ratios = {"cart-pole": np.array([0.5, 1.2, 0.7]), "pendulum": np.array([0.9, 0.2])}
    lines = plot_error_ratios(ratios, 0.9).axes[0].get_lines()
    np.testing.assert_array_equal(lines[0].get_xdata(), [0.5, 0.7, 1.2])
    np.testing.assert_array_equal(lines[1].get_ydata(), [0.5, 1.0])


@pytest.mark.parametrize(("confidence", "text"), [(0.9, "At least 90 %"), (None, "no confidence can be stated")])
def test_a_report_has_a_section_about_it(tmp_path: Path, confidence: float | None, text: str) -> None:
    section = certificate_section(make_check(confidence, excess=1.5), tmp_path / "plots" / "certificate.png")
    content = write_report(tmp_path / "report.html", "A plan", [section]).read_text()
    assert text in content and "data:image/png" in content
    assert "1.50" in content and ">no<" in content and ">yes<" in content
