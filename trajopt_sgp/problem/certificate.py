"""What a certificate says of a plan, and how it compares with what the plant then did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.problem.dynamics import Dynamics
from trajopt_sgp.problem.trajectory import Trajectory


@dataclass(frozen=True, eq=False, repr=False)
class PlanCertificate:
    """How wrong the model may be along one plan, or a batch of plans."""

    plan: Trajectory
    """States `(..., N+1, n)` and controls `(..., N, m)`."""
    bound: FloatArray
    """Of the error of the model in the step from each knot 0..N-1, `(..., N)`, in units of `error_scale`."""
    tube: FloatArray
    """How far each state of the plant may be from the plan at each knot, `(..., N+1, n)`, in the units of the state."""
    confidence: float | None
    """Share of plans that keep within the bound, and share that stay in the tube; None where not calibrated."""
    error_scale: FloatArray
    """Units of errors, `(n,)`."""
    measure: Callable[[Trajectory], FloatArray]
    """One-step errors of the model along what a plant has done, `(..., N)`, in units of `error_scale`."""
    state_names: Sequence[str] = ()
    """Of the n states, for pictures; those of the problem where the certificate is that of a solution."""

    def __str__(self) -> str:
        ends = ", ".join(f"{radius:.3g}" for radius in self.tube[..., -1, :].max(axis=tuple(range(self.tube.ndim - 2))))
        sure = "not calibrated" if self.confidence is None else f"confidence {self.confidence:g}"
        return f"one-step errors up to {self.bound.max():.3g}, radius of the tube at the end {ends}, {sure}"

    def __repr__(self) -> str:
        return f"PlanCertificate({self})"

    @property
    def meaning(self) -> str:
        """What the bound and the tube promise, in words."""
        if self.confidence is None:
            return (
                "The bound rests on the estimated Lipschitz constant of the error alone, and the tube follows from it "
                "to first order: neither was calibrated on executed plans, so no confidence can be stated."
            )
        share = f"{100.0 * self.confidence:g} %"
        return (
            f"At least {share} of plans made in the same way keep below their bounds at every step, and at least "
            f"{share} stay in their tubes, over the choice of calibration plans and plan together."
        )

    def compare(self, executed: Trajectory) -> "CertificateCheck":
        """Return the bound and the tube beside what happened when the plan was executed.

        Raises:
            ShapeError: the executed trajectory is not of the plan's shape.
        """
        if executed.states.shape != self.plan.states.shape or executed.controls.shape != self.plan.controls.shape:
            raise ShapeError(
                f"The executed states {executed.states.shape} and controls {executed.controls.shape} are not those of "
                f"the plan, {self.plan.states.shape} and {self.plan.controls.shape}."
            )
        gap = executed.states - self.plan.states
        return CertificateCheck(self, executed, self.measure(executed), gap)


@dataclass(frozen=True)
class Promise:
    """One quantity of a certificate of one plan, in units of a typical step of each state."""

    quantity: str
    """What is meant."""
    promised: float
    """Median of what was promised."""
    realised: float
    """Median of what happened."""
    ratio: float
    """Largest ratio of what happened to what was promised, over all plans, knots and states."""

    @property
    def kept(self) -> bool:
        """Whether nothing was larger than promised."""
        return self.ratio <= 1.0

    def __str__(self) -> str:
        kept = "kept" if self.kept else "broken"
        return f"{self.quantity} {self.realised:.3g} of {self.promised:.3g} promised, {kept} ({self.ratio:.3g} at most)"


@dataclass(frozen=True, eq=False, repr=False)
class CertificateCheck:
    """A certificate beside what happened."""

    certificate: PlanCertificate
    """What was promised."""
    executed: Trajectory
    """What the plant did."""
    error: FloatArray
    """Realised one-step error `(..., N)`: plant minus model, both from the state in which the plant really was."""
    gap: FloatArray
    """Plant minus plan at each knot, `(..., N+1, n)`."""

    def __str__(self) -> str:
        if self.gap.ndim == 2:
            return "; ".join(map(str, self.promises))
        kept = [int((ratio <= 1.0).sum()) for ratio in (self.error_ratio, self.tube_ratio)]
        return f"of {self.error_ratio.size} plans {kept[0]} kept their bounds and {kept[1]} their tubes"

    def __repr__(self) -> str:
        return f"CertificateCheck({self})"

    @property
    def error_ratio(self) -> FloatArray:
        """Largest ratio of realised error to bound over the knots, `(...)`; at most 1 where the bound has held."""
        return np.asarray(_ratio(self.error, self.certificate.bound).max(axis=-1))

    @property
    def tube_ratio(self) -> FloatArray:
        """Largest ratio of gap to radius over knots and states, `(...)`; at most 1 where the plant was in the tube.

        The first knot, where the radius is zero and the gap no more than rounding, does not count.
        """
        return np.asarray(_ratio(np.abs(self.gap), self.certificate.tube)[..., 1:, :].max(axis=(-2, -1)))

    @property
    def promises(self) -> tuple[Promise, Promise]:
        """The error of one step, and the distance to the plan at its end; of all plans together where it is a batch."""
        promised = self.certificate
        return (
            _promise("one-step error", promised.bound, self.error, self.error_ratio),
            _promise(
                "distance to the plan at the end",
                promised.tube[..., -1, :] / promised.error_scale,
                np.abs(self.gap[..., -1, :]) / promised.error_scale,
                self.tube_ratio,
            ),
        )


@runtime_checkable
class Certificate(Protocol):
    """What bounds the error of a model along plans."""

    def evaluate(self, trajectory: Trajectory) -> PlanCertificate:
        """Return what it says of a plan, or of a batch of them."""
        ...

    def check_about(self, dynamics: Dynamics) -> None:
        """Check that it is about a model.

        Raises:
            IncompatibleError: it is about another one.
        """
        ...


def _promise(quantity: str, promised: FloatArray, realised: FloatArray, ratio: FloatArray) -> Promise:
    return Promise(quantity, float(np.median(promised)), float(np.median(realised)), float(ratio.max()))


def _ratio(value: FloatArray, limit: FloatArray) -> FloatArray:
    """Return value / limit: zero where the value is, else infinite where the limit is zero or the value not finite."""
    ratio: FloatArray = np.divide(
        value, limit, out=np.full(limit.shape, np.inf), where=(limit > 0.0) & np.isfinite(value)
    )
    return np.where(value == 0.0, 0.0, ratio)
