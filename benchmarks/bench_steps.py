"""Steps of a warm-started controller of the cart-pole, T = 60, on learned dynamics with a distance to data."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch

from benchmarks.rows import Case, Row
from benchmarks.trained import trained_models
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.solvers import DDP, SQP, Fatrop, GradientDescent, Ipopt
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.swing_up import Guidance, swing_up_problem

STEPS, STARTS, ITERATIONS = 120, 64, 10

SOLVERS: Mapping[str, Solver] = {
    "Ipopt": Ipopt(stages=1, tolerance=1e-4, max_iterations=60, options={"mu_init": 1e-3}),
    "Fatrop": Fatrop(stages=1, tolerance=1e-4, max_iterations=60, options={"mu_init": 1e-3}),
    "SQP": SQP(stages=1, tolerance=1e-4, max_iterations=2, qp_solver="hpipm"),
    "DDP": DDP(stages=1, tolerance=1e-4, max_iterations=2),
}
"""For steps that start from an earlier plan."""


def cases() -> list[Case]:
    """One case for each solver."""
    found = [
        Case(f"steps/{name}", f"{_formulation(name).name} with {name}.", partial(_steps, name)) for name in SOLVERS
    ]
    summary = f"Single shooting by gradient descent, {STARTS} starts, halved in each of {ITERATIONS} iterations."
    return [*found, Case("steps/descent", summary, _descent)]


def _formulation(name: str) -> Formulation:
    return SingleShooting() if SOLVERS[name].needs_rollout else DirectTranscription()


def _steps(name: str, quick: bool) -> Iterator[Row]:
    first: Solver = Ipopt(stages=1, tolerance=1e-4)
    if SOLVERS[name].needs_rollout:
        first = DDP(stages=1, tolerance=1e-4, starts=1 if quick else 4)
    controller = _controller(_formulation(name), SOLVERS[name], first, quick)
    seconds, upright = _run(controller, 5 if quick else STEPS)
    yield _row(f"step, T={controller.problem.horizon}, {name}", seconds, upright)


def _descent(quick: bool) -> Iterator[Row]:
    first = GradientDescent(iterations=10 if quick else 200, starts=STARTS, halve_every=20, step_size=0.3)
    solver = GradientDescent(iterations=ITERATIONS, starts=STARTS, halve_every=1, step_size=0.03)
    controller = _controller(SingleShooting(), solver, first, quick)
    seconds, upright = _run(controller, 3 if quick else STEPS)
    search = f"gradient descent, {STARTS} starts, halved in each of {ITERATIONS} iterations"
    case = f"step, T={controller.problem.horizon}, {search}"
    yield _row(case, seconds, f"{1.0 / np.median(seconds):.1f} Hz; {upright}")


def _controller(formulation: Formulation, solver: Solver, first: Solver, quick: bool) -> MPC:
    models = trained_models(quick)
    guidance = Guidance(beta=0.1, sigma_start=0.1, sigma_stop=0.1)
    problem = swing_up_problem(
        models.dynamics,
        guidance.term(models.energy),
        horizon=8 if quick else 60,
        effort_weight=1e-3,
        tracking_weight=0.05,
    )
    return MPC(problem, formulation, solver, first_solver=first)


def _run(controller: MPC, steps: int) -> tuple[list[float], str]:
    """Return the wall time of every step but the first [s], and how the pole stands at the end."""
    plant, state = CartPoleDynamics(), np.zeros(4)
    with limited_threads(1):
        for _ in range(steps):
            control = controller.step(state)
            state = plant(torch.as_tensor(state), torch.as_tensor(control)).numpy()
    angle = abs(state[1] - np.pi)
    seconds = [record.seconds for record in controller.records[1:]]
    return seconds, f"ends {angle:.2f} rad from upright"


def _row(case: str, seconds: list[float], remark: str) -> Row:
    middle, last = np.percentile(seconds, [50, 99])
    return Row(
        case=case, ours_ms=1e3 * float(middle), note=f"p99 {1e3 * last:.0f} ms over {len(seconds)} steps; {remark}"
    )
