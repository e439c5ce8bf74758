"""First-order search of many starts in one batch, with annealed distances to data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.formulations.evaluation import Evaluation
from trajopt_sgp.options import check_choice, check_counts, check_positive, check_shares
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.annealing import AdaptiveAnnealing, AdaptivePlaces, Places, fixed_places
from trajopt_sgp.solvers.augmented_lagrangian import AugmentedLagrangian
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.batch import IterationLog, ProgramBatch
from trajopt_sgp.solvers.best_iterates import BestIterates
from trajopt_sgp.solvers.halving import better_half
from trajopt_sgp.solvers.tangent_steps import TangentSteps

_CONSTRAINED_BETAS = (0.9, 0.99)
# beyond this share of the first step the merit changes by what constraints are met better or worse
_LEAST_DECAY = 0.05
# a step down the gradient of the Lagrangian that is no longer than this ends at a minimum, in scaled variables
_STATIONARY = 1e-2


@dataclass(frozen=True)
class GradientDescent(Solver):
    """Any torch optimiser on the variables of many starts at once, projected onto their bounds.

    Equations, the dynamics of a transcription among them, are met by steps along them, corrected for what their
    curvature violates; other constraints by an augmented Lagrangian whose multipliers ascend a little in every
    iteration. Distances to data follow their schedule over the first `annealing` share of the iterations, or
    faster where `adaptive` finds that progress stalls, and stay at its end after that; the step size falls along a half
    cosine. With `halve_every` fewer and fewer of the starts go on, the best ones. The best iterate of every start is
    kept, unless `keep` says otherwise; one that meets the constraints is better than any that does not.

    Sources: D. P. Kingma and J. Ba, Adam, ICLR 2015; J. B. Rosen, The gradient projection method for nonlinear
    programming II, J. SIAM 9 (1961); for the ascent J. C. Platt and A. H. Barr, Constrained
    differential optimization, NIPS 1987.
    """

    iterations: int = 500
    """At most."""
    step_size: float = 0.1
    """Initial learning rate, in units of half the control range."""
    final_step: float = 0.05
    """Learning rate of the last iteration, as a share of the first."""
    final_step_constrained: float = 0.002
    """The same where there are constraints, which long steps would violate."""
    annealing: float = 0.8
    """Share of the iterations over which schedules run; with `adaptive`, over which they run at most."""
    adaptive: AdaptiveAnnealing | None = None
    """How schedules move on when progress stalls; None: evenly with the iterations."""
    starts: int = 1
    """Guesses made where the user gives fewer: the first as given, the rest at random."""
    halve_every: int | None = None
    """Iterations after which the worse half of the starts from an initial state stops, again and again until one is
    left; None: all go on to the end. Starts that processes solve apart are not compared."""
    tolerance: float = 1e-4
    """Converged when the best merit improved by less than this share over `patience` iterations at the end; with
    constraints, when the merit changed by less, the gradient of the Lagrangian has vanished within the bounds, and
    feasibility and complementarity hold to `feasibility`. The share falls with the step size: short steps improve
    little wherever they are."""
    patience: int = 25
    """Iterations between two tests of convergence."""
    feasibility: float = 5e-4
    """Largest violation of a scaled constraint in an iterate that counts as feasible."""
    penalty: float = 10.0
    """Penalty of inequalities in the augmented Lagrangian, for an objective with a gradient of 1 at the guess."""
    multiplier_rate: float = 0.06
    """Share of a whole update that its multipliers make in every iteration."""
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    """Called with the variables, `lr` and `optimizer_options`. With constraints, Adam's second moments are averaged
    over 100 iterations instead of 1000 unless told otherwise, so that steps follow the shrinking violations."""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the optimiser."""
    longest_gradient: float = math.inf
    """Euclidean norm to which a longer gradient is shortened, each program's by itself."""
    keep: str = "best"
    """best or last: which iterate is the plan of a start. The last one is for a distance whose merit is blind: the
    pull of a score vanishes in the middle of a hole too, and the guess there would be the best."""

    needs_value: ClassVar[bool] = False
    precision: ClassVar[torch.dtype | None] = None

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("iterations", "starts", "patience")}
        if self.halve_every is not None:
            counts["halve_every"] = self.halve_every
        check_counts("GradientDescent", **counts)
        positive = {name: getattr(self, name) for name in ("step_size", "tolerance", "feasibility", "penalty")}
        check_positive("GradientDescent", **positive)
        names = ("final_step", "final_step_constrained", "annealing", "multiplier_rate")
        check_shares("GradientDescent", **{name: getattr(self, name) for name in names})
        check_choice("GradientDescent", "keep", self.keep, ("best", "last"))
        if self.longest_gradient != math.inf:
            check_positive("GradientDescent", longest_gradient=self.longest_gradient)

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check the optimiser.

        Raises:
            OptionError: the optimiser does not accept its options, or wants to evaluate the objective itself.
        """
        if isinstance(self.open(torch.zeros(1, requires_grad=True), False), torch.optim.LBFGS):
            raise OptionError(
                "GradientDescent: LBFGS evaluates the objective itself; choose an optimiser such as Adam."
            )
        return lambda start: _Descent(self, program, start).run()

    def places(self) -> Places:
        """Return where on the schedules each iteration is, for one run."""
        iterations = self.annealing * self.iterations
        return fixed_places(iterations) if self.adaptive is None else AdaptivePlaces(self.adaptive, iterations)

    def open(self, variables: Tensor, constrained: bool) -> torch.optim.Optimizer:
        """Return the optimiser on some variables.

        Raises:
            OptionError: it does not accept its options.
        """
        adam = constrained and self.optimizer in (torch.optim.Adam, torch.optim.AdamW)
        options = {**({"betas": _CONSTRAINED_BETAS} if adam else {}), **self.optimizer_options}
        try:
            return self.optimizer([variables], lr=self.step_size, **options)
        except (TypeError, ValueError) as error:
            raise OptionError(f"GradientDescent: the optimiser does not accept its options: {error}.") from error


class _Descent:
    """One run over a batch of P programs, of which those that have ended are not evaluated any more."""

    def __init__(self, settings: GradientDescent, program: NonlinearProgram, start: Start) -> None:
        self.settings, self.batch = settings, ProgramBatch(program, start)
        batch = self.batch
        self.constrained = len(batch.row_lower) > 0
        self.variables = batch.guess.clone()
        self.optimizer = settings.open(self.variables, self.constrained)
        self.places = settings.places()
        self.steps = TangentSteps(batch)
        self.others = ~self.steps.equations
        self.lagrangian = AugmentedLagrangian(
            batch.row_lower[self.others], batch.row_upper[self.others], batch.count, settings.penalty
        )
        self.scale = torch.ones_like(self.variables[:, 0]).detach()
        """Factor of the objective beside the constraints, `(P,)`."""
        self.best = BestIterates(self.variables, settings.feasibility)
        self.reached = torch.full_like(self.best.merit, math.inf)
        self.merit = torch.full_like(self.best.merit, math.inf)
        """Of the last iterate that was evaluated, `(P,)`."""
        self.rows = batch.guess.new_zeros((batch.count, len(batch.row_lower)))
        """Of the same, `(P, R)`."""
        self.converged = torch.zeros(batch.count, dtype=torch.bool)
        self.beaten = torch.zeros_like(self.converged)
        """Which have stopped in favour of better starts, `(P,)`."""
        self.directed = torch.zeros_like(self.converged)
        """Whether a gradient has been finite, `(P,)`."""
        self.log = IterationLog(batch.count)

    def run(self) -> list[Outcome]:
        status = Status.ITERATION_LIMIT
        with self.batch.limits as limits:
            for i in range(self.settings.iterations):
                self._step(i)
                stopped = limits.reached()
                if stopped is not None:
                    status = stopped
                    break
                if not self.live.any():
                    break
        if self.settings.keep == "last":
            self._keep_last()
        self.best.judge(self.batch)
        ended = [Status.CONVERGED if done else status for done in self.converged.tolist()]
        ended = [own if known else Status.NOT_FINITE for own, known in zip(ended, self.directed.tolist(), strict=True)]
        return self.best.outcomes(self.batch, ended, self.log, self._multipliers())

    @property
    def live(self) -> Tensor:
        """Which programs go on, `(P,)`; the result of one that does not is settled, whatever the others do."""
        return ~(self.converged | self.beaten)

    def _step(self, i: int) -> None:
        progress, live = self.places(i, self._merit_at), self.live
        gradient = self._differentiate(progress, live, first=i == 0)
        self.directed |= torch.isfinite(gradient).all(-1) & live
        violation = self.batch.violation(self.rows)
        self.best.keep(self.variables, self.merit, violation, live)
        self.log.add(live, {"progress": progress}, merit=self.merit, best=self.best.merit, violation=violation)
        if self.constrained:
            gradient = self._along_equations(gradient, live)
        if progress >= 1.0 and (i + 1) % self.settings.patience == 0:
            self._test(gradient, violation, live, self.settings.tolerance * max(self._decay(i), _LEAST_DECAY))
        self._halve(i, violation)
        self._move(i, gradient, live)

    def _move(self, i: int, gradient: Tensor, live: Tensor) -> None:
        self.variables.grad = self._shortened(torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.step_size * self._decay(i)
        before = self.variables.detach().clone()
        self.optimizer.step()
        with torch.no_grad():
            aim = self.variables.detach()
            end = self.steps.land(before, aim, self.rows) if self.steps.active else self.batch.project(aim)
            self.variables.copy_(torch.where(live[:, None], end, before))

    def _halve(self, i: int, violation: Tensor) -> None:
        """Stop the worse half of the starts of each initial state, where it is time."""
        every, starts = self.settings.halve_every, self.batch.start.starts
        if every is None or starts == 1 or (i + 1) % every:
            return
        judged = (self.merit, violation) if self.settings.keep == "last" else (self.best.merit, self.best.violation)
        live = self.live
        self.beaten |= live & ~better_half(live, *judged, self.settings.feasibility, starts)

    def _merit_at(self, place: float) -> Tensor:
        """Return the merit of programs that go on at a place on the schedules, `(P,)`; infinite of others."""
        members = self.live.nonzero()[:, 0]
        merit = torch.full_like(self.merit, math.inf)
        return merit.index_copy(0, members, self.batch.merit(self.variables[members], place, members))

    def _keep_last(self) -> None:
        """Put the last iterates, compared by their merit at the end of the schedules, in place of the best ones.

        One that is not finite does not count.
        """
        found = self.batch.evaluate(self.variables, 1.0)
        where = ~self.converged & torch.isfinite(found.merit)
        self.best.put(where, self.variables, found.merit.detach(), self.batch.violation(found.rows).detach())

    def _differentiate(self, progress: float, live: Tensor, first: bool) -> Tensor:
        """Take over merit and rows of the programs that go on.

        Returns the gradients of their objectives or augmented Lagrangians, `(P, size)`; zero for the others.
        """
        members = live.nonzero()[:, 0]
        weigh = partial(self._augmented, members) if self.constrained and not first else None
        found, slope = self.batch.evaluate_with_gradient(self.variables[members], progress, members, weigh)
        if self.constrained and first:
            largest = slope.abs().amax(-1)
            self.scale = torch.where(torch.isfinite(largest), 1.0 / largest.clamp_min(1.0), 1.0)
            return self._differentiate(progress, live, first=False)
        self.merit = self.merit.index_copy(0, members, found.merit)
        self.rows = self.rows.index_copy(0, members, found.rows)
        return torch.zeros_like(self.variables).index_copy(0, members, slope)

    def _augmented(self, members: Tensor, found: Evaluation) -> Tensor:
        return self.scale[members] * found.objective + self.lagrangian.term(found.rows[:, self.others], members)

    def _along_equations(self, gradient: Tensor, live: Tensor) -> Tensor:
        """Let the multipliers ascend, and return the part of a gradient that keeps equations."""
        self.lagrangian.ascend(self.rows[:, self.others], self.settings.multiplier_rate, live)
        if not self.steps.active:
            return gradient
        self.steps.refresh(self.variables, live)
        return self.steps.tangent(gradient, live)

    def _shortened(self, gradient: Tensor) -> Tensor:
        if self.settings.longest_gradient == math.inf:
            return gradient
        norm = gradient.square().sum(-1, keepdim=True).sqrt()
        factor: Tensor = self.settings.longest_gradient / norm
        return gradient * factor.clamp_max(1.0)

    def _test(self, gradient: Tensor, violation: Tensor, live: Tensor, share: float) -> None:
        """Find which programs have converged: whose merit changes by less than a share of it.

        With constraints short steps alone are no sign of that: a step down the gradient must change little too.
        """
        if not self.constrained:
            improved = self.reached - self.best.merit > share * self.best.merit.abs()
            self.converged |= ~improved & self.best.feasible & live
            self.reached = self.best.merit.clone()
            return
        still = (self.merit - self.reached).abs() <= share * self.merit.abs()
        point = self.variables.detach()
        stationarity = (self.batch.project(point - gradient) - point).abs().amax(-1)
        still &= stationarity <= _STATIONARY
        residual = torch.maximum(self.lagrangian.residual(self.rows[:, self.others]), violation)
        done = still & (residual <= self.settings.feasibility) & live
        # the least merit among nearly feasible iterates would be that of the one that violates most
        closer = (self.best.violation > violation) | (self.best.merit > self.merit)
        if self.settings.keep == "last":
            closer = torch.ones_like(closer)
        self.best.put(done & closer, point, self.merit, violation)
        self.converged |= done
        self.reached = self.merit.clone()

    def _decay(self, i: int) -> float:
        last = self.settings.final_step_constrained if self.constrained else self.settings.final_step
        return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * i / self.settings.iterations))

    def _multipliers(self) -> list[Mapping[str, FloatArray]]:
        if not self.constrained:
            return []
        joined = torch.zeros(self.batch.count, len(self.others), dtype=self.variables.dtype)
        joined[:, self.others], joined[:, ~self.others] = self.lagrangian.multipliers, self.steps.multipliers
        multipliers = (joined / self.scale[:, None]).to(torch.float64).numpy()
        return [{"constraints": own} for own in multipliers]
