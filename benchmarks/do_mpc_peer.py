"""The swing-up in do-mpc, its dynamics the same network through ONNX."""

import warnings
from typing import Any

import casadi
import numpy as np

from benchmarks.networks import CONTROLS, STATES, StepNetwork, onnx_network
from benchmarks.transcriptions import EFFORT, LIMIT
from trajopt_sgp.problem import Trajectory

GOAL, WEIGHTS = np.array([0.0, np.pi, 0.0, 0.0]), np.array([1.0, 1.0, 0.1, 0.1])


class DoMpcSolve:
    """Its controller, solved from a guess; controls are scaled as this library scales them."""

    def __init__(self, network: StepNetwork, guess: Trajectory, tolerance: float) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features of do-mpc that are not installed
            import do_mpc
            from do_mpc.sysid import ONNXConversion
        self.guess, horizon = guess, len(guess.controls)
        model = do_mpc.model.Model("discrete", "MX")
        state = model.set_variable("_x", "x", shape=(STATES, 1))
        control = model.set_variable("_u", "u", shape=(CONTROLS, 1))
        converter = ONNXConversion(onnx_network(network))
        converter.convert(z=casadi.vertcat(state, control).T)
        model.set_rhs("x", state + converter["change"].T)
        model.setup()
        self.controller = do_mpc.controller.MPC(model)
        ipopt = {
            "ipopt.tol": tolerance,
            "ipopt.print_level": 0,
            "ipopt.sb": "yes",
            "print_time": 0,
            "record_time": True,
        }
        self.controller.set_param(n_horizon=horizon, t_step=0.05, n_robust=0, store_full_solution=False)
        self.controller.set_param(nlpsol_opts=ipopt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no penalty of control changes is meant
            self._state_problem(state, control)

    def _state_problem(self, state: casadi.MX, control: casadi.MX) -> None:
        mpc = self.controller
        end = casadi.dot(WEIGHTS, (state - GOAL) ** 2)
        mpc.set_objective(mterm=end, lterm=EFFORT * casadi.sumsqr(control / LIMIT))
        mpc.scaling["_u", "u"] = LIMIT
        mpc.bounds["lower", "_u", "u"], mpc.bounds["upper", "_u", "u"] = -LIMIT, LIMIT
        mpc.setup()
        mpc.x0 = self.guess.states[0]
        mpc.set_initial_guess()
        for k, x in enumerate(self.guess.states):
            mpc.opt_x_num["_x", k, 0, -1] = x
        for k, u in enumerate(self.guess.controls):
            mpc.opt_x_num["_u", k, 0] = u / LIMIT
        mpc.opt_p_num["_x0"] = self.guess.states[0]
        self.start = casadi.DM(mpc.opt_x_num.master)

    def run(self) -> tuple[float, dict[str, Any]]:
        """Solve, without what an earlier solve left, and return the objective and Ipopt's statistics."""
        self.controller.opt_x_num.master = self.start
        self.controller.flags["initial_run"] = False
        self.controller.solve()
        objective = self._objective()
        return objective, self.controller.solver_stats

    def _objective(self) -> float:
        values = self.controller.opt_x_num_unscaled
        horizon = len(self.guess.controls)
        controls = np.array([float(values["_u", k, 0]) for k in range(horizon)])
        end = np.array(values["_x", horizon, 0, -1]).ravel()
        return float(EFFORT * np.square(controls / LIMIT).sum() + WEIGHTS @ np.square(end - GOAL))
