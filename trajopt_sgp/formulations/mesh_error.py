"""How far a plan between its knots is from the dynamics that it is a plan for."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations.scaling import state_scale
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.models.integrators import rk4
from trajopt_sgp.problem import Parameters, Trajectory

_STEPS = 20


def mesh_error(stepper: Stepper, plan: Trajectory, parameters: Parameters) -> FloatArray:
    """Return the error of each interval `(N,)`, relative to the units of the states.

    From the first knot of every interval the dynamics are integrated accurately, by twenty steps of the classical
    Runge-Kutta method under the planned controls; the error is the largest difference to the planned states at the ends
    of these steps.

    Source: J. T. Betts, Practical Methods for Optimal Control Using Nonlinear Programming, section 4.7, in absolute
    rather than relative form.
    """
    spans = np.diff(plan.times)
    states, worst = plan.states[:-1], np.zeros(plan.horizon)
    units = state_scale(stepper.problem)
    for k in range(_STEPS):
        states = _step(stepper, plan, parameters, states, k / _STEPS, spans / _STEPS)
        planned = _planned(plan, (k + 1) / _STEPS)
        worst = np.maximum(worst, (np.abs(states - planned) / units).max(axis=-1))
    return np.nan_to_num(worst, nan=np.inf)


def _step(
    stepper: Stepper, plan: Trajectory, parameters: Parameters, states: FloatArray, fraction: float, step: FloatArray
) -> FloatArray:
    """Return the states after one step of every interval; the time within the interval travels as a state."""
    places = np.arange(plan.horizon)

    def derivative(state: FloatArray, control: None) -> FloatArray:
        inside = np.clip(state[:, -1], 0.0, 1.0)
        rate = stepper.rates(state[:, :-1], _controls(plan, inside), parameters.local(places + inside))
        return np.hstack([rate, 1.0 / (step[:, None] * _STEPS)])

    start = np.hstack([states, np.full((len(states), 1), fraction)])
    after: FloatArray = rk4(derivative, start, None, step[:, None])
    return after[:, :-1]


def _planned(plan: Trajectory, fraction: float) -> FloatArray:
    places = np.arange(plan.horizon)
    if plan.state_curve is not None:
        return plan.state_curve.at(places, np.full(plan.horizon, fraction))
    return (1.0 - fraction) * plan.states[:-1] + fraction * plan.states[1:]


def _controls(plan: Trajectory, fraction: FloatArray) -> FloatArray:
    if plan.control_curve is None:
        return plan.controls
    return plan.control_curve.at(np.arange(plan.horizon), fraction)
