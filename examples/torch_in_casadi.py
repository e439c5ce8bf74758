"""A torch module inside a program of your own in CasADi, with exact derivatives of both orders.

The dynamics are a torch function; the problem is written with CasADi's Opti, which calls the function four times in
every Runge-Kutta step. Only the bridge of this library is used.
"""

from pathlib import Path

import casadi
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from trajopt_sgp.derivatives.to_casadi import to_casadi
from trajopt_sgp.viz import save_figure

INTERVALS, TIME_STEP = 15, 0.1


def pendulum(state: Tensor, torque: Tensor) -> Tensor:
    """Return the rates `(B, 2)` of angle (0 hanging) and angular velocity."""
    return torch.stack([state[..., 1], torque[..., 0] - 9.81 * torch.sin(state[..., 0])], dim=-1)


def rk4(rate: casadi.Function, x: casadi.MX, u: casadi.MX) -> casadi.MX:
    """Return the state one time step later."""
    k1 = rate(x, u)
    k2 = rate(x + 0.5 * TIME_STEP * k1, u)
    k3 = rate(x + 0.5 * TIME_STEP * k2, u)
    k4 = rate(x + TIME_STEP * k3, u)
    return x + TIME_STEP / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def swing(rate: casadi.Function) -> tuple[casadi.Opti, casadi.MX, casadi.MX]:
    """Return the problem of swinging up with the least effort, its states and its torques."""
    opti = casadi.Opti()
    states, torques = opti.variable(2, INTERVALS + 1), opti.variable(1, INTERVALS)
    for k in range(INTERVALS):
        opti.subject_to(states[:, k + 1] == rk4(rate, states[:, k], torques[:, k]))
    opti.subject_to(states[:, 0] == [0.0, 0.0])
    opti.subject_to(states[:, -1] == [np.pi, 0.0])
    opti.minimize(casadi.sumsqr(torques))
    opti.set_initial(states[0, :], np.linspace(0.0, np.pi, INTERVALS + 1)[None])
    opti.solver("ipopt", {"print_time": False}, {"print_level": 0, "sb": "yes"})
    return opti, states, torques


def main() -> None:
    """Compare a derivative with its closed form, solve and draw."""
    rate = to_casadi(pendulum, [2, 1], name="pendulum")
    x, u = casadi.MX.sym("x", 2), casadi.MX.sym("u", 1)
    curvature = casadi.Function("curvature", [x, u], [casadi.hessian(rate(x, u)[1], x)[0]])
    print(
        f"second derivative at 1 rad: {float(curvature([1.0, 0.0], 0.0)[0, 0]):.12f}, exact {9.81 * np.sin(1.0):.12f}"
    )
    opti, states, torques = swing(rate)
    found = opti.solve()
    print(f"{found.stats()['return_status']} after {found.stats()['iter_count']} iterations, with an exact Hessian")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    time = TIME_STEP * np.arange(INTERVALS + 1)
    axes.plot(time, found.value(states)[0], label="angle [rad]")
    axes.step(time[:-1], found.value(torques), where="post", label="torque [N m]")
    axes.set_xlabel("time [s]")
    axes.legend()
    print(f"wrote {save_figure(figure, Path('runs/examples/torch_in_casadi.png'))}")


if __name__ == "__main__":
    main()
