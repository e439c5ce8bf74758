"""Policy search: the decision variables are the parameters of a policy, for many initial states at once."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations.base import SteppedFormulation
from trajopt_sgp.formulations.policy_program import Exploration, GradientKind, PolicyProgram, Sampler
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.scaling import control_scale, state_scale
from trajopt_sgp.formulations.shooting import SingleShooting
from trajopt_sgp.formulations.stepping import IntegratorName
from trajopt_sgp.models.policies import OpenLoop, Policy, PolicySpace
from trajopt_sgp.options import check_choice, check_counts
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.problem.boundary import make_scale
from trajopt_sgp.problem.terms import Numbers


@dataclass(frozen=True, eq=False)
class PolicySearch(SteppedFormulation):
    """Variables are the parameters of a policy; states and controls follow by rolling the model out under it.

    The objective is the mean cost over the initial states, all terms of the problem included; bounds and constraints
    hold from each of them. With noise it is the mean over noise too while a solver descends; iterates are compared, and
    the solution is reported, without noise. `Solution.policy` is the policy, `Solution.trajectory` a batch.

    With an open-loop policy and the initial state of the problem this is `SingleShooting`.

    Sources: for the gradients H. J. T. Suh et al., Do differentiable simulators give better policy gradients?, ICML
    2022; R. J. Williams, Simple statistical gradient-following algorithms, Machine Learning 8 (1992).

    Raises:
        OptionError: an unknown gradient or integrator, counts below 1, or a zeroth-order gradient without noise.
    """

    policy: Policy = field(default_factory=OpenLoop)
    """`OpenLoop`, `TimeVaryingAffine` or `NeuralPolicy`."""
    initial_states: ArrayLike | Sampler | None = None
    """`(B, n)`; or a function of a NumPy generator that draws them anew for every evaluation; or None for the initial
    state of the problem."""
    noise: Numbers = 0.0
    """Standard deviation of Gaussian noise on the controls while the policy is sought, in their units, a number or
    `(m,)`."""
    noise_draws: int = 1
    """Noise sequences for each initial state in an evaluation."""
    gradient: GradientKind = "first"
    """"first": through the dynamics. "zeroth": the likelihood ratio of the noise, which needs no derivatives of the
    dynamics or of the costs, and no smoothness."""
    seed: int = 0
    """Of the noise and of sampled initial states; every solve draws the same."""
    integrator: IntegratorName = "rk4"
    """For continuous dynamics."""
    substeps: int = 1
    """Steps of the integrator in an interval."""

    rolls_out: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.name, "gradient", self.gradient, ("first", "zeroth"))
        check_counts(self.name, noise_draws=self.noise_draws)
        noise = np.asarray(self.noise, dtype=np.float64)
        if not (np.isfinite(noise).all() and (noise >= 0.0).all()):
            raise OptionError(f"PolicySearch: noise = {self.noise}; it must be finite and not negative.")
        if self.gradient == "zeroth" and not (noise > 0.0).all():
            raise OptionError('PolicySearch: gradient="zeroth" compares noisy controls; it needs noise= above 0.')

    @property
    def differentiates(self) -> bool:
        """Whether the gradient is that of the functions, and not estimated from values."""
        return self.gradient != "zeroth"

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program.

        Raises:
            IncompatibleError: the initial state or the duration is free; constraints are soft; moves are blocked; a
                solver that compares values meets noise, sampled states or an estimated gradient; a zeroth-order
                gradient meets constraints.
            ShapeError, NotFiniteError: the initial states do not fit.
        """
        self._check(problem, needs_value)
        # the likelihood ratio multiplies values, which a gradient field has not
        faces = needs_value or self.gradient == "zeroth"
        single = SingleShooting(self.integrator, self.substeps).transcribe(problem, faces)
        if single.elimination is None or len(single.slack):
            raise IncompatibleError("PolicySearch: soft constraints have variables for each plan; make them costs.")
        if self.gradient == "zeroth" and single.assembly.row_count:
            name = single.assembly.row_name(0)[0]
            raise IncompatibleError(
                f'PolicySearch: gradient="zeroth" takes no constraints, but there is {name}; make it a cost.'
            )
        return PolicyProgram(
            problem=problem,
            formulation=self,
            needs_value=needs_value,
            layout=single.layout,
            full_scale=single.full_scale,
            slack=single.slack,
            costs=single.costs,
            constraints=single.constraints,
            estimate_mesh_error=single.estimate_mesh_error,
            single=single,
            shooting=single.elimination,
            family=self.policy,
            space=_space(problem),
            initial_states=self.initial_states,
            exploration=self._exploration(problem),
        )

    def _exploration(self, problem: OptimalControlProblem) -> Exploration:
        noise = make_scale("noise", self.noise, problem.control_size)
        return Exploration(noise, self.noise_draws, self.gradient, self.seed)

    def _check(self, problem: OptimalControlProblem, needs_value: bool) -> None:
        if self.initial_states is None and not problem.initial.held.all():
            raise IncompatibleError("PolicySearch: the problem has no initial state; give initial_states=.")
        if problem.grid.free or problem.move_blocks is not None:
            raise IncompatibleError("PolicySearch: a policy acts at every knot of a fixed duration, without blocks.")
        random = callable(self.initial_states) or bool(np.any(self.noise)) or self.gradient == "zeroth"
        if needs_value and random:
            raise IncompatibleError(
                "PolicySearch: this solver compares values, which noise, sampled initial states and an estimated "
                "gradient change from one evaluation to the next; leave them out, or choose GradientDescent."
            )


def _space(problem: OptimalControlProblem) -> PolicySpace:
    normalizer = getattr(problem.dynamics, "normalizer", None)
    n, box = problem.state_size, problem.state_box
    center = box.middle() if normalizer is None else np.array(normalizer.center[:n], dtype=np.float64)
    controls = problem.control_box
    return PolicySpace(
        problem.horizon, center, state_scale(problem), control_scale(problem), controls.lower, controls.upper
    )
