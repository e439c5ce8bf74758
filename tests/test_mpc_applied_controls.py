"""What a controller takes for the control before the next one, and for the time."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.test_mpc import DoubleIntegrator, FailsAfterFirst, quadratic_problem
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import ControlRateCost, ControlRateLimit, OptimalControlProblem, StageCost, TimeVarying
from trajopt_sgp.solvers import Ipopt

STATE = [1.0, 0.0]


def limited(**changes: Any) -> OptimalControlProblem:
    """Controls that change by at most 0.1 from one step to the next."""
    return quadratic_problem(10).replaced(constraints=[ControlRateLimit(1.0)], **changes)


def controller(problem: OptimalControlProblem, **settings: Any) -> MPC:
    return MPC(problem, DirectTranscription(), Ipopt(), **settings)


def test_the_control_that_a_step_is_told_was_applied_before() -> None:
    """Another loop has moved the actuator meanwhile: the limits hold from where it is."""
    loop = controller(limited(previous_control=[0.0]))
    np.testing.assert_allclose(loop.step(STATE), [-0.1], atol=1e-6)
    np.testing.assert_allclose(loop.step(STATE, {"previous_control": [2.0]}), [1.9], atol=1e-6)
    np.testing.assert_allclose(loop.step(STATE), [1.8], atol=1e-6)
    with pytest.raises(ShapeError, match="previous_control"):
        loop.step(STATE, {"previous_control": [0.0, 0.0]})


def test_a_change_of_the_previous_control_forgets_what_was_applied() -> None:
    loop = controller(limited(previous_control=[0.0]))
    loop.step(STATE)
    loop.change(horizon=12)
    np.testing.assert_allclose(loop.step(STATE), [-0.2], atol=1e-6)
    loop.change(previous_control=[3.0])
    np.testing.assert_allclose(loop.step(STATE), [2.9], atol=1e-6)
    np.testing.assert_allclose(loop.step(STATE), [2.8], atol=1e-6)


@pytest.mark.parametrize(("fallback", "expected"), [("shift", [1.9, 1.8, 1.7]), ("hold", [2.0, 2.0, 2.0])])
def test_a_fallback_keeps_to_the_previous_control_of_the_problem(fallback: str, expected: list[float]) -> None:
    loop = controller(limited(previous_control=[2.0]), fallback=fallback, time_limit=1e-6)
    np.testing.assert_allclose([loop.step(STATE)[0] for _ in range(3)], expected)
    assert not any(record.solved for record in loop.records)
    np.testing.assert_allclose(loop.step(STATE, {"previous_control": [-1.0]}), [-0.9 if fallback == "shift" else -1.0])


def test_bounds_go_before_limits_of_change() -> None:
    loop = controller(limited(previous_control=[9.0]), time_limit=1e-6)
    assert loop.step(STATE) == 5.0


def test_a_fallback_after_a_plan_keeps_to_what_the_step_is_told() -> None:
    loop = MPC(problem=limited(previous_control=[0.0]), formulation=DirectTranscription(), solver=FailsAfterFirst())
    loop.step(STATE)
    np.testing.assert_allclose(loop.step(STATE, {"previous_control": [1.0]}), [0.9])


def after(state: Any, *controls: float) -> Any:
    reached = torch.as_tensor(state, dtype=torch.float64)
    for control in controls:
        reached = DoubleIntegrator()(reached, torch.tensor([control], dtype=torch.float64))
    return reached.numpy()


def predicted(loop: MPC) -> Any:
    return loop.solutions[0].trajectory.states[0]


def test_the_previous_control_is_under_way_too() -> None:
    loop = controller(limited(previous_control=[2.0]), latency=0.2)
    first = loop.step(STATE)[0]
    np.testing.assert_allclose(predicted(loop), after(STATE, 2.0, 2.0), atol=1e-9)
    second = loop.step(STATE)[0]
    np.testing.assert_allclose(predicted(loop), after(STATE, 2.0, first), atol=1e-9)
    third = loop.step(STATE, {"previous_control": [1.5]})[0]
    np.testing.assert_allclose(predicted(loop), after(STATE, first, 1.5), atol=1e-9)
    loop.step(STATE)
    np.testing.assert_allclose(predicted(loop), after(STATE, 1.5, third), atol=1e-9)
    assert second != 1.5
    loop.change(previous_control=[-1.0])
    loop.step(STATE)
    np.testing.assert_allclose(predicted(loop), after(STATE, -1.0, -1.0), atol=1e-9)


def test_a_shorter_time_step_leaves_more_controls_under_way() -> None:
    loop = controller(quadratic_problem(10).replaced(time_step=0.2), latency=0.2)
    first = loop.step(STATE)[0]
    loop.change(time_step=0.1)
    loop.step(STATE)
    np.testing.assert_allclose(predicted(loop), after(STATE, first, first), atol=1e-9)


def test_costs_of_change_take_the_control_of_the_step() -> None:
    priced = quadratic_problem(10).replaced(
        stage_costs=[*quadratic_problem().stage_costs, ControlRateCost(1e4, name="rate")]
    )
    loop = controller(priced)
    loop.step(STATE)
    np.testing.assert_allclose(loop.step(STATE, {"previous_control": [2.0]}), [2.0], atol=0.01)
    np.testing.assert_allclose(loop.step(STATE), [2.0], atol=0.02)
    # its weight may change like any other
    assert loop.step(STATE, {"rate.weight": 0.0}) < 0.0


def test_signals_go_on_where_they_are_when_the_time_step_changes() -> None:
    """The time is the sum of the steps that there were."""
    asked: list[float] = []

    def reference(times: Any) -> Any:
        asked.append(float(times[0]))
        return times[:, None]

    def tracking(state: torch.Tensor, control: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (state[..., 0] - target[..., 0]).square() + 0.1 * control.square().sum(-1)

    problem = quadratic_problem(5).replaced(
        stage_costs=[StageCost(tracking, parameters=["target"])], parameters={"target": TimeVarying(np.zeros((6, 1)))}
    )
    loop = controller(problem, signals={"target": reference})
    for _ in range(2):
        loop.step(STATE)
    loop.change(time_step=0.5)
    for _ in range(2):
        loop.step(STATE)
    # a step asks for the prediction as well as for the plan
    np.testing.assert_allclose(asked[::2], [0.0, 0.1, 0.2, 0.7], atol=1e-12)
    loop.reset()
    loop.step(STATE)
    assert asked[-1] == 0.0
