"""One step and a rollout of an ensemble of six: all members at once, one after another, and one member alone.

Learned dynamics of 4 states and 1 control with their normalisation, float32, one thread. Aim at a batch of 64: at most
6.6 times one member, and half of the members one after another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from benchmarks.compare import Contender, Peer, compare
from benchmarks.rows import FLOAT32, Case, Row
from trajopt_sgp.derivatives.rollout import roll_out
from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.models import EnsembleDynamics, LearnedDynamics, fit_normalizer
from trajopt_sgp.uncertainty.ensemble_rollout import MemberRollout

MEMBERS, HORIZON = 6, 60
NETWORKS = [(64, 64, 32), (128, 128), (128, 128, 128)]
"""The first is that of the cart-pole in Suh et al. 2023."""
BATCHES = [1, 8, 64, 256]


@dataclass(frozen=True, eq=False)
class EnsembleCase:
    """One ensemble and batch."""

    hidden_sizes: tuple[int, ...]
    """Of a member."""
    batch: int
    """Number of states B."""
    members: list[LearnedDynamics] = field(init=False)
    ensemble: EnsembleDynamics = field(init=False)
    rollout: MemberRollout = field(init=False)
    states: Tensor = field(init=False)
    controls: Tensor = field(init=False)

    def __post_init__(self) -> None:
        data = sample_cartpole_transitions(1000, np.random.default_rng(0))
        members = []
        for seed in range(MEMBERS):
            weights = torch.Generator().manual_seed(seed)
            model = LearnedDynamics(data.dataset, fit_normalizer(data), self.hidden_sizes, generator=weights)
            model.set_step_statistics(np.zeros(4), np.full(4, 0.05))
            members.append(model.requires_grad_(False))
        generator = torch.Generator().manual_seed(0)
        ensemble = EnsembleDynamics.of(members).requires_grad_(False)
        values = {
            "members": members,
            "ensemble": ensemble,
            "rollout": MemberRollout(ensemble),
            "states": torch.randn(self.batch, 4, generator=generator),
            "controls": torch.randn(self.batch, HORIZON, 1, generator=generator, requires_grad=True),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """What distinguishes the case."""
        return f"6 members {'-'.join(map(str, self.hidden_sizes))}, B={self.batch}"

    def step(self) -> Tensor:
        """Return the next states of all members at once, `(6, B, 4)`."""
        with torch.no_grad():
            return self.ensemble.members(self.states, self.controls[:, 0])

    def steps(self, count: int) -> Tensor:
        """Return those of the first members, one after another."""
        with torch.no_grad():
            return torch.stack([model(self.states, self.controls[:, 0]) for model in self.members[:count]])

    def gradient(self) -> Tensor:
        """Return the gradient of a cost of all rollouts by the controls, the members at once."""
        states = self.rollout(self.states, self.controls)
        return torch.autograd.grad(states.square().sum(), self.controls)[0]

    def gradients(self, count: int) -> Tensor:
        """Return the same for the first members, one after another."""
        costs = [roll_out(model, self.states, self.controls).square().sum() for model in self.members[:count]]
        return torch.autograd.grad(torch.stack(costs).sum(), self.controls)[0]


def cases() -> list[Case]:
    """Every network and batch."""
    return [Case("ensemble", "Six learned dynamics at once, one step, and gradients of 60 steps.", _rows)]


def _rows(quick: bool) -> Iterator[Row]:
    chosen = [((16, 16), 2)] if quick else list(product(NETWORKS, BATCHES))
    rolled = chosen if quick else list(product(NETWORKS[:1], (1, 64)))
    seconds = 0.05 if quick else 0.5
    for hidden, batch in chosen:
        case = EnsembleCase(hidden, batch)
        yield from _against(f"step, {case.name}", case.step, case.steps, (MEMBERS, 1), seconds)
    for hidden, batch in rolled:
        case = EnsembleCase(hidden, batch)
        name = f"gradient of {HORIZON} steps, {case.name}"
        yield from _against(name, case.gradient, case.gradients, (MEMBERS,), 4.0 * seconds)


def _against(
    name: str, ours: Callable[[], Tensor], theirs: Callable[[int], Tensor], counts: Sequence[int], seconds: float
) -> Iterator[Row]:
    """Compare all members at once with the first ones, one after another."""
    for count in counts:
        peer = "one member" if count == 1 else "one after another"
        own, other = (Contender(run, partial(_first, count), FLOAT32) for run in (ours, partial(theirs, count)))
        yield from compare(name, own, [Peer(peer, partial(_same, other))], seconds=seconds)


def _same(contender: Contender) -> Contender:
    return contender


def _first(count: int, found: Tensor) -> Sequence[ArrayLike]:
    """Return what must agree: all, or the first of all members where the peer is one member."""
    return [(found[:count] if count == 1 else found).numpy()]
