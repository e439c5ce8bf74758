"""Receding horizon on the cart-pole: time of a step, of a change of horizon, goal or weight, and growth of memory."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Measurement
from trajopt_sgp.envs import CartPoleDynamics, cartpole_swing_up_cost
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import Ipopt

STEPS = 1000


def measure() -> Iterator[Measurement]:
    """Run a controller for a thousand steps; then change its problem between steps."""
    torch.set_num_threads(1)
    controller = MPC(problem=problem(60), formulation=DirectTranscription(), solver=Ipopt(tolerance=1e-4))
    plant, state = CartPoleDynamics(), np.zeros(4)
    seconds, memory = [], []
    for k in range(STEPS):
        begin = time.perf_counter()
        control = controller.step(state)
        seconds.append(time.perf_counter() - begin)
        memory.append(resident_megabytes())
        state = plant(torch.as_tensor(state), torch.as_tensor(control)).numpy()
        if k % 100 == 99:
            state = state + np.random.default_rng(k).normal(scale=0.3, size=4)
    yield Measurement("step, horizon 60", float(np.median(seconds[10:])), float(min(seconds)), STEPS)
    growth = memory[-1] - memory[50]
    yield Measurement(f"memory after 50 and {STEPS} steps differs by {growth:.1f} MB", 0.0, 0.0, 1)
    yield change("horizon 60 to 200 and back", controller, lambda k: controller.change(horizon=(200, 60)[k % 2]))
    yield change("goal", controller, lambda k: controller.step(state, parameters={"goal": [0.1 * k]}))
    yield change("weight", controller, lambda k: controller.step(state, parameters={"effort.weight": 1e-3 * (k + 1)}))


def change(name: str, controller: MPC, act: object) -> Measurement:
    """Time a change; that of goals and weights includes the step that uses them."""
    seconds = []
    for k in range(6):
        begin = time.perf_counter()
        act(k)  # type: ignore[operator]
        seconds.append(time.perf_counter() - begin)
    return Measurement(f"change of {name}", float(np.median(seconds)), min(seconds), len(seconds))


def problem(horizon: int) -> OptimalControlProblem:
    """The swing-up with a goal for the cart that may move."""

    def effort(state: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        return (control / 80.0).square().sum(-1)

    def near(state: torch.Tensor, control: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        return (state[..., 0] - goal[..., 0]).square() + 0.1 * cartpole_swing_up_cost(state)

    return OptimalControlProblem(
        dynamics=CartPoleDynamics(),
        horizon=horizon,
        initial_state=np.zeros(4),
        stage_costs=[StageCost(effort, 1e-3, "effort"), StageCost(near, 0.05, "near", parameters=("goal",))],
        terminal_costs=[TerminalCost(cartpole_swing_up_cost, name="upright")],
        control_bounds=(-80.0, 80.0),
        parameters={"goal": [0.0]},
        time_step=0.05,
    )


def resident_megabytes() -> float:
    """Memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
