"""Limited-memory BFGS for a batch of programs, within bounds, constraints by an augmented Lagrangian."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.formulations.evaluation import Evaluation, Weigh
from trajopt_sgp.options import check_counts, check_positive
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.annealing import schedule
from trajopt_sgp.solvers.augmented_lagrangian import AugmentedLagrangian
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.batch import IterationLog, ProgramBatch
from trajopt_sgp.solvers.best_iterates import BestIterates
from trajopt_sgp.solvers.penalty_metric import PenaltyMetric

_ARMIJO = 1e-4
_CURVATURE = 0.9
_LAST_TRIAL = 30
_LAST_CURVATURE_TRIAL = 8
_FIRST_STEP = 0.1
_REFRESH = 10
_NEARBY, _LEAST_GRADIENT = 0.5, 0.01
# In scaled variables: what lies far away, where models mean nothing, is not tried.
_LONGEST_STEP = 1.0
_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-8}
_SINGLE_FEASIBILITY = 2e-5
# What counts as feasible in an iterate of a program that has not converged.
_NEARLY_FEASIBLE = 1e-5
_LARGEST_PENALTIES = {torch.float32: 1e4, torch.float64: 1e8}


@dataclass(frozen=True)
class LBFGS(Solver):
    """Projected L-BFGS; every program of a batch has its own memory and line search, all are evaluated in one call.

    Variables at a bound that the gradient pushes against are held, the others move along the quasi-Newton direction,
    projected onto the bounds, to a point that satisfies the weak Wolfe conditions. Constraints, the dynamics of a
    transcription among them, are met by an augmented Lagrangian, whose multipliers move when the search has converged;
    the curvature of its penalties is known, and the memory learns the rest.
    Where a distance to data is annealed, the program is solved at `stages` places of its schedule, each from the
    solution of the one before; only the last is solved to the tolerance.

    Sources: J. Nocedal and S. J. Wright, Numerical Optimization, algorithms 7.4 and 17.4; D. P. Bertsekas, Projected
    Newton methods, SIAM J. Control and Optimization 20 (1982); the line search by bisection is that of A. S. Lewis and
    M. L. Overton, Nonsmooth optimization via quasi-Newton methods, Mathematical Programming 141 (2013).
    """

    max_iterations: int = 2000
    """Evaluations of each program, per stage, at most; a step takes one, more where its length must be changed."""
    tolerance: float | None = None
    """Of the projected gradient of the Lagrangian, objective scaled to a gradient of 1 at the guess where it is larger,
    beside constraints also where it is smaller, up to a hundredfold; 1e-8 if not given, 1e-4 if any model of the
    problem is in float32."""
    feasibility: float | None = None
    """Largest violation of a scaled constraint, and of complementarity; if not given as `tolerance`, but 2e-5 with a
    model in float32 where `tolerance` is not given either."""
    memory: int = 30
    """Steps from which curvature is estimated."""
    stages: int = 4
    """Places on the annealing schedule; 1 solves at its end only."""
    stage_tolerance: float = 1e-3
    """As `tolerance`, in the stages before the last."""
    penalty: float = 300.0
    """First penalty of constraints in the augmented Lagrangian."""
    starts: int = 1
    """Guesses made where the user gives fewer: the first as given, the rest at random."""

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = None

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("max_iterations", "memory", "stages", "starts")}
        check_counts("LBFGS", **counts)
        names = ("tolerance", "feasibility", "stage_tolerance", "penalty")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        check_positive("LBFGS", **given)

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Every program can be solved; nothing is built."""
        return lambda start: _Search(self, program, start).run()

    def tolerances(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return the tolerance of the projected gradient and of the constraints for a model of some precision."""
        own = _TOLERANCES.get(dtype, 1e-4)
        tolerance = own if self.tolerance is None else self.tolerance
        if self.feasibility is not None:
            return tolerance, self.feasibility
        # violations can be made smaller than gradients, and what they gain is multiplied by large multipliers
        return tolerance, tolerance if self.tolerance is not None else min(own, _SINGLE_FEASIBILITY)


class _Memory:
    """The last steps and changes of the gradient, `(M, P, size)`; pairs without positive curvature count as none."""

    def __init__(self, length: int, like: Tensor) -> None:
        self.steps = like.new_zeros((length, *like.shape))
        self.changes = like.new_zeros((length, *like.shape))

    def push(self, members: Tensor, step: Tensor, change: Tensor) -> None:
        for store, new in ((self.steps, step), (self.changes, change)):
            store[:, members] = torch.cat([store[1:, members], new[None]])

    def clear(self, members: Tensor) -> None:
        self.steps[:, members] = 0.0
        self.changes[:, members] = 0.0

    def direction(self, members: Tensor, gradient: Tensor, free: Tensor, metric: PenaltyMetric) -> Tensor:
        """Return -H g on the free variables, by the two-loop recursion with the pairs restricted to them."""
        steps, changes = self.steps[:, members] * free, self.changes[:, members] * free
        products = (steps * changes).sum(-1)
        threshold = torch.finfo(gradient.dtype).eps * changes.square().sum(-1)
        weights = torch.where(products > threshold, 1.0 / products, 0.0)
        q = gradient * free
        scale = _FIRST_STEP / q.abs().amax(-1).clamp_min(_FIRST_STEP)
        shares = []
        for s, y, w in zip(reversed(steps), reversed(changes), reversed(weights), strict=True):
            shares.append(w * (s * q).sum(-1))
            q = q - shares[-1][:, None] * y
        for y, w in zip(changes, weights, strict=True):
            scale = torch.where(w > 0.0, 1.0 / (w * y.square().sum(-1)), scale)
        q = metric.solve(members, q, free) if metric.active else scale[:, None] * q
        for s, y, w, share in zip(steps, changes, weights, reversed(shares), strict=True):
            q = q + (share - w * (y * q).sum(-1))[:, None] * s
        return -q * free


class _Search:
    """One run over a batch of P programs. Every program is at its own trial of its own step."""

    def __init__(self, settings: LBFGS, program: NonlinearProgram, start: Start) -> None:
        self.settings, self.batch = settings, ProgramBatch(program, start)
        batch, dtype = self.batch, program.problem.coarsest_dtype
        self.tolerance, self.feasibility = settings.tolerances(dtype)
        self.lagrangian = AugmentedLagrangian(
            batch.row_lower, batch.row_upper, batch.count, settings.penalty, 10.0, _LARGEST_PENALTIES.get(dtype, 1e4)
        )
        self.metric = PenaltyMetric(batch, self.lagrangian)
        self.places = schedule(program, settings.stages, warm=bool(start.multipliers))
        self.point = batch.guess.clone()
        self.gradient, self.direction = torch.zeros_like(self.point), torch.zeros_like(self.point)
        self.rows = self.point.new_zeros((batch.count, len(batch.row_lower)))
        self.memory = _Memory(settings.memory, self.point)
        self.best = BestIterates(self.point, max(self.feasibility, _NEARLY_FEASIBLE))
        zeros = self.point.new_zeros(batch.count)
        self.value, self.slope, self.stationarity, self.merit = (zeros.clone() for _ in range(4))
        self.length, self.shortest, self.longest = (zeros.clone() for _ in range(3))
        self.inner = zeros.clone()
        """Tolerance of the projected gradient at which the multipliers move, `(P,)`."""
        self.scale = torch.ones_like(zeros)
        """Factor of the objective, `(P,)`."""
        self.trials = torch.zeros(batch.count, dtype=torch.int64)
        self.moves = torch.zeros(batch.count, dtype=torch.int64)
        self.fresh, self.steepest, self.moved, self.done, self.solved, self.stranded = (
            torch.zeros(batch.count, dtype=torch.bool) for _ in range(6)
        )
        self.log = IterationLog(batch.count)
        if start.multipliers:
            self._warm_start(start.multipliers)

    def run(self) -> list[Outcome]:
        status: Status | None = None
        self._scale_objectives()
        with self.batch.limits:
            for progress in self.places:
                status = self._stage(progress)
                if status in (Status.TIME_LIMIT, Status.INTERRUPTED):
                    break
        return self._outcomes(status)

    def _warm_start(self, multipliers: Any) -> None:
        rows = np.stack([entry["constraints"] for entry in multipliers])
        self.lagrangian.multipliers = torch.as_tensor(rows, dtype=self.point.dtype)

    def _scale_objectives(self) -> None:
        """Make gradients of order one: smaller ones only beside constraints, and not where the guess is special."""
        largest = self._largest_gradient(self.point)
        if len(self.batch.row_lower):
            nearby = self._largest_gradient(self.batch.project(self.point + _NEARBY)).nan_to_num(nan=0.0)
            largest = torch.maximum(largest, nearby.clamp(_LEAST_GRADIENT, 1.0))
        else:
            largest = largest.clamp_min(1.0)
        self.scale = torch.where(torch.isfinite(largest), 1.0 / largest, 1.0)
        self.lagrangian.multipliers = self.lagrangian.multipliers * self.scale[:, None]

    def _largest_gradient(self, point: Tensor) -> Tensor:
        gradient = self.batch.evaluate_with_gradient(point, self.places[0])[1]
        return gradient.abs().amax(-1)

    def _stage(self, progress: float) -> Status:
        last = progress == 1.0
        tolerance = self.tolerance if last else max(self.tolerance, self.settings.stage_tolerance)
        feasibility = self.feasibility if last else max(self.feasibility, self.settings.stage_tolerance)
        self.done[:], self.solved[:], self.stranded[:] = False, False, False
        self.fresh[:], self.moved[:] = True, False
        self.inner[:] = max(tolerance, 0.01) if len(self.batch.row_lower) else tolerance
        self.memory.clear(torch.arange(self.batch.count))
        for _ in range(self.settings.max_iterations):
            members = torch.nonzero(~self.done)[:, 0]
            self._iterate(members, progress, tolerance, feasibility)
            status = self.batch.limits.reached()
            if status is not None:
                return status
            if self.done.all():
                break
        return Status.ITERATION_LIMIT

    def _iterate(self, members: Tensor, progress: float, tolerance: float, feasibility: float) -> None:
        before, moved = self.point[members], self.length[members, None] * self.direction[members]
        aim = before + torch.where(self.fresh[members, None], 0.0, moved)
        trial = self.batch.project(aim, members)
        value, gradient, rows = self._evaluate(trial, members, progress)
        accepted = self._accept(members, trial - before, (trial != aim).any(-1), value, gradient)
        taken = members[accepted]
        self._move(taken, trial[accepted], value[accepted], gradient[accepted], rows[accepted])
        self._decide(taken, tolerance, feasibility)
        failed = members[~accepted & (self.trials[members] >= _LAST_TRIAL)]
        self._give_up(failed, tolerance, feasibility)
        self._log(members, progress)

    def _evaluate(self, trial: Tensor, members: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return augmented objective, gradient and rows; the objective is infinite where something is not finite."""

        def augmented(found: Evaluation) -> Tensor:
            return self.scale[members] * found.objective + self.lagrangian.term(found.rows, members)

        found, gradient = self._differentiate(trial, members, progress, augmented)
        value, rows = augmented(found), found.rows
        finite = torch.isfinite(value) & torch.isfinite(gradient).all(-1)
        violation = self.batch.violation(rows)
        merit = torch.where(torch.isfinite(value), found.merit, torch.inf)
        self.merit[members] = merit
        self.best.keep_some(members, trial, merit, violation)
        return torch.where(finite, value, torch.inf), gradient, rows

    def _differentiate(
        self, trial: Tensor, members: Tensor, progress: float, augmented: Weigh
    ) -> tuple[Evaluation, Tensor]:
        """Return an evaluation and the gradient of the augmented objective."""
        if len(self.batch.row_lower):
            return self.batch.evaluate_with_gradient(trial, progress, members, augmented)
        found, gradient = self.batch.evaluate_with_gradient(trial, progress, members)
        return found, self.scale[members, None] * gradient

    def _accept(self, members: Tensor, step: Tensor, clipped: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """Test the weak Wolfe conditions, and set the next length where they fail."""
        before, slope, fresh = self.value[members], self.slope[members], self.fresh[members]
        rounding = 10.0 * torch.finfo(value.dtype).eps * before.abs().clamp_min(1.0)
        low = value <= before + _ARMIJO * (self.gradient[members] * step).sum(-1) + rounding
        flat = (gradient * self.direction[members]).sum(-1) >= _CURVATURE * slope
        low = torch.isfinite(value) & (low | fresh)
        accepted = low & (flat | fresh | clipped | (self.trials[members] >= _LAST_CURVATURE_TRIAL))
        length = self.length[members]
        shortest = torch.where(low, length, self.shortest[members])
        longest = torch.where(low, self.longest[members], length)
        curvature = value - before - slope * length
        best = torch.where(curvature > 0.0, -0.5 * slope * length.square() / curvature, 0.0)
        middle = torch.where(shortest > 0.0, 0.5 * (shortest + longest), best.clamp(0.1 * length, 0.5 * length))
        self.shortest[members], self.longest[members] = shortest, longest
        self.length[members] = torch.where(torch.isinf(longest), 2.0 * length, middle)
        self.trials[members] += 1
        # a guess that is not finite cannot be left
        self.trials[members[fresh & ~low]] = _LAST_TRIAL
        return accepted

    def _move(self, members: Tensor, point: Tensor, value: Tensor, gradient: Tensor, rows: Tensor) -> None:
        fresh = self.fresh[members]
        pairs = members[~fresh]
        step, change = (point - self.point[members])[~fresh], (gradient - self.gradient[members])[~fresh]
        self.memory.push(pairs, step, change)
        if self.metric.active:
            self.metric.observe(pairs, step, change)
            self.moves[members] += 1
            old = fresh | (self.moves[members] % _REFRESH == 0)
            self.metric.refresh(members[old], point[old], rows[old])
        self.point[members], self.value[members], self.gradient[members] = point, value, gradient
        self.rows[members] = rows
        self.stationarity[members] = (self.batch.project(point - gradient, members) - point).abs().amax(-1)
        self.moved[pairs] = True
        self.fresh[members], self.steepest[members] = False, False

    def _decide(self, members: Tensor, tolerance: float, feasibility: float) -> None:
        """End programs that are solved, move multipliers where the search has converged, go on elsewhere."""
        stationarity = self.stationarity[members]
        residual = self.lagrangian.residual(self.rows[members], members)
        solved = (stationarity <= tolerance) & (residual <= feasibility)
        self.solved[members], self.done[members] = solved, solved
        converged = ~solved & (stationarity <= self.inner[members])
        self._update_multipliers(members[converged], tolerance, feasibility)
        self._turn(members[~solved & ~converged])

    def _update_multipliers(self, members: Tensor, tolerance: float, feasibility: float) -> None:
        exhausted = (self.lagrangian.residual(self.rows[members], members) > feasibility) & self.lagrangian.exhausted(
            self.rows[members], members
        )
        self.done[members[exhausted]] = True
        members = members[~exhausted]
        residual = self.lagrangian.residual(self.rows[members], members)
        raised = self.lagrangian.update(self.rows[members], members)
        self.memory.clear(members[raised])
        self.inner[members] = (0.1 * torch.minimum(self.inner[members], residual)).clamp_min(tolerance)
        self.fresh[members], self.moved[members] = True, False
        self.trials[members] = 0

    def _turn(self, members: Tensor) -> None:
        """Choose a direction, and begin a line search along it."""
        point, gradient = self.point[members], self.gradient[members]
        lower, upper = self.batch.lower[members], self.batch.upper[members]
        free = ~(((point <= lower) & (gradient > 0.0)) | ((point >= upper) & (gradient < 0.0)))
        direction = self.memory.direction(members, gradient, free, self.metric)
        direction = direction * (_LONGEST_STEP / direction.abs().amax(-1, keepdim=True)).clamp_max(1.0)
        slope = (gradient * direction).sum(-1)
        self.direction[members], self.slope[members] = direction, slope
        self.length[members], self.shortest[members], self.longest[members] = 1.0, 0.0, torch.inf
        self.trials[members] = 0

    def _give_up(self, members: Tensor, tolerance: float, feasibility: float) -> None:
        """Where no step was found, forget the curvature, then move the multipliers, then end."""
        self.stranded[members[self.fresh[members]]] = True
        finite = torch.isfinite(self.value[members]) & ~self.fresh[members]
        again = finite & ~self.steepest[members]
        self.memory.clear(members[again])
        self.steepest[members[again]] = True
        self._turn(members[again])
        residual = self.lagrangian.residual(self.rows[members], members)
        update = finite & ~again & (residual > feasibility) & self.moved[members]
        self._update_multipliers(members[update], tolerance, feasibility)
        self.done[members[~again & ~update]] = True

    def _log(self, members: Tensor, progress: float) -> None:
        live = torch.zeros_like(self.done)
        live[members] = True
        violation = self.batch.violation(self.rows)
        self.log.add(
            live,
            {"progress": progress},
            merit=self.merit,
            best=self.best.merit,
            violation=violation,
            stationarity=self.stationarity,
            penalty=self.lagrangian.penalty[:, 0],
        )

    def _outcomes(self, ended: Status | None) -> list[Outcome]:
        # a solved program returns the point that is; another one the best that was seen
        self.best.put(self.solved, self.point, self.merit, self.batch.violation(self.rows))
        self.best.judge(self.batch)
        return self.best.outcomes(
            self.batch,
            ended=[self._status(p, ended) for p in range(self.batch.count)],
            log=self.log,
            multipliers=self._multipliers(),
        )

    def _status(self, member: int, ended: Status | None) -> Status:
        if bool(self.solved[member]):
            return Status.SOLVED
        if bool(self.stranded[member]):
            return Status.NOT_FINITE
        return Status.CONVERGED if bool(self.done[member]) or ended is None else ended

    def _multipliers(self) -> list[Mapping[str, Any]]:
        """Return the multipliers of rows and bounds at the last points, for the objective as the user gave it."""
        scale = self.scale[:, None]
        rows = self.lagrangian.estimate(self.rows) / scale
        held = (self.point <= self.batch.lower) | (self.point >= self.batch.upper)
        bounds = torch.where(held, -self.gradient / scale, 0.0)
        arrays = (rows.to(torch.float64).numpy(), bounds.to(torch.float64).numpy())
        return [{"constraints": own, "bounds": reduced} for own, reduced in zip(*arrays, strict=True)]
