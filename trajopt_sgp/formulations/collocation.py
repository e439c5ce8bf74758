"""Collocation: the states are piecewise polynomials that satisfy dx/dt = f(x, u) at chosen points.

Every scheme is a table. In an interval of duration h, with states X_i and rates F_i = f(X_i, U_i) at its points, a
defect reads sum_j P_j X_j - h sum_j Q_j F_j = 0.

Sources: trapezoidal and Hermite-Simpson, J. T. Betts, Practical Methods for Optimal Control Using Nonlinear
Programming, sections 3.5 and 4.5, and M. Kelly, An Introduction to Trajectory Optimization, SIAM Review 59 (2017);
orthogonal, L. T. Biegler, Nonlinear Programming (2010), chapter 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
import torch
from numpy.polynomial import legendre, polynomial
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.stage_term import LinearPart, Parameters, StageTerm, TermFunction
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.layout import Layout
from trajopt_sgp.formulations.mesh_error import mesh_error
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.scaling import state_scale
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.formulations.term_builder import TermBuilder
from trajopt_sgp.options import check_choice, check_count
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.problem.curve import Curve, integrate_slopes, interpolate, lagrange_basis
from trajopt_sgp.problem.dynamics import is_continuous


@dataclass(frozen=True)
class Defect:
    """One equation of a scheme, for all states of an interval."""

    states: Mapping[float, float]
    """P by point."""
    rates: Mapping[float, float]
    """Q by point; empty for an equation of states alone."""
    label: str = ""
    """What tells it from the others of its interval, in messages."""


@dataclass(frozen=True)
class Scheme:
    """A collocation scheme on the unit interval; points are fractions of it."""

    defects: Sequence[Defect]
    """One for each state variable of an interval."""
    quadrature: Mapping[float, float]
    """Weights of the integral by point; controls are variables at these points."""
    inner_states: Sequence[float]
    """Points other than 0 and 1 at which states are variables."""
    last_control: bool
    """Whether the knots have controls, so that the last one has one too."""
    states_through: Sequence[float] | None = None
    """Points whose states the polynomial goes through; None where its rate goes through those of `quadrature`."""


@dataclass(frozen=True)
class TrapezoidalCollocation(Formulation):
    """Controls linear, states quadratic between the knots; order 2."""

    @property
    def mesh_error_order(self) -> int:
        """Of quadratic states."""
        return 3

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program.

        Raises:
            IncompatibleError: the dynamics are discrete.
        """
        half = {0.0: 0.5, 1.0: 0.5}
        scheme = Scheme([Defect({0.0: -1.0, 1.0: 1.0}, half)], half, (), last_control=True)
        return collocate(self, scheme, problem, needs_value)


@dataclass(frozen=True)
class HermiteSimpson(Formulation):
    """Controls quadratic, states cubic; knots and midpoints are variables (the separated form); order 4."""

    @property
    def mesh_error_order(self) -> int:
        """Of cubic states."""
        return 4

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program.

        Raises:
            IncompatibleError: the dynamics are discrete.
        """
        simpson = {0.0: 1.0 / 6.0, 0.5: 4.0 / 6.0, 1.0: 1.0 / 6.0}
        defects = [
            Defect({0.0: -1.0, 1.0: 1.0}, simpson),
            Defect({0.0: -0.5, 0.5: 1.0, 1.0: -0.5}, {0.0: 0.125, 1.0: -0.125}, "midpoint"),
        ]
        return collocate(self, Scheme(defects, simpson, (0.5,), last_control=True), problem, needs_value)


@dataclass(frozen=True)
class OrthogonalCollocation(Formulation):
    """States of degree d through x_k and d collocation points, controls of degree d-1 through these points.

    Order 2d - 1 with Radau points, the last of which is the end of the interval; 2d with Legendre points.
    """

    degree: int = 3
    """Number of collocation points d of an interval."""
    points: Literal["radau", "legendre"] = "radau"
    """Which."""

    def __post_init__(self) -> None:
        check_count(self.name, "degree", self.degree, most=9)
        check_choice(self.name, "points", self.points, ("radau", "legendre"))

    @property
    def mesh_error_order(self) -> int:
        """Of states of degree d."""
        return self.degree + 1

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        """Make the program.

        Raises:
            IncompatibleError: the dynamics are discrete.
        """
        points = collocation_points(self.degree, self.points)
        through = [0.0, *points]
        basis = lagrange_basis(np.array(through))
        slopes = np.stack([polynomial.polyval(np.array(points), polynomial.polyder(row)) for row in basis])
        defects = [
            Defect(dict(zip(through, slopes[:, i], strict=True)), {point: 1.0}, f"point {i + 1}" if i else "")
            for i, point in enumerate(points)
        ]
        inner = [point for point in points if point < 1.0]
        if self.points == "legendre":
            ends = {point: -float(row.sum()) for point, row in zip(through, basis, strict=True)}
            defects.append(Defect({**ends, 1.0: 1.0}, {}, "end"))
        weights = [float(polynomial.polyval(1.0, polynomial.polyint(row))) for row in lagrange_basis(np.array(points))]
        quadrature = dict(zip(points, weights, strict=True))
        return collocate(self, Scheme(defects, quadrature, inner, False, through), problem, needs_value)


def collocation_points(degree: int, kind: str) -> list[float]:
    """Return d points in (0, 1]: the roots of the Legendre polynomial, or those of Radau, which hold the end."""
    if kind == "legendre":
        roots = legendre.leggauss(degree)[0]
    else:
        # Radau's points are the roots of P_{d-1} + P_d, which begin at -1; turned round they end at 1
        series = np.zeros(degree + 1)
        series[degree - 1 :] = 1.0
        roots = -legendre.legroots(series)
    points = sorted(0.5 * (1.0 + roots))
    return [1.0 if abs(p - 1.0) < 1e-9 else float(p) for p in points]


def collocate(
    formulation: Formulation, scheme: Scheme, problem: OptimalControlProblem, needs_value: bool
) -> NonlinearProgram:
    """Make the program of a scheme.

    Raises:
        IncompatibleError: the dynamics are discrete, or missing.
    """
    if not is_continuous(problem.dynamics):
        raise IncompatibleError(
            f"{formulation.name} needs the rate of the state: give ContinuousDynamics(dx/dt, n, m). For a "
            "discrete-time model use DirectTranscription, MultipleShooting or SingleShooting."
        )
    return _Collocation(problem, scheme, Stepper(problem), needs_value).program(formulation)


@dataclass(frozen=True, eq=False)
class _Collocation:
    problem: OptimalControlProblem
    scheme: Scheme
    stepper: Stepper
    needs_value: bool

    def program(self, formulation: Formulation) -> NonlinearProgram:
        scheme = self.scheme
        controls = [point for point in scheme.quadrature if not (scheme.last_control and point == 1.0)]
        layout = Layout.of(self.problem, scheme.inner_states, controls, scheme.last_control)
        builder = TermBuilder(self.problem, layout, layout.points(scheme.quadrature), self.needs_value)
        builder.constraints += self._dynamics(builder)
        builder.add_costs()
        builder.add_constraints()
        return builder.program(
            formulation,
            curves=_Curves(self, layout),
            estimate_mesh_error=lambda plan, values: mesh_error(self.stepper, plan, values),
        )

    def _dynamics(self, builder: TermBuilder) -> list[StageTerm]:
        """Return the defects, those that use rates at equally many points in one term."""
        groups: dict[int, list[Defect]] = {}
        for defect in self.scheme.defects:
            groups.setdefault(len(defect.rates), []).append(defect)
        if set(groups) <= {0, 1}:
            return [
                self._term(builder, defects, "defect" if count else "continuity") for count, defects in groups.items()
            ]
        return [self._joint_term(builder)]

    def _term(self, builder: TermBuilder, defects: Sequence[Defect], name: str) -> StageTerm:
        """Return a term whose instances are the defects of all intervals, each with the rate at one point or none."""
        layout, horizon, count = builder.layout, self.problem.horizon, len(defects)
        n, units = self.problem.state_size, state_scale(self.problem)
        points = [next(iter(defect.rates), 0.0) for defect in defects]
        position = np.add.outer(np.arange(horizon), points).ravel()
        through = list(dict.fromkeys(point for defect in defects for point in defect.states))
        coefficients = np.array([[defect.states.get(point, 0.0) for point in through] for defect in defects])
        matrix = np.tile(np.kron(coefficients[:, None, :], np.eye(n)), (horizon, 1, 1))
        linear = LinearPart(
            matrix,
            np.repeat(np.hstack([layout.states[p] for p in through]), count, axis=0),
            np.tile(units, len(through)),
        )
        states = np.stack([layout.states[p] for p in points], axis=1).reshape(-1, n)
        if name == "continuity":
            index, function = np.zeros((horizon * count, 0), dtype=np.int64), None
        else:
            controls = np.stack([layout.controls[p] for p in points], axis=1).reshape(horizon * count, -1)
            index, function = (
                layout.with_duration(states, controls),
                self._rate(layout, np.repeat(self.problem.grid.shares, count)),
            )
        return builder.term(
            name,
            index,
            function,
            np.minimum(position, horizon - 1e-6) if function is None else position,
            knots=np.repeat(np.arange(horizon), count),
            labels=tuple(defect.label for defect in defects) * horizon,
            row_names=self.problem.state_labels,
            row_scale=1.0 / units,
            lower=np.zeros(n),
            upper=np.zeros(n),
            linear=linear,
        )

    def _rate(self, layout: Layout, shares: FloatArray) -> TermFunction:
        """Return -h f(x, u) at one point of each instance."""
        n, m = self.problem.state_size, self.problem.control_size

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            span = torch.as_tensor(shares, dtype=z.dtype) * layout.duration_from(z[..., n + m :])
            rate = self.stepper.derivative(z[..., :n], z[..., n : n + m], parameters)
            return -span[..., None] * rate

        return rows

    def _joint_term(self, builder: TermBuilder) -> StageTerm:
        """Return a term with one instance for each interval, all its defects and the rates at all its points."""
        layout, n, m = builder.layout, self.problem.state_size, self.problem.control_size
        points, defects = list(self.scheme.quadrature), self.scheme.defects
        weights = [[defect.rates.get(point, 0.0) for point in points] for defect in defects]
        shares, horizon = self.problem.grid.shares, self.problem.horizon
        width = n + m

        def rows(z: Tensor, parameters: Parameters) -> Tensor:
            span = torch.as_tensor(shares, dtype=z.dtype) * layout.duration_from(z[..., len(points) * width :])
            rates = [
                self.stepper.derivative(
                    z[..., i * width : i * width + n],
                    z[..., i * width + n : (i + 1) * width],
                    parameters.local(np.arange(horizon, dtype=np.float64) + point),
                )
                for i, point in enumerate(points)
            ]
            combined = [reduce(torch.add, [w * r for w, r in zip(row, rates, strict=True) if w]) for row in weights]
            return -span[..., None] * torch.cat(combined, dim=-1)

        coefficients = np.array([[defect.states.get(point, 0.0) for point in points] for defect in defects])
        units, names = state_scale(self.problem), self.problem.state_labels
        labels = [f", {defect.label}" if defect.label else "" for defect in defects]
        parts = [part for point in points for part in (layout.states[point], layout.controls[point])]
        return StageTerm(
            name="defect",
            function=rows,
            index=layout.with_duration(*parts),
            scale=builder.scale[layout.with_duration(*parts)[0]],
            knots=np.arange(horizon),
            row_names=tuple(f"{name}{label}" for label in labels for name in names),
            row_scale=np.tile(1.0 / units, len(defects)),
            lower=np.zeros(n * len(defects)),
            upper=np.zeros(n * len(defects)),
            linear=LinearPart(
                np.kron(coefficients, np.eye(n)),
                np.hstack([layout.states[point] for point in points]),
                np.tile(units, len(points)),
            ),
        )


@dataclass(frozen=True, eq=False)
class _Curves:
    """The polynomials of a scheme, from its variables."""

    collocation: _Collocation
    layout: Layout

    def __call__(self, values: FloatArray, parameters: Parameters) -> tuple[Curve, Curve]:
        scheme, layout = self.collocation.scheme, self.layout
        points = list(scheme.quadrature)
        controls = np.stack([values[layout.controls[p]] for p in points], axis=1)
        control_curve = interpolate(np.array(points), controls)
        if scheme.states_through is not None:
            through = np.stack([values[layout.states[p]] for p in scheme.states_through], axis=1)
            return interpolate(np.array(scheme.states_through), through), control_curve
        grid = self.collocation.problem.grid
        knots, stepper = np.arange(grid.shares.size, dtype=np.float64), self.collocation.stepper
        rates = [
            stepper.rates(values[layout.states[point]], controls[:, i], parameters.local(knots + point))
            for i, point in enumerate(points)
        ]
        slopes = (grid.shares * layout.duration_of(values))[:, None, None] * np.stack(rates, axis=1)
        return integrate_slopes(values[layout.states[0.0]], np.array(points), slopes), control_curve
