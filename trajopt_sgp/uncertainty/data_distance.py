"""The distance to data as a term of an optimal control problem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, overload

import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.models.calibration import NOT_CALIBRATED, Calibration
from trajopt_sgp.models.inputs import as_tensor
from trajopt_sgp.models.preconditioning import check_sigma
from trajopt_sgp.options import check_choice, check_not_negative
from trajopt_sgp.problem import Face, Parameters, StageConstraint
from trajopt_sgp.problem.parameters import not_negative
from trajopt_sgp.problem.precision import cast, parameter_dtype
from trajopt_sgp.uncertainty.protocols import GradientModel, ValueModel, gradient_fault, value_fault

Form = Literal["field", "value", "residual"]
Weighting = Literal["sigma2", "none"]
Schedule = Callable[[float], float]
"""Progress in [0, 1] to noise level σ."""


@dataclass(frozen=True, eq=False)
class DataDistance:
    """β d_σ(x, u), the smoothed squared distance to data, summed over the knots 0..N-1.

    d_σ(z) = -σ² log Σ_i exp(-‖z - z_i‖²/2σ²) in normalised coordinates z; its gradient is -σ² times the score
    (Suh et al. 2023, section 3). Solvers that compare values see the value a model offers (energy network, closed
    form), or failing that the residual energy ½‖z - D(z, σ)‖² of its denoiser D; others follow the gradient field.
    Any uncertainty takes the place of d_σ in the same way: the variance of an ensemble, for example, which has no σ.

    Among the constraints of a problem, with `upper` set, it keeps the calibrated length below `upper` at `sigma`.

    Raises:
        OptionError: a model of something else, or with a distance but without the rest of a `ValueModel`; an unknown
            form or weighting, a weight that is negative, a σ outside the range of the model, a σ for a model without
            noise levels.
        IncompatibleError: the model does not offer the form asked for.
    """

    model: GradientModel
    """Score network, energy network, exact smoothed distance or another uncertainty."""
    weight: float = 1.0
    """β; it has a meaning only together with `weighting` and the σ schedule."""
    sigma: float | None = None
    """Fixed σ in normalised units; give either this or `schedule`, and neither if the model has no noise levels."""
    schedule: Schedule | None = None
    """σ by progress of the solver."""
    weighting: Weighting = "sigma2"
    """"sigma2": β d_σ, a squared length. "none": β d_σ/σ² = -β log p_σ + constant, for models with noise levels."""
    form: Form | None = None
    """Force "field", "value" or "residual" on every solver."""
    upper: float | None = None
    """Length that the constraint allows, in normalised coordinates beyond the spread of the data themselves."""
    next_state: bool = False
    """Whether the model is one of (x, u, x'), trained on `as_triples`."""
    name: str = "data_distance"
    """Name in results and messages."""

    def __post_init__(self) -> None:
        if fault := gradient_fault(self.model) or value_fault(self.model):
            raise OptionError(f"{self.name}: {fault}")
        check_choice(self.name, "form", self.form, (None, "field", "value", "residual"))
        check_choice(self.name, "weighting", self.weighting, ("sigma2", "none"))
        check_not_negative(self.name, weight=self.weight)
        if self.form == "value" and not isinstance(self.model, ValueModel):
            raise IncompatibleError(_no_value(self, "form 'value'"))
        self._check_sigma()

    def __repr__(self) -> str:
        """Return the class of its model, whose own description may take pages, and what is set."""
        given = {f.name: getattr(self, f.name) for f in fields(self)[1:] if getattr(self, f.name) != f.default}
        settings = (f"{name}={value!r}" for name, value in given.items())
        return f"DataDistance({', '.join([type(self.model).__name__, *settings])})"

    @property
    def annealed(self) -> bool:
        """Whether σ changes with the progress of the solver."""
        return self.sigma_at(0.0) != self.sigma_at(1.0)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of its model."""
        return parameter_dtype(self.model)

    @property
    def integral(self) -> bool:
        """Always False: the distance is summed over the knots."""
        return False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of its weight and of its σ, if it has one, which may be set for one solve without a schedule."""
        names = f"{self.name}.weight", f"{self.name}.sigma"
        return names[:1] if self.model.sigma_range is None else names

    def number_values(self, parameters: Parameters) -> Mapping[str, float]:
        """Return its weight and its σ by name, σ where the schedule has arrived."""
        values = parameters.number(f"{self.name}.weight", self.weight), self._sigma(parameters)
        return dict(zip(self.numbers, values, strict=False))

    def check_number(self, name: str, value: float) -> None:
        """Refuse a negative weight, and a σ outside the range of the model.

        Raises:
            OptionError: names it.
        """
        if name == f"{self.name}.weight":
            not_negative(name, value)
        elif self.model.sigma_range is not None:
            self._check_level(value, self.model.sigma_range)

    def sigma_at(self, progress: float) -> float:
        """Return σ at `progress` in [0, 1]; 0 for a model without noise levels."""
        if self.schedule is not None:
            return self.schedule(progress)
        return float(self.sigma or 0.0)

    def face(self, needs_value: bool) -> Face:
        """Return the face for a solver that compares values, or for one that can follow a gradient field.

        Raises:
            IncompatibleError: `form="field"` was forced on a solver that needs values.
            OptionError: `upper` is set, which belongs to a constraint.
        """
        if self.upper is not None:
            raise OptionError(
                f"{self.name}: upper= {self.upper} bounds the distance only among the constraints; put it there, or "
                "leave upper= out for a cost."
            )
        if self.form == "field" and needs_value:
            raise IncompatibleError(
                f"{self.name}: this solver compares values, which a gradient field does not have. "
                'Use form="value" or form="residual", or GradientDescent.'
            )
        form = self.form or ("value" if isinstance(self.model, ValueModel) else "residual" if needs_value else "field")
        if form == "value":
            return Face("value", self._value, self._value, has_value=True)
        if form == "residual":
            return Face("residual", self._residual, self._residual, has_value=True)
        return Face("field", self._field, self._residual, has_value=False)

    @property
    def length_fault(self) -> str:
        """Why it has no lengths, in a sentence; empty where it has."""
        calibrated = isinstance(self.model, ValueModel) and self.model.calibration is not None
        if calibrated or self.model.sigma_range is not None:
            return ""
        kind = type(self.model).__name__
        if isinstance(self.model, ValueModel):
            return f"{self.name}: {kind} {NOT_CALIBRATED}"
        return (
            f"{self.name}: {kind} has neither noise levels nor a value, so that its gradient is no length: give it a "
            "sigma_range, or the distance, calibration and calibrated_length of a ValueModel."
        )

    @overload
    def length(self, state: Tensor, control: Tensor, parameters: Parameters | None = None) -> Tensor: ...

    @overload
    def length(self, state: FloatArray, control: FloatArray, parameters: Parameters | None = None) -> FloatArray: ...

    def length(
        self, state: Tensor | FloatArray, control: Tensor | FloatArray, parameters: Parameters | None = None
    ) -> Tensor | FloatArray:
        """Return the length to the data `(...)`, in normalised coordinates, for states `(..., n)`, controls `(..., m)`.

        Of tensors it is a tensor that can be differentiated, of arrays, as those of a solution's trajectory, an array.
        It is that at the end of the schedule, or at the σ and progress of a solve where its parameters are given. With
        `next_state` the control is [u; x'].

        Calibrated where the model is; else the length of the pull ‖z - D(z, σ)‖, which is blind in the middle of a
        hole.

        Raises:
            OptionError: the model has no noise levels and is not calibrated: the gradient of its value is no length.
        """
        if fault := self.length_fault:
            raise OptionError(fault)
        if not (isinstance(state, Tensor) and isinstance(control, Tensor)):
            with torch.no_grad():
                found = self.length(as_tensor(state), as_tensor(control), parameters)
            return found.to(torch.float64).cpu().numpy()
        sigma = self.sigma_at(1.0) if parameters is None else self._sigma(parameters)
        z = _normalize(self.model, state, control)
        if isinstance(self.model, ValueModel) and self.model.calibration is not None:
            return self.model.calibrated_length(z, sigma)
        return self.model.distance_gradient(z, sigma).square().sum(-1).sqrt()

    def to(self, dtype: torch.dtype) -> "DataDistance":
        """Return the term with its model converted to `dtype`."""
        return replace(self, model=cast(self.model, dtype))

    def as_constraint(self) -> StageConstraint:
        """Return the constraint length <= `upper`, written as gain² (d_σ - d_σ⁰) <= upper²/2, which is smooth.

        Raises:
            IncompatibleError: the model has no value, since the residual energy vanishes in holes and certifies
                nothing; or it is not calibrated.
            OptionError: `upper` is not set to a positive length, `schedule` varies, or `weight`, `weighting` or `form`
                is set, which belong to a cost.
        """
        if not isinstance(self.model, ValueModel):
            raise IncompatibleError(_no_value(self, "a constraint"))
        if self.model.calibration is None:
            raise IncompatibleError(f"{self.name}: {type(self.model).__name__} {NOT_CALIBRATED}")
        if self.upper is None or not self.upper > 0.0:
            raise OptionError(
                f"{self.name}: as a constraint it needs upper= a positive length, not {self.upper}. For a cost, put it "
                "into stage_costs= in place of constraints=."
            )
        for name, default in (("weight", 1.0), ("weighting", "sigma2"), ("form", None)):
            if getattr(self, name) != default:
                raise OptionError(
                    f"{self.name}: {name}= {getattr(self, name)!r} matters only among the stage costs; put the "
                    f"distance there, or leave {name}= out for a constraint."
                )
        if self.annealed:
            raise OptionError(
                f"{self.name}: a constraint holds at one noise level, and of schedule= only the end would count; give "
                f"sigma={self.sigma_at(1.0):g} in its place."
            )
        margin = DistanceMargin(self.model, self.model.calibration, self.sigma_at(1.0), self.next_state)
        return StageConstraint(margin, upper=0.5 * self.upper**2, name=self.name, next_state=self.next_state)

    def _check_sigma(self) -> None:
        if self.model.sigma_range is None:
            if self.sigma is not None or self.schedule is not None or self.weighting != "sigma2":
                raise OptionError(
                    f"{self.name}: {type(self.model).__name__} has no noise levels: leave out sigma= and schedule=, "
                    'and keep weighting="sigma2", which then is weight times the value.'
                )
            return
        if (self.sigma is None) == (self.schedule is None):
            raise OptionError(f"{self.name}: give either sigma= or schedule=, not both or neither.")
        for level in (self.sigma_at(0.0), self.sigma_at(1.0)):
            self._check_level(level, self.model.sigma_range)

    def _check_level(self, sigma: float, sigma_range: tuple[float, float]) -> None:
        try:
            check_sigma(sigma, sigma_range)
        except OptionError as error:
            low, high = sigma_range
            raise OptionError(
                f"{self.name}: sigma = {sigma} lies outside the range [{low}, {high}] of its model."
            ) from error

    def _sigma(self, parameters: Parameters) -> Any:
        return parameters.number(f"{self.name}.sigma", self.sigma_at(parameters.progress))

    def _factor(self, parameters: Parameters) -> Any:
        weight = parameters.number(f"{self.name}.weight", self.weight)
        return weight if self.weighting == "sigma2" else weight / self._sigma(parameters) ** 2

    def _value(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        model = self.model
        if not isinstance(model, ValueModel):
            raise IncompatibleError(_no_value(self, "a value"))
        distance = model.distance(_normalize(model, state, control), self._sigma(parameters))
        cost: Tensor = self._factor(parameters) * distance
        return cost

    def _residual(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        z = _normalize(self.model, state, control)
        pull = self.model.distance_gradient(z, self._sigma(parameters))
        cost: Tensor = self._factor(parameters) * 0.5 * pull.square().sum(-1)
        return cost

    def _field(self, state: Tensor, control: Tensor, parameters: Parameters) -> Tensor:
        z = _normalize(self.model, state, control)
        with torch.no_grad():
            pull = self.model.distance_gradient(z, self._sigma(parameters))
        cost: Tensor = self._factor(parameters) * (z * pull).sum(-1)
        return cost


class DistanceMargin(torch.nn.Module):
    """gain² (d_σ - d_σ⁰) of a model at one σ, half a squared length, as constraint rows `(..., 1)`."""

    def __init__(self, model: ValueModel, calibration: Calibration, sigma: float, next_state: bool = False) -> None:
        super().__init__()
        self.model, self.sigma, self.offset = model, sigma, float(calibration.offset(sigma))
        self.square, self.next_state = calibration.gain**2, next_state

    def forward(self, state: Tensor, control: Tensor, *following: Tensor) -> Tensor:
        """Return the margin for state `(..., n)`, control `(..., m)` and, of a model of (x, u, x'), the next state."""
        return self._margin(state, torch.cat([control, *following], dim=-1))[..., None]

    def length(self, state: Tensor, control: Tensor, parameters: Parameters | None = None) -> Tensor:
        """Return the calibrated length to the data `(...)`, as `DataDistance` does; its σ is that of the bound."""
        return (2.0 * self._margin(state, control).clamp_min(0.0)).sqrt()

    def _margin(self, state: Tensor, control: Tensor) -> Tensor:
        return self.square * (self.model.distance(_normalize(self.model, state, control), self.sigma) - self.offset)


def _normalize(model: GradientModel, state: Tensor, control: Tensor) -> Tensor:
    """Return z in the precision of the model, which need not be that of the dynamics."""
    dtype = parameter_dtype(model)
    return model.normalize(state.to(dtype), control.to(dtype))


def _no_value(term: DataDistance, purpose: str) -> str:
    return (
        f"{term.name}: {type(term.model).__name__} has a gradient only, so it cannot serve as {purpose}. "
        "Use an EnergyNetwork, ExactSmoothedDistance or another model with a value."
    )
