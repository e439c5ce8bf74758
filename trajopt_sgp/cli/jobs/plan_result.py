"""A plan together with what the true system makes of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CartPoleDynamics, cartpole_swing_up_cost
from trajopt_sgp.problem import Resimulation, Solution, Trajectory
from trajopt_sgp.studies.swing_up import SUCCESS_COST

_SHOWN_VIOLATIONS = 20


@dataclass(frozen=True, eq=False)
class PlanResult:
    """The best plan of a solve, judged."""

    solution: Solution
    """With all starts."""
    resimulation: Resimulation
    """The best plan's forces on the true system."""
    true_costs: FloatArray
    """True terminal cost of every start, `(S,)`."""

    @property
    def truth(self) -> Trajectory:
        """Motion of the true system, and the forces that it received."""
        true = self.resimulation.trajectory
        return Trajectory(true.states, np.clip(true.controls, *_limits()), true.time_step)

    @property
    def predicted_cost(self) -> float:
        """Terminal cost by the plan."""
        return float(_terminal_costs(self.solution.trajectory.states))

    @property
    def true_cost(self) -> float:
        """Terminal cost on the true system."""
        return float(_terminal_costs(self.resimulation.trajectory.states))

    def document(self) -> dict[str, Any]:
        """Return all numbers but the trajectories, for JSON."""
        solution, violations = self.solution, self.solution.violations()
        return {
            "status": solution.status.label,
            "sentence": solution.status.value,
            "success": solution.success,
            "cost": solution.cost,
            "cost_terms": dict(solution.cost_terms),
            "surrogates": solution.surrogates,
            "true_cost_terms": dict(self.resimulation.cost_terms),
            "predicted_cost": self.predicted_cost,
            "true_cost": self.true_cost,
            "true_success": self.true_cost < SUCCESS_COST,
            "max_violation": solution.max_violation,
            "violations": [vars(row) for row in violations[:_SHOWN_VIOLATIONS]],
            "data_distance": self._distance(),
            "certificate": self._certificate(),
            "iterations": solution.iterations,
            "seconds": dict(solution.seconds),
            "starts": self._starts(),
        }

    def arrays(self) -> dict[str, Any]:
        """Return the trajectories, for JSON."""
        plan = self.solution.trajectory
        return {
            "time_step": plan.time_step,
            "state_names": self.solution.problem.state_labels,
            "control_names": self.solution.problem.control_labels,
            "states": plan.states,
            "controls": plan.controls,
            "true_states": self.truth.states,
            "distance_by_knot": self.solution.data_distance,
            "error_bound_by_knot": None if self.solution.certificate is None else self.solution.certificate.bound,
        }

    def _distance(self) -> dict[str, float] | None:
        distance = self.solution.known_data_distance
        return None if distance is None else {"mean": float(distance.mean()), "max": float(distance.max())}

    def _certificate(self) -> dict[str, Any] | None:
        check = self.resimulation.certificate
        if check is None:
            return None
        return {
            "confidence": check.certificate.confidence,
            "meaning": check.certificate.meaning,
            "promises": [{**asdict(promise), "kept": promise.kept} for promise in check.promises],
        }

    def _starts(self) -> dict[str, Any]:
        labels = [solution.status.label for solution in _all(self.solution)]
        return {
            "count": len(labels),
            "status": {label: labels.count(label) for label in sorted(set(labels))},
            "true_costs": self.true_costs,
            "true_cost_median": float(np.median(self.true_costs)),
            "success_rate": float((self.true_costs < SUCCESS_COST).mean()),
        }


def judge(solution: Solution) -> PlanResult:
    """Apply every start's forces to the true equations, clipped to the motor's limits as the environment does."""
    controls = np.stack([start.trajectory.controls for start in _all(solution)])
    return PlanResult(solution, solution.resimulate(_step), _true_costs(solution.problem.start, controls))


def _all(solution: Solution) -> Sequence[Solution]:
    return solution.starts or (solution,)


def _limits() -> tuple[float, float]:
    limit = CartPoleDynamics().plant.force_limit
    return -limit, limit


def _step(state: FloatArray, control: FloatArray) -> FloatArray:
    clipped = np.clip(control, *_limits())
    after: FloatArray = CartPoleDynamics()(torch.as_tensor(state), torch.as_tensor(clipped)).numpy()
    return after


def _true_costs(initial_state: FloatArray, controls: FloatArray) -> FloatArray:
    states = np.broadcast_to(initial_state, (len(controls), len(initial_state))).copy()
    for k in range(controls.shape[1]):
        states = _step(states, controls[:, k])
    return _terminal_costs(states[:, None])


def _terminal_costs(states: FloatArray) -> FloatArray:
    costs: FloatArray = cartpole_swing_up_cost(torch.as_tensor(states[..., -1, :])).numpy()
    return costs
