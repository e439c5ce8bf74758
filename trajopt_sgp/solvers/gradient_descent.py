"""First-order search of many starts in one batch, with annealed distances to data."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.augmented_lagrangian import AugmentedLagrangian
from trajopt_sgp.solvers.base import (
    Minimiser,
    Outcome,
    Solver,
    Start,
    check_counts,
    check_positive,
    check_shares,
)
from trajopt_sgp.solvers.best_iterates import BestIterates
from trajopt_sgp.solvers.interruption import Interruption

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GradientDescent(Solver):
    """Any torch optimiser on the variables of many starts at once, projected onto their bounds.

    Constraints, the dynamics of a transcription among them, are met by an augmented Lagrangian. Distances to data follow their schedule over the first `annealing` share of the iterations and stay at its end
    after that; the step size falls along a half cosine. The best iterate of every start is kept, compared at the end
    of the schedule; one that meets the constraints is better than any that does not.
    """

    iterations: int = 500
    """At most."""
    step_size: float = 0.1
    """Initial learning rate, in units of half the control range."""
    final_step: float = 0.05
    """Learning rate of the last iteration, as a share of the first."""
    annealing: float = 0.8
    """Share of the iterations over which schedules run."""
    count: int = 1
    """Guesses made where the user gives fewer: the first as given, the rest at random."""
    tolerance: float = 1e-4
    """Converged when the best merit improved by less than this share over `patience` iterations at the end."""
    patience: int = 25
    """Iterations between two tests of convergence."""
    feasibility: float = 1e-3
    """Largest violation of a scaled constraint in an iterate that counts as feasible."""
    penalty: float = 10.0
    """First penalty of constraints in the augmented Lagrangian."""
    multiplier_update: int = 25
    """Iterations between two updates of its multipliers."""
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    """Called with the variables, `lr` and `optimizer_options`."""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the optimiser."""

    needs_value: ClassVar[bool] = False
    precision: ClassVar[torch.dtype | None] = None

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("iterations", "count", "patience", "multiplier_update")}
        check_counts("GradientDescent", **counts)
        positive = {name: getattr(self, name) for name in ("step_size", "tolerance", "feasibility", "penalty")}
        check_positive("GradientDescent", **positive)
        check_shares("GradientDescent", final_step=self.final_step, annealing=self.annealing)

    @property
    def starts(self) -> int:
        """Number of guesses made where the user gives none."""
        return self.count

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check the optimiser.

        Raises:
            OptionError: the optimiser does not accept its options, or wants to evaluate the objective itself.
        """
        if isinstance(self._open(torch.zeros(1, requires_grad=True)), torch.optim.LBFGS):
            raise OptionError(
                "GradientDescent: LBFGS evaluates the objective itself; choose an optimiser such as Adam."
            )
        return lambda start: _Descent(self, program, start).run()

    def _open(self, variables: Tensor) -> torch.optim.Optimizer:
        try:
            return self.optimizer([variables], lr=self.step_size, **self.optimizer_options)
        except (TypeError, ValueError) as error:
            raise OptionError(f"GradientDescent: the optimiser does not accept its options: {error}.") from error


class _Descent:
    """One run over a batch of P programs."""

    def __init__(self, settings: GradientDescent, program: NonlinearProgram, start: Start) -> None:
        self.settings, self.program, self.begin, self.limit = settings, program, time.perf_counter(), start.time_limit
        self.parameters, dtype = start.parameters, program.problem.dtype
        bounds = program.bounds(start.parameters.initial_state.to(torch.float64).numpy())
        self.lower, self.upper = (torch.as_tensor(side, dtype=dtype) for side in bounds)
        guess = torch.as_tensor(start.variables, dtype=dtype)
        self.variables = guess.clamp(self.lower, self.upper).requires_grad_(True)
        self.optimizer = settings._open(self.variables)
        below, above = (torch.as_tensor(side, dtype=dtype) for side in program.assembly.bounds())
        self.lagrangian = AugmentedLagrangian(below, above, len(guess), settings.penalty)
        self.best = BestIterates(self.variables, settings.feasibility)
        self.converged = torch.zeros(len(guess), dtype=torch.bool)
        self.iterations = torch.zeros(len(guess), dtype=torch.int64)
        self.log: list[dict[str, Any]] = []

    def run(self) -> list[Outcome]:
        reached, status = torch.full_like(self.best.merit, math.inf), Status.ITERATION_LIMIT
        with Interruption() as interruption:
            for i in range(self.settings.iterations):
                self._step(i)
                if self.limit is not None and time.perf_counter() - self.begin > self.limit:
                    status = Status.TIME_LIMIT
                    break
                if interruption.requested:
                    status = Status.INTERRUPTED
                    break
                if self._progress(i) >= 1.0 and (i + 1) % self.settings.patience == 0:
                    improved = reached - self.best.merit > self.settings.tolerance * self.best.merit.abs()
                    self.converged |= ~improved & self.best.feasible
                    reached = self.best.merit.clone()
                    if self.converged.all():
                        break
        return self._outcomes(status)

    def _progress(self, i: int) -> float:
        return min(1.0, i / max(1.0, self.settings.annealing * self.settings.iterations - 1.0))

    def _step(self, i: int) -> None:
        found = self.program.evaluate(self.variables, replace(self.parameters, progress=self._progress(i)))
        # a program that has converged is frozen: its result does not depend on the others of its batch
        self.iterations += ~self.converged
        violation = self.lagrangian.violation(found.rows.detach())
        self.best.keep(self.variables, found.merit, violation, ~self.converged)
        self.log.append({"progress": self._progress(i), "merit": found.merit, "best": self.best.merit})
        objective = found.objective
        if found.rows.shape[-1]:
            if (i + 1) % self.settings.multiplier_update == 0:
                self.lagrangian.update(found.rows.detach())
            objective = objective + self.lagrangian.term(found.rows)
        (gradient,) = torch.autograd.grad(objective.sum(), self.variables)
        self.variables.grad = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.step_size * self._decay(i)
        self.optimizer.step()
        with torch.no_grad():
            self.variables.copy_(torch.minimum(torch.maximum(self.variables, self.lower), self.upper))

    def _decay(self, i: int) -> float:
        last = self.settings.final_step
        return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * i / self.settings.iterations))

    def _outcomes(self, status: Status) -> list[Outcome]:
        seconds = {"solver": time.perf_counter() - self.begin}
        columns = {name: torch.stack([entry[name] for entry in self.log]).tolist() for name in ("merit", "best")}
        multipliers = self.lagrangian.multipliers.to(torch.float64).numpy()
        outcomes = []
        for p in range(len(self.variables)):
            own = Status.CONVERGED if bool(self.converged[p]) else status
            count = int(self.iterations[p])
            log = [
                {"progress": entry["progress"], "merit": columns["merit"][i][p], "best": columns["best"][i][p]}
                for i, entry in enumerate(self.log[:count])
            ]
            outcomes.append(
                Outcome(
                    variables=self.best.variables[p].to(torch.float64).numpy(),
                    status=self.best.status(p, own),
                    iterations=count,
                    merit=self.best.rank(p),
                    multipliers={"constraints": multipliers[p]} if multipliers.size else {},
                    seconds=seconds,
                    log=log,
                )
            )
        return outcomes
