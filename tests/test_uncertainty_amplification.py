"""Which models and plans `error_amplification` takes."""

from typing import Any

import numpy as np
import pytest

from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics, Trajectory
from trajopt_sgp.uncertainty import error_amplification

PLAN = Trajectory(np.linspace(0.0, 1.0, 10).reshape(5, 2), np.zeros((4, 1)), 0.1)


def test_steps_that_keep_errors_add_them_up() -> None:
    """With x' = x + u the error of the last state is the sum of four of them: at worst twice their root sum square."""
    keeping = DiscreteDynamics(lambda x, u: x + u, 2, 1)
    assert error_amplification(keeping, PLAN, 1.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "model",
    [
        ContinuousDynamics(lambda x, u: -x, 2, 1),
        DiscreteDynamics(lambda x, u, mass: x * mass, 2, 1, parameters=("mass",)),
    ],
    ids=["continuous", "with parameters"],
)
def test_models_of_another_kind_are_refused(model: Any) -> None:
    with pytest.raises(OptionError, match="error_amplification needs a discrete-time model.*without parameters"):
        error_amplification(model, PLAN, 1.0)


def test_models_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match="The model has 4 states and 1 controls, the plan 2 and 1"):
        error_amplification(CartPoleDynamics(), PLAN, 1.0)
    # a model that takes any size would not say so
    with pytest.raises(ShapeError, match="The model has 3 states and 1 controls, the plan 2 and 1"):
        error_amplification(DiscreteDynamics(lambda x, u: x, 3, 1), PLAN, 1.0)


def test_plans_that_diverged_are_refused() -> None:
    states = PLAN.states.copy()
    states[2, 1] = np.nan
    with pytest.raises(NotFiniteError, match="plan"):
        error_amplification(DiscreteDynamics(lambda x, u: x + u, 2, 1), Trajectory(states, PLAN.controls, 0.1), 1.0)
