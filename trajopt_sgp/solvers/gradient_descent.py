"""First-order search of many starts in one batch, with annealed distances to data."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import (
    Minimiser,
    Outcome,
    Solver,
    Start,
    check_counts,
    check_positive,
    check_shares,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GradientDescent(Solver):
    """Any torch optimiser on the controls of many starts at once, projected onto the control bounds.

    Distances to data follow their schedule over the first `annealing` share of the iterations and stay at its end
    after that; the step size falls along a half cosine. The best iterate of every start is kept, compared at the end
    of the schedule.
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
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    """Called with the variables, `lr` and `optimizer_options`."""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the optimiser."""

    needs_value: ClassVar[bool] = False
    needs_batched: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = None

    def __post_init__(self) -> None:
        check_counts("GradientDescent", iterations=self.iterations, count=self.count, patience=self.patience)
        check_positive("GradientDescent", step_size=self.step_size, tolerance=self.tolerance)
        check_shares("GradientDescent", final_step=self.final_step, annealing=self.annealing)

    @property
    def starts(self) -> int:
        """Number of guesses made where the user gives none."""
        return self.count

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that bounds of the controls are all there is to respect.

        Raises:
            IncompatibleError: the problem has other constraints; names them.
            OptionError: the optimiser does not accept its options, or wants to evaluate the objective itself.
        """
        if program.constraints:
            names = ", ".join(term.name for term in program.constraints)
            raise IncompatibleError(
                f"GradientDescent respects bounds on the controls only, but the problem also has: {names}. "
                "Use Ipopt, or turn them into costs."
            )
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
        dtype = program.problem.dtype
        lower, upper = program.bounds(start.initial_states[0])
        self.lower, self.upper = torch.as_tensor(lower, dtype=dtype), torch.as_tensor(upper, dtype=dtype)
        self.initial = torch.as_tensor(start.initial_states, dtype=dtype)
        self.variables = (
            torch.as_tensor(start.variables, dtype=dtype).clamp(self.lower, self.upper).requires_grad_(True)
        )
        self.optimizer = settings._open(self.variables)
        self.best = self.variables.detach().clone()
        self.merit = torch.full((len(self.variables),), math.inf, dtype=dtype)
        self.converged = torch.zeros(len(self.variables), dtype=torch.bool)
        self.iterations = torch.zeros(len(self.variables), dtype=torch.int64)
        self.log: list[dict[str, Any]] = []

    def run(self) -> list[Outcome]:
        reached, status = torch.full_like(self.merit, math.inf), Status.ITERATION_LIMIT
        for i in range(self.settings.iterations):
            self._step(i)
            if self.limit is not None and time.perf_counter() - self.begin > self.limit:
                status = Status.TIME_LIMIT
                break
            if self._progress(i) >= 1.0 and (i + 1) % self.settings.patience == 0:
                self.converged |= reached - self.merit <= self.settings.tolerance * self.merit.abs()
                reached = self.merit.clone()
                if self.converged.all():
                    break
        return self._outcomes(status)

    def _progress(self, i: int) -> float:
        return min(1.0, i / max(1.0, self.settings.annealing * self.settings.iterations - 1.0))

    def _step(self, i: int) -> None:
        objective, merit = self.program.search(self.variables, Parameters(self.initial, self._progress(i)))  # type: ignore[misc]
        with torch.no_grad():
            # a program that has converged is frozen: its result does not depend on the others of its batch
            self.iterations += ~self.converged
            better = (merit < self.merit) & ~self.converged
            self.best[better] = self.variables[better]
            self.merit = torch.where(better, merit, self.merit)
        self.log.append({"progress": self._progress(i), "merit": merit.detach(), "best": self.merit})
        (gradient,) = torch.autograd.grad(objective.sum(), self.variables)
        self.variables.grad = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.step_size * self._decay(i)
        self.optimizer.step()
        with torch.no_grad():
            self.variables.clamp_(self.lower, self.upper)

    def _decay(self, i: int) -> float:
        last = self.settings.final_step
        return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * i / self.settings.iterations))

    def _outcomes(self, status: Status) -> list[Outcome]:
        seconds = {"solver": time.perf_counter() - self.begin}
        columns = {name: torch.stack([entry[name] for entry in self.log]).tolist() for name in ("merit", "best")}
        outcomes = []
        for p in range(len(self.best)):
            finite = bool(torch.isfinite(self.merit[p]))
            own = Status.CONVERGED if bool(self.converged[p]) else status
            count = int(self.iterations[p])
            log = [
                {"progress": entry["progress"], "merit": columns["merit"][i][p], "best": columns["best"][i][p]}
                for i, entry in enumerate(self.log[:count])
            ]
            outcomes.append(
                Outcome(
                    variables=self.best[p].to(torch.float64).numpy(),
                    status=own if finite else Status.NOT_FINITE,
                    iterations=count,
                    merit=float(self.merit[p]),
                    seconds=seconds,
                    log=log,
                )
            )
        return outcomes
