"""States and controls at the knots of a plan, and between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem.curve import Curve


@runtime_checkable
class Planned(Protocol):
    """What holds a trajectory, as a solution does."""

    @property
    def trajectory(self) -> "Trajectory":
        """The plan."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """States and controls at the knots; leading dimensions, if any, are a batch.

    Between the knots a trajectory follows its curves, where its formulation has given it any; else states are linear
    and controls are held over each interval.

    Raises:
        ShapeError: states and controls do not fit together.
    """

    states: FloatArray
    """`(..., N+1, n)`."""
    controls: FloatArray
    """The first control of each interval, `(..., N, m)`: that of its beginning, or of its first collocation point."""
    time_step: float = 1.0
    """Mean duration of an interval [s]."""
    mesh: FloatArray | None = None
    """Shares of the duration that have passed at the knots, `(N+1,)`; equal intervals if not given."""
    state_curve: Curve | None = None
    """States between the knots."""
    control_curve: Curve | None = None
    """Controls between the knots."""

    def __post_init__(self) -> None:
        for name in ("states", "controls", "mesh"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        states, controls = self.states.shape, self.controls.shape
        if len(states) < 2 or len(states) != len(controls) or states[:-2] != controls[:-2]:
            raise ShapeError(
                f"A trajectory needs states (..., N+1, n) and controls (..., N, m), not {states}, {controls}."
            )
        if states[-2] != controls[-2] + 1:
            raise ShapeError(f"A trajectory has one state more than controls, not {states[-2]} and {controls[-2]}.")
        if self.mesh is not None and self.mesh.shape != (states[-2],):
            raise ShapeError(f"A trajectory of {controls[-2]} intervals needs a mesh ({states[-2]},).")

    def __repr__(self) -> str:
        many = "".join(f"{size} x " for size in self.controls.shape[:-2])
        sizes = f"N={self.horizon}, n={self.states.shape[-1]}, m={self.controls.shape[-1]}"
        return f"Trajectory({many}{sizes}, {self.duration:.4g} s)"

    @property
    def horizon(self) -> int:
        """Number of intervals N."""
        return int(self.controls.shape[-2])

    @property
    def duration(self) -> float:
        """Duration of the whole trajectory [s]."""
        return self.time_step * self.horizon

    @property
    def times(self) -> FloatArray:
        """Time of each knot `(N+1,)` [s]."""
        if self.mesh is None:
            return self.time_step * np.arange(self.horizon + 1, dtype=np.float64)
        return self.duration * self.mesh

    def sample(self, times: ArrayLike | float) -> tuple[FloatArray, FloatArray]:
        """Return states `(..., k, n)` and controls `(..., k, m)` at times `(k,)` [s] from the beginning.

        Raises:
            OptionError: a time lies outside the trajectory; names it.
        """
        when = np.atleast_1d(np.asarray(times, dtype=np.float64))
        end = float(self.times[-1])
        outside = ~((when >= -1e-12 * end) & (when <= end * (1.0 + 1e-12)))
        if outside.any():
            raise OptionError(f"time {when[outside][0]} s lies outside the plan, which runs from 0 to {end} s.")
        interval, fraction = self._locate(when)
        return self._at(interval, fraction)

    def at_fraction(self, fraction: float, mesh: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return states `(..., N', n)` and controls `(..., N', m)` at a fraction of every interval of a mesh `(N'+1,)`.

        At the end of an interval the controls are those just before it. Members of a batch share its curves, if any.
        """
        if self._has_knots(mesh):
            return self._at(np.arange(self.horizon), np.full(self.horizon, fraction))
        inside = min(fraction, 1.0 - 1e-9) if fraction > 0.0 else 0.0
        interval, part = self._locate((mesh[:-1] + inside * np.diff(mesh)) * self.duration)
        return self._at(interval, part)

    def states_at(self, mesh: FloatArray) -> FloatArray:
        """Return states `(..., N'+1, n)` at the knots of a mesh `(N'+1,)`; works on a batch as `at_fraction` does."""
        if self._has_knots(mesh):
            return self.states
        begin, end = self.at_fraction(0.0, mesh)[0], self.states[..., -1:, :]
        return np.concatenate([np.broadcast_to(begin, (*end.shape[:-2], *begin.shape[-2:])), end], axis=-2)

    def resample(self, horizon: int, mesh: FloatArray | None = None) -> "Trajectory":
        """Return the trajectory at other knots: a guess for a problem with another horizon or mesh."""
        shares = np.linspace(0.0, 1.0, horizon + 1) if mesh is None else mesh
        controls = self.at_fraction(0.0, shares)[1]
        return Trajectory(self.states_at(shares), controls, self.duration / horizon, mesh)

    def check_finite(self, name: str) -> "Trajectory":
        """Return the trajectory itself if every number is finite, else say where it is not.

        Raises:
            NotFiniteError: names array and knot.
        """
        for kind, array in (("state", self.states), ("control", self.controls)):
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                raise NotFiniteError(f"The {name} is not finite: {kind}[{bad[0][-1]}] at knot {bad[0][-2]}.")
        return self

    def shift(self, steps: int = 1) -> "Trajectory":
        """Drop the first `steps` intervals and repeat the last control and state, for the next solve of an MPC.

        On a mesh of unequal intervals the trajectory moves on by the time that the first `steps` take, under its knots.

        Raises:
            OptionError: `steps` is negative or more than there are.
        """
        if not 0 <= steps <= self.horizon:
            raise OptionError(f"steps = {steps}: a trajectory of {self.horizon} intervals can be shifted by 0 to that.")
        if self.mesh is not None:
            states, controls = self._at(*self._locate(self.times + self.times[steps]))
            return Trajectory(states, controls[..., :-1, :], self.time_step, self.mesh)
        knots = np.minimum(np.arange(self.horizon + 1) + steps, self.horizon)
        return Trajectory(
            self.states[..., knots, :], self.controls[..., self.intervals_after(steps), :], self.time_step
        )

    def intervals_after(self, steps: int) -> IntArray:
        """Return in which of these intervals those of the trajectory shifted by `steps` begin, `(N,)`."""
        if self.mesh is not None:
            return self._locate(self.times[:-1] + self.times[steps])[0]
        return np.minimum(np.arange(self.horizon) + steps, self.horizon - 1)

    @classmethod
    def stack(cls, plans: "Sequence[Trajectory | Planned]") -> "Trajectory":
        """Return a batch of trajectories, or of the plans of solutions: guesses for many initial states or starts.

        Between the knots the members of a batch are linear, since they would share their curves. A batch has one
        duration, the mean of theirs.

        Raises:
            OptionError: there is none.
            ShapeError: horizons, meshes, or numbers of states or controls differ.
        """
        parts = [plan if isinstance(plan, Trajectory) else plan.trajectory for plan in plans]
        if not parts:
            raise OptionError("Trajectory.stack needs at least one trajectory.")
        kinds = {(part.states.shape, part.controls.shape): k for k, part in enumerate(parts)}
        if len(kinds) > 1:
            named = ", ".join(f"{k}: states {kind[0]}, controls {kind[1]}" for kind, k in kinds.items())
            raise ShapeError(
                f"Trajectories of a batch must be alike, but there are {named}. `resample` brings them to one horizon."
            )
        meshes = [np.empty(0) if part.mesh is None else part.mesh for part in parts]
        if not all(np.array_equal(mesh, meshes[0]) for mesh in meshes):
            raise ShapeError("Trajectories of a batch share a mesh: `resample` brings them to one.")
        states, controls = np.stack([part.states for part in parts]), np.stack([part.controls for part in parts])
        first = parts[0].time_step
        # so that the mean of equal steps is that step to the last bit
        step = first + float(np.mean([part.time_step - first for part in parts]))
        return cls(states, controls, step, parts[0].mesh)

    def select(self, index: ArrayLike | int) -> "Trajectory":
        """Return one member, or a part, of a batch of trajectories."""
        chosen = np.asarray(index)
        return replace(self, states=self.states[chosen], controls=self.controls[chosen])

    def members(self) -> "list[Trajectory]":
        """Return the trajectories of a batch one by one; a single one is the only member of itself."""
        parts = (part.reshape(-1, *part.shape[-2:]) for part in (self.states, self.controls))
        return [replace(self, states=states, controls=controls) for states, controls in zip(*parts, strict=True)]

    def _has_knots(self, mesh: FloatArray) -> bool:
        """Return whether the knots of a mesh are those of the trajectory."""
        tolerance = 1e-9 * self.duration
        return len(mesh) == self.horizon + 1 and np.allclose(mesh * self.duration, self.times, rtol=0.0, atol=tolerance)

    def _locate(self, when: FloatArray) -> tuple[IntArray, FloatArray]:
        knots = self.times
        # a time that is a knot but for rounding belongs to the interval that begins there
        interval = np.clip(np.searchsorted(knots, when + 1e-10 * knots[-1], side="right") - 1, 0, self.horizon - 1)
        fraction = (when - knots[interval]) / (knots[interval + 1] - knots[interval])
        return interval, np.clip(fraction, 0.0, 1.0)

    def _at(self, interval: IntArray, fraction: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self.state_curve is None:
            share = fraction[:, None]
            states = (1.0 - share) * self.states[..., interval, :] + share * self.states[..., interval + 1, :]
        else:
            states = self._for_all(self.state_curve.at(interval, fraction))
        if self.control_curve is None:
            return states, self.controls[..., interval, :]
        return states, self._for_all(self.control_curve.at(interval, fraction))

    def _for_all(self, values: FloatArray) -> FloatArray:
        """Return values `(k, size)` along the curves for every member of the batch, of which each has these curves."""
        return np.broadcast_to(values, (*self.controls.shape[:-2], *values.shape))
