"""Transcription without a model of the dynamics: the distance of (x, u, x') to data carries them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.term_builder import TermBuilder
from trajopt_sgp.problem import OptimalControlProblem


@dataclass(frozen=True)
class ScoreTranscription(Formulation):
    """Variables x_0, u_0, ..., x_N, no defects: a stage cost β d_σ(x_t, u_t, x_{t+1}) takes the place of the dynamics.

    That cost is `DataDistance(model, next_state=True)`, its model trained on `as_triples` of transitions; with `upper=`
    it may be a constraint as well, or instead. With an initial state alone this is an initial-value problem, with a
    final state too a boundary-value problem. What comes out is a plan only as far as the distance is small:
    `solution.data_distance` tells for every interval.

    Source: H. J. T. Suh et al., CoRL 2023, section 4 (score-only collocation); gradients weighted by σ².
    """

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program; the dynamics of the problem, if it has any, are not used.

        Raises:
            IncompatibleError: no stage cost or constraint measures a distance of (x, u, x').
        """
        if not _transition_terms(problem):
            raise IncompatibleError(
                "ScoreTranscription needs a stage cost or constraint that carries the dynamics: DataDistance(model, "
                "next_state=True), its model trained on as_triples(transitions)."
            )
        problem = _in_units_of_data(problem)
        layout = Layout.of(problem, states=(), controls=(0.0,), last_control=False)
        builder = TermBuilder(problem, layout, layout.points({0.0: 1.0}), needs_value)
        builder.add_costs()
        builder.add_constraints()
        return builder.program(
            self,
        )


def _in_units_of_data(problem: OptimalControlProblem) -> OptimalControlProblem:
    """Return the problem in the units of the distance's normalizer, where it has no others."""
    model = getattr(_transition_terms(problem)[0], "model", None)
    normalizer = getattr(model, "normalizer", None)
    if normalizer is None or problem.dynamics is not None:
        return problem
    n, m = problem.state_size, problem.control_size
    units: dict[str, Any] = {}
    if problem.state_scale is None:
        units["state_scale"] = np.array(normalizer.scale[:n])
    if problem.control_scale is None:
        units["control_scale"] = np.array(normalizer.scale[n : n + m])
    return problem.replaced(**units)


def _transition_terms(problem: OptimalControlProblem) -> list[Any]:
    """Return what is a function of state, control and next state: costs, and the functions of constraints."""
    constraints = [c.function for c in problem.constraint_terms if getattr(c, "next_state", False)]
    return [*(term for term in problem.stage_terms if term.next_state), *constraints]
