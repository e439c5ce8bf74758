"""What a model tells a problem: what its states and controls are called, and how long its steps are."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import linear_transitions
from trajopt_sgp.envs import (
    CARTPOLE_SWING_UP_ID,
    CORRIDOR,
    CORRIDOR_ID,
    PENDULUM_KEYPOINTS_ID,
    PLANAR_PUSHER_ID,
    CartPoleDynamics,
    CartPoleParameters,
    PendulumDynamics,
    PendulumKeypointDynamics,
    PendulumParameters,
    PointMassDynamics,
    PusherDynamics,
    PusherKeypointDynamics,
    PusherParameters,
)
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics, Dynamics, OptimalControlProblem
from trajopt_sgp.viz import CARTPOLE_UNITS

PLANTS: list[tuple[Any, str]] = [
    (CartPoleDynamics(), CARTPOLE_SWING_UP_ID),
    (PendulumDynamics(), PENDULUM_KEYPOINTS_ID),
    (PendulumKeypointDynamics(), PENDULUM_KEYPOINTS_ID),
    (PointMassDynamics(CORRIDOR), CORRIDOR_ID),
    (PusherDynamics(), PLANAR_PUSHER_ID),
    (PusherKeypointDynamics(), PLANAR_PUSHER_ID),
]
QUICK: list[Any] = [
    CartPoleDynamics(CartPoleParameters(time_step=0.01)),
    PendulumDynamics(PendulumParameters(time_step=0.01)),
    PendulumKeypointDynamics(PendulumParameters(time_step=0.01)),
    PusherDynamics(PusherParameters(time_step=0.01)),
    PusherKeypointDynamics(PusherParameters(time_step=0.01)),
]


class Cart:
    """A model of a user: position and speed, in steps of 0.1 s."""

    state_size = 2
    control_size = 1
    state_names: tuple[str, ...] = ("position", "speed")
    control_names = ("force",)
    time_step = 0.1

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        rate = torch.stack([state[..., 1], control[..., 0]], dim=-1)
        return state + self.time_step * rate


def problem_of(dynamics: Dynamics, **changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {"horizon": 10, "initial_state": np.zeros(dynamics.state_size)}
    if isinstance(dynamics, PusherKeypointDynamics):
        # no box has all its keypoints in one place
        settings["initial_state"] = np.arange(12.0)
    return OptimalControlProblem(dynamics=dynamics, **{**settings, **changes})


@pytest.mark.parametrize(("model", "environment"), PLANTS, ids=lambda part: type(part).__name__)
def test_a_plant_names_its_coordinates_and_steps_as_its_environment(model: Any, environment: str) -> None:
    problem, plant = problem_of(model), gymnasium.make(environment).unwrapped
    assert problem.state_labels == tuple(model.state_names)
    assert problem.control_labels == tuple(model.control_names)
    assert problem.grid.time_step == pytest.approx(plant.time_step)  # type: ignore[attr-defined]
    own = problem.replaced(state_names=[f"s{i}" for i in range(model.state_size)])
    assert own.state_labels[0] == "s0" and own.control_labels == problem.control_labels


@pytest.mark.parametrize("model", QUICK, ids=lambda model: type(model).__name__)
def test_another_plant_has_its_own_steps(model: Any) -> None:
    assert problem_of(model).grid.time_step == pytest.approx(0.01)
    with pytest.raises(OptionError, match=r"the model advances the state by 0\.01 s"):
        problem_of(model, time_step=0.05)


def test_units_of_the_cart_pole_are_those_of_its_labels() -> None:
    problem = problem_of(CartPoleDynamics())
    assert set(CARTPOLE_UNITS) == {*problem.state_labels, *problem.control_labels}


@pytest.mark.parametrize("model", [Cart(), DiscreteDynamics(Cart(), 2, 1)], ids=lambda model: type(model).__name__)
def test_a_model_of_a_user_names_its_coordinates_too(model: Dynamics) -> None:
    problem = problem_of(model, initial_state={"speed": 1.0})
    assert (problem.state_labels, problem.control_labels) == (("position", "speed"), ("force",))
    assert problem.to(torch.float32).state_labels == problem.state_labels
    assert problem.grid.time_step == pytest.approx(0.1)


def test_names_of_a_model_must_fit() -> None:
    model = Cart()
    model.state_names = ("position",)
    with pytest.raises(ShapeError, match="state_names lists 1 names; this problem needs 2"):
        problem_of(model)


def test_a_model_in_continuous_time_has_names_but_no_step() -> None:
    model = ContinuousDynamics(Cart(), 2, 1)
    problem = problem_of(model)
    assert problem.state_labels == ("position", "speed") and problem.grid.time_step == 1.0
    assert problem_of(model, time_step=0.3).grid.time_step == pytest.approx(0.3)
    assert problem_of(model, duration=5.0).grid.time_step == pytest.approx(0.5)


def test_names_of_the_data_are_taken_where_the_model_has_none() -> None:
    data = linear_transitions(20, 0)
    named = replace(data.dataset, state_names=("a", "b", "c"), control_names=("left", "left"))
    model = LearnedDynamics(named, fit_normalizer(data), (4,))
    for dynamics in (model, DiscreteDynamics(model, 3, 2)):
        problem = problem_of(dynamics)
        assert problem.state_labels == ("a", "b", "c")
        # names that do not tell coordinates apart are none
        assert problem.control_labels == ("u[0]", "u[1]")


def test_intervals_are_as_long_as_the_steps_of_the_data() -> None:
    data = linear_transitions(20, 0)
    info = replace(data.dataset, time_step=0.02)
    model = LearnedDynamics(info, fit_normalizer(data), (4,))

    def problem(dynamics: Dynamics, **changes: Any) -> OptimalControlProblem:
        return OptimalControlProblem(dynamics=dynamics, horizon=10, initial_state=np.zeros(3), **changes)

    assert problem(model).grid.duration == pytest.approx(0.2)
    assert problem(DiscreteDynamics(model, 3, 2)).grid.duration == pytest.approx(0.2)
    assert problem(model, time_step=0.0201).grid.duration == pytest.approx(0.201)
    assert problem(model).to(torch.float64).grid.duration == pytest.approx(0.2)
    for other in ({"time_step": 0.05}, {"duration": 1.0}):
        with pytest.raises(OptionError, match="the model advances the state by 0.02 s. Leave out"):
            problem(model, **other)
    unknown = LearnedDynamics(data.dataset, fit_normalizer(data), (4,))
    assert problem(unknown).grid.duration == 10.0
    assert problem(unknown, time_step=0.05).grid.duration == pytest.approx(0.5)
