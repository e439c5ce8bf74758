"""A certificate of the bias of a learned model: bounds of its errors along a plan, with a stated confidence.

Sources: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, section 3, for the bound through the
Lipschitz constant of the error; C. Knuth et al., arXiv 2010.08993, for its estimate.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.errors import DatasetError, IncompatibleError, OptionError, ShapeError
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.models import fit_normalizer
from trajopt_sgp.problem import Dynamics, PlanCertificate, Trajectory
from trajopt_sgp.problem.certificate import CertificateCheck
from trajopt_sgp.problem.precision import cast
from trajopt_sgp.uncertainty.conformal import conformal_quantile
from trajopt_sgp.uncertainty.error_bound import ErrorBound
from trajopt_sgp.uncertainty.error_tube import ACCUMULATIONS, error_tube, state_jacobians
from trajopt_sgp.uncertainty.lipschitz import LipschitzEstimate, estimate_lipschitz
from trajopt_sgp.uncertainty.model_error import check_model, model_errors, scaled_errors, spread_of_steps

SAME_MODEL = 1e-4
"""What a model's errors may differ by between machines, relative to the largest."""

# transitions on which models are compared
_COMPARED = 256
# by how much an execution may begin elsewhere than its plan, which has the precision of its model
_SAME_START = 1e-4
# no plant is off a learned model by so small a share of the bounds in every plan
_FOLLOWS = 1e-3


@dataclass(frozen=True)
class PlanCalibration:
    """What bounds and tubes are multiplied by, so that they hold for a stated share of whole plans."""

    confidence: float
    """That share."""
    error_factor: float
    """Of the bounds of one-step errors."""
    tube_factor: float
    """Of the tubes."""
    plans: int
    """Executed plans that it rests on."""


@dataclass(frozen=True, eq=False)
class ModelBiasCertificate:
    """e(z) = |f(z) - f̂(z)| <= min_i (e_i + L |z - z_i|) along a plan, over held-out transitions i, and what follows.

    Errors are measured in units of `error_scale`, z = [x; u] in those of `normalizer`. Before calibration, the bound
    rests on the estimate of L alone and the tube is one of first order. After it, both are multiplied so that the
    stated share of executed plans keeps within them; see `calibrate`.

    The tube is that of the controls of the plan, open loop. Where a policy was sought, it does not know that the policy
    answers the plant: what `Solution.resimulate` then puts beside it is a run under feedback, and only a calibration on
    such runs says how often those keep to it.

    Make one with `fit`.
    """

    model: Dynamics
    """f̂, in double precision."""
    held_out: Transitions
    """Transitions that the model has not seen in training."""
    normalizer: Normalizer
    """Of z = [x; u]."""
    error_scale: FloatArray
    """Units of errors, `(n,)`."""
    lipschitz: LipschitzEstimate
    """L, and how it was found."""
    accumulation: str = "aligned"
    """How one-step errors make a tube: "aligned" as if all conspired, a bound to first order; "random" as if they were
    independent, much narrower at the end of long plans, a bound by calibration alone."""
    calibration: PlanCalibration | None = None
    """Factors from executed plans; None before `calibrate`."""
    bound: ErrorBound = field(init=False, repr=False)
    """The bound before calibration."""
    models: Mapping[torch.dtype, Dynamics] = field(init=False, repr=False)
    """f̂ by the precision of plans."""

    def __post_init__(self) -> None:
        if self.accumulation not in ACCUMULATIONS:
            raise OptionError(f"accumulation = {self.accumulation!r}: choose from {', '.join(ACCUMULATIONS)}.")
        points = self.normalizer.normalize(np.hstack([self.held_out.states, self.held_out.controls]))
        errors = model_errors(self.model, self.held_out, self.error_scale)
        bound = ErrorBound(points, errors, self.lipschitz.constant, self.lipschitz.resolution)
        models = {dtype: cast(self.model, dtype) for dtype in (torch.float64, torch.float32)}
        object.__setattr__(self, "bound", bound)
        object.__setattr__(self, "models", models)

    @classmethod
    def fit(
        cls,
        model: Dynamics,
        held_out: Transitions,
        generator: np.random.Generator | None = None,
        *,
        neighbors: int = 8,
        confidence: float = 0.95,
        resolution: float | None = None,
        normalizer: Normalizer | None = None,
        error_scale: ArrayLike | None = None,
        accumulation: str = "aligned",
    ) -> "ModelBiasCertificate":
        """Estimate L from the errors of a model on transitions that it has not seen.

        Args:
            model: discrete-time dynamics, without parameters.
            held_out: at least 20 transitions; those seen in training would make the model look better than it is.
            generator: source of the blocks of the extreme-value estimate, by default seeded with 0.
            neighbors, confidence, resolution: of the estimate of L, see `estimate_lipschitz`.
            normalizer: of z; default: that of the model, or else fitted to the transitions.
            error_scale: `(n,)`; default: the standard deviation of the steps in the transitions, for each coordinate.
            accumulation: "aligned" or "random", see the field.

        Raises:
            DatasetError, OptionError: as `estimate_lipschitz`.
            ShapeError: model and transitions do not fit together.
            NotFiniteError: the model returns NaN or infinity; names the transition.
        """
        generator = numpy_generator(generator)
        check_model(model, held_out)
        _warn_of_training_data(model, held_out)
        model = cast(model, torch.float64)
        normalizer = normalizer or getattr(model, "normalizer", None) or fit_normalizer(held_out)
        scale = spread_of_steps(held_out) if error_scale is None else np.asarray(error_scale, dtype=np.float64)
        if scale.shape != (held_out.state_size,) or not (scale > 0.0).all():
            raise OptionError(f"error_scale = {scale.tolist()}: it must be {held_out.state_size} positive numbers.")
        points = normalizer.normalize(np.hstack([held_out.states, held_out.controls]))
        errors = model_errors(model, held_out, scale)
        estimate = estimate_lipschitz(points, errors, generator, neighbors, confidence, resolution)
        return cls(model, held_out, normalizer, scale, estimate, accumulation)

    def calibrate(
        self,
        plans: Trajectory | Sequence[Trajectory],
        executed: Trajectory | Sequence[Trajectory],
        confidence: float = 0.95,
    ) -> "ModelBiasCertificate":
        """Return the certificate with factors such that a new plan keeps within its bounds with this confidence.

        The steps of an optimised plan are unlike the data, so whole plans are compared: the score of a plan is its
        largest ratio of realised error to bound over the knots, and the factor the conformal quantile of the scores.
        The tube has a score and a factor of its own. The confidence is one over calibration plans and new plan
        together, for plans made in the same way: same model, same planner, problems from the same distribution.

        Args:
            plans: as planned, all independent of each other; at least 1 / (1 - confidence) - 1 of them. A batch counts
                as its members, alone or in a sequence.
            executed: what the plant did in each from the same initial state, with the controls that it received.
            confidence: between 0 and 1.

        Raises:
            DatasetError: too few plans for the confidence, too many of them ended in infinity or NaN, all errors are
                zero, or every execution follows the model more closely than its plan, as where the arguments are
                swapped.
            OptionError: these are no trajectories, or an execution begins elsewhere than its plan; names the pair.
            ShapeError: numbers or shapes do not agree.
        """
        plans, executed = _members(plans), _members(executed)
        if len(plans) != len(executed):
            raise ShapeError(f"{len(plans)} plans and {len(executed)} executions: every plan needs one.")
        raw = replace(self, calibration=None)
        checks = [raw.evaluate(plan).compare(run) for plan, run in zip(plans, executed, strict=True)]
        _check_starts(checks)
        _check_executed(checks, self.bound.errors)
        error_factor = conformal_quantile([float(check.error_ratio) for check in checks], confidence)
        tube_factor = conformal_quantile([float(check.tube_ratio) for check in checks], confidence)
        if not np.isfinite([error_factor, tube_factor]).all():
            raise DatasetError(
                f"Too many executions have no finite error for a confidence of {100.0 * confidence:g} %."
            )
        return replace(self, calibration=PlanCalibration(confidence, error_factor, tube_factor, len(plans)))

    def evaluate(self, trajectory: Trajectory) -> PlanCertificate:
        """Return bound and tube along a plan, or along every plan of a batch.

        Raises:
            OptionError: this is no trajectory.
            ShapeError: the sizes of state and control are not the model's.
            NotFiniteError: the plan holds NaN or infinity.
        """
        _check_trajectory(trajectory).check_finite("plan")
        sizes = trajectory.states.shape[-1], trajectory.controls.shape[-1]
        if sizes != (own := (self.held_out.state_size, self.held_out.control_size)):
            raise ShapeError(
                f"The plan has {sizes[0]} states and {sizes[1]} controls, the model of the certificate {own[0]} and "
                f"{own[1]}."
            )
        states, controls = torch.tensor(trajectory.states), torch.tensor(trajectory.controls)
        with torch.no_grad():
            bound, tube = self.bounds(states, controls), self.tube(states, controls)
        confidence = None if self.calibration is None else self.calibration.confidence
        return PlanCertificate(
            trajectory, bound.numpy(), tube.numpy(), confidence, self.error_scale, self.measure_errors
        )

    def check_about(self, dynamics: Dynamics) -> None:
        """Check that a model is the one whose errors were measured, by its errors on some of the transitions.

        Raises:
            IncompatibleError: it is another model.
        """
        some = self.held_out.select(np.arange(min(len(self.held_out), _COMPARED)))
        try:
            check_model(dynamics, some)
            found = model_errors(cast(dynamics, torch.float64), some, self.error_scale)
        except (OptionError, ShapeError) as error:
            raise IncompatibleError(f"The certificate is about another model: {error}") from error
        stored = self.bound.errors[: len(found)]
        difference = float(np.abs(found - stored).max())
        if not difference <= SAME_MODEL * float(self.bound.errors.max()):
            raise IncompatibleError(
                f"The certificate is about another model than that of the problem: errors on its transitions differ by "
                f"{difference:.2g}."
            )

    def bounds(
        self, states: Float[Tensor, "*batch knots n"], controls: Float[Tensor, "*batch N m"]
    ) -> Float[Tensor, "*batch N"]:
        """Return the bound of the error in the step from each knot, `(..., N+1, n), (..., N, m) -> (..., N)`."""
        factor = 1.0 if self.calibration is None else self.calibration.error_factor
        return factor * self.bound(self._normalize(states[..., :-1, :], controls))

    def tube(
        self, states: Float[Tensor, "*batch knots n"], controls: Float[Tensor, "*batch N m"]
    ) -> Float[Tensor, "*batch knots n"]:
        """Return how far each state may be from the plan, `(..., N+1, n), (..., N, m) -> (..., N+1, n)`."""
        factor = 1.0 if self.calibration is None else self.calibration.tube_factor
        before = states[..., :-1, :]
        jacobians = state_jacobians(self.models[states.dtype], before, controls)
        scale = torch.as_tensor(self.error_scale).to(states)
        bound = self.bound(self._normalize(before, controls))
        return factor * error_tube(jacobians, bound, scale, self.accumulation)

    def tube_size(
        self, states: Float[Tensor, "*batch knots n"], controls: Float[Tensor, "*batch N m"]
    ) -> Float[Tensor, "*batch"]:
        """Return the mean length of the tube's radius over the knots 1..N in units of `normalizer`, `(...)`.

        A function of a whole trajectory, differentiable by autograd but not inside transforms of `torch.func`: as a
        cost in shooting it keeps a plan from amplifying errors of its model.
        """
        units = torch.tensor(self.normalizer.scale[: self.held_out.state_size]).to(states)
        radii = self.tube(states, controls)[..., 1:, :] / units
        size: Tensor = torch.linalg.vector_norm(radii, dim=-1).mean(-1)
        return size

    def measure_errors(self, executed: Trajectory) -> FloatArray:
        """Return the one-step errors of the model along what a plant has done, `(..., N)`."""
        states = executed.states
        return scaled_errors(self.model, states[..., :-1, :], executed.controls, states[..., 1:, :], self.error_scale)

    def _normalize(self, states: Tensor, controls: Tensor) -> Tensor:
        center, scale = (torch.tensor(part).to(states) for part in (self.normalizer.center, self.normalizer.scale))
        z: Tensor = (torch.cat([states, controls], dim=-1) - center) / scale
        return z


def _warn_of_training_data(model: object, held_out: Transitions) -> None:
    """Warn where the transitions are the whole dataset that a model was trained on."""
    dataset = getattr(model, "dataset", None)
    if dataset is not None and dataset.hash == held_out.dataset.hash and len(held_out) == dataset.transitions:
        warnings.warn(
            f"The certificate is fitted to all {len(held_out)} transitions of {held_out.dataset.id!r}, on which the "
            "model was trained: its errors are larger on what it has not seen. Hold some episodes out, as by "
            "transitions.split, and train on the others.",
            stacklevel=3,
        )


def _check_trajectory(given: Trajectory) -> Trajectory:
    if not isinstance(given, Trajectory):
        raise OptionError(
            f"A certificate evaluates a Trajectory, as solution.trajectory is, not {type(given).__name__}."
        )
    return given


def _members(given: Trajectory | Sequence[Trajectory]) -> list[Trajectory]:
    given = (given,) if isinstance(given, Trajectory) else given
    return [member for trajectory in given for member in _check_trajectory(trajectory).members()]


def _check_starts(checks: Sequence[CertificateCheck]) -> None:
    """Check that plants began where their plans do."""
    for place, check in enumerate(checks):
        planned, begun = check.certificate.plan.states[0], check.executed.states[0]
        apart = np.abs(check.gap[0]) > _SAME_START * (np.abs(planned) + check.certificate.error_scale)
        if apart.any():
            raise OptionError(
                f"Execution {place} begins at {begun.tolist()}, its plan at {planned.tolist()}: give executions in the "
                "order of their plans, each from the initial state of its plan."
            )


def _check_executed(checks: Sequence[CertificateCheck], held_out_errors: FloatArray) -> None:
    """Check that plants were off the model: a plan keeps to it as far as the solver has met its equations."""
    if not held_out_errors.any() and not any(check.error.any() for check in checks):
        raise DatasetError(
            "All errors are zero, on the held-out transitions and in every execution: the model is what was executed, "
            "and there is nothing to calibrate."
        )
    largest = max((float(check.error_ratio) for check in checks), default=np.inf)
    planned = [float(check.certificate.measure(check.certificate.plan).max()) for check in checks]
    closer = all(float(check.error.max()) <= error for check, error in zip(checks, planned, strict=True))
    if closer and largest < _FOLLOWS:
        raise DatasetError(
            f"Every execution follows the model, within {largest:.2g} of the bounds, more closely than its plan: give "
            "what was planned first, then what the plant did in each."
        )
