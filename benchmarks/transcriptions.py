"""The direct transcription of the swing-up as this library states it, and the same program stated in CasADi."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import casadi
import numpy as np

from benchmarks.networks import CONTROLS, KNOT, STATES, StepNetwork
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.solvers.remembered import RememberedDerivatives
from trajopt_sgp.studies.swing_up import swing_up_problem

Step = Callable[[Any], Any]
"""CasADi: rows [x, u] `(K, 5)` to rows x' `(K, 4)`."""

EFFORT, LIMIT = 0.1, 80.0


def swing_up(network: StepNetwork, horizon: int) -> OptimalControlProblem:
    """Return the swing-up with the network as its dynamics."""
    return swing_up_problem(network, horizon=horizon, effort_weight=EFFORT)


def straight_guess(horizon: int) -> Trajectory:
    """Return the straight line from hanging to upright, with a push that swings."""
    share = np.linspace(0.0, 1.0, horizon + 1)[:, None]
    states = share * np.array([0.0, np.pi, 0.0, 0.0])
    controls = 10.0 * np.sin(2.0 * np.pi * share[:-1])
    return Trajectory(states, controls, 0.05)


def casadi_program(step: Step, horizon: int) -> dict[str, Any]:
    """Return variables x_0, u_0, ..., x_N, objective and defects in CasADi, scaled as this library scales them."""
    scaled = casadi.MX.sym("w", horizon * KNOT + STATES)
    w = scaled * scale(horizon)
    z = casadi.reshape(w[: horizon * KNOT], KNOT, horizon)
    last = w[horizon * KNOT :]
    following = casadi.horzcat(z[:STATES, 1:], last)
    defects = step(z.T).T - following
    effort = EFFORT * casadi.sumsqr(z[STATES:, :] / LIMIT)
    end = last[0] ** 2 + (last[1] - np.pi) ** 2 + 0.1 * last[2] ** 2 + 0.1 * last[3] ** 2
    return {"x": scaled, "f": effort + end, "g": casadi.vec(defects)}


def scale(horizon: int) -> FloatArray:
    """Return the units of the variables: controls are counted in half their range."""
    return np.append(np.tile([1.0] * STATES + [LIMIT] * CONTROLS, horizon), [1.0] * STATES)


def flat(trajectory: Trajectory) -> FloatArray:
    """Return a trajectory as the variables of the CasADi program."""
    knots = np.hstack([trajectory.states[:-1], trajectory.controls / LIMIT])
    return np.concatenate([knots.ravel(), trajectory.states[-1]])


def casadi_bounds(horizon: int) -> dict[str, FloatArray | float]:
    """Return bounds of variables and defects; the initial state is held by its bounds."""
    upper = np.full(horizon * KNOT + STATES, np.inf)
    upper[: horizon * KNOT].reshape(horizon, KNOT)[:, STATES:] = 1.0
    lower = -upper
    lower[:STATES] = upper[:STATES] = 0.0
    return {"lbx": lower, "ubx": upper, "lbg": 0.0, "ubg": 0.0}


@dataclass
class Points:
    """Points in turn, so that no memory of the last one helps."""

    horizon: int
    points: list[FloatArray] = field(init=False)
    weights: FloatArray = field(init=False)
    """Multipliers of the defects."""

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        base = flat(straight_guess(self.horizon))
        self.points = [base + 0.05 * random.normal(size=base.shape) for _ in range(16)]
        self.weights = random.normal(size=self.horizon * STATES)

    def turn(self) -> Callable[[], FloatArray]:
        """Return a function that gives the next point with every call."""
        counter = count()
        return lambda: self.points[next(counter) % len(self.points)]


class OwnDerivatives:
    """f, ∇f, g, J and H by the program's derivatives, in closed form, as Ipopt gets them."""

    def __init__(self, program: NonlinearProgram, points: Points) -> None:
        self.program, self.points = program, points
        if not np.array_equal(program.scale, scale(points.horizon)) or np.any(program.assembly.row_unscale() != 1.0):
            raise AssertionError("the program is not scaled like that of the peers")
        self.parameters = program.problem.values()
        self.derivatives = RememberedDerivatives(program.assembly)
        self.next = points.turn()
        program.full_assembly.trace(points.points[0], self.parameters)

    @classmethod
    def of(cls, network: StepNetwork, points: Points) -> "OwnDerivatives":
        """Transcribe the swing-up."""
        problem = swing_up(network, points.horizon)
        return cls(DirectTranscription().transcribe(problem, needs_value=True), points)

    def run(self) -> tuple[Any, ...]:
        """Evaluate everything at the next point."""
        return self.at(self.next())

    def at(self, w: FloatArray) -> tuple[Any, ...]:
        """Evaluate everything, in the order of an interior-point method."""
        d, p = self.derivatives, self.parameters
        f, g = d.objective(w, p), d.rows(w, p)
        return f, d.gradient(w, p)[1], g, d.jacobian(w, p)[1], d.hessian(w, 1.0, self.points.weights, p)

    def values(self, _: object) -> Sequence[FloatArray]:
        """Evaluate at the first point, with dense matrices."""
        f, gradient, g, j, h = self.at(self.points.points[0])
        jacobian, hessian = np.zeros((len(g), len(gradient))), np.zeros((len(gradient), len(gradient)))
        pattern, curvature = self.program.assembly.jacobian_pattern, self.program.assembly.hessian_pattern
        jacobian[pattern.rows, pattern.columns] = j
        hessian[curvature.rows, curvature.columns] = h
        return np.array([f]), gradient, g, jacobian, hessian


class CasadiDerivatives:
    """The same by the functions that CasADi itself makes for Ipopt."""

    def __init__(self, step: Step, points: Points) -> None:
        program = casadi_program(step, points.horizon)
        self.points, self.next = points, points.turn()
        self.solver = casadi.nlpsol("peer", "ipopt", program, {"print_time": False, "ipopt.print_level": 0})
        names = ("nlp_f", "nlp_g", "nlp_grad_f", "nlp_jac_g", "nlp_hess_l")
        self.functions = [self.solver.get_function(name) for name in names]

    def run(self) -> tuple[Any, ...]:
        """Evaluate everything at the next point."""
        return self.at(self.next())

    def at(self, w: FloatArray) -> tuple[Any, ...]:
        """Evaluate everything, in the order of an interior-point method."""
        f, g, gradient, jacobian, hessian = self.functions
        return f(w, []), gradient(w, [])[1], g(w, []), jacobian(w, [])[1], hessian(w, [], 1.0, self.points.weights)

    def values(self, _: object) -> Sequence[FloatArray]:
        """Evaluate at the first point, dense."""
        f, gradient, g, jacobian, hessian = (np.array(v) for v in self.at(self.points.points[0]))
        return f.ravel(), gradient.ravel(), g.ravel(), jacobian, hessian
