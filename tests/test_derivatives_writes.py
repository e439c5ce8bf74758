"""Functions that write to tensors they have made are traced as if they wrote to none."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.closed_forms import Function, assert_closed_form
from trajopt_sgp.derivatives.rollout import Rollout, roll_out
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.derivatives.term_blocks import TermBlocks
from trajopt_sgp.derivatives.traced import TracedBlocks
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

K, D = 5, 4
NOTHING = Parameters(torch.zeros(1, dtype=torch.float64))
CELL = nn.GRUCell(D, D, dtype=torch.float64).requires_grad_(False)
NETWORKS = [nn.Linear(D, 3, dtype=torch.float64).requires_grad_(False) for _ in range(3)]


def assembled(z: Tensor) -> Tensor:
    """Rows put together entry by entry, as analytic models are written."""
    rates = torch.zeros_like(z)
    rates[..., 0] = z[..., 1]
    rates[..., 1] = z[..., 0].sin() * z[..., 3]
    rates[..., 2:] = z[..., :2] ** 2
    return rates


def partly(z: Tensor) -> Tensor:
    """Some entries stay what they were made of."""
    rows = torch.ones((len(z), 3), dtype=z.dtype)
    rows[:, 1] += z[:, 0].exp()
    rows[:, 2] = 4.0
    return rows * z[:, :3]


def counted(z: Tensor) -> Tensor:
    """Memory that was never written to before."""
    rows = z.new_empty((len(z), 2, 2))
    for i in range(2):
        for j in range(2):
            rows[:, i, j] = z[:, i] * z[:, 2 + j]
    return (rows @ rows).flatten(1)


def seen_before(z: Tensor) -> Tensor:
    """Views see what is written later, and operations before do not."""
    rows = z.clone()
    half, before = rows[:, :2], rows * 2.0
    pair = half[:, 1]
    rows.mul_(3.0)
    half[:, 0] = z[:, 3].cos()
    pair.add_(z[:, 2])
    return torch.cat([rows, half, before], -1) * pair[:, None]


def in_place(z: Tensor) -> Tensor:
    """Intermediate results are written over."""
    hidden = 2.0 * z
    hidden.add_(0.1).mul_(z).relu_()
    squares = hidden**2
    squares -= z.sin()
    squares[:, [0, 2]] = z[:, 1:3]
    squares.clamp_(max=3.0)
    return squares * z


def masked(z: Tensor) -> Tensor:
    """Entries are replaced where a condition holds."""
    rows = z.clone()
    rows[z > 0.5] = 0.5
    rows.masked_fill_(z < -1.0, -1.0)
    return rows * z


def constant_before(z: Tensor) -> Tensor:
    """What a constant was when it was used counts."""
    scale = torch.ones(D, dtype=z.dtype)
    first = z + scale
    scale += 1.0
    scale[0] = 5.0
    return torch.cat([first, z * scale], -1)


def zeroed(z: Tensor) -> Tensor:
    """Values are forgotten."""
    rows = z.sin()
    rows[:, 0].zero_()
    rows[:, 1].fill_(2.0)
    rows[:, 2:].copy_(z[:, :1])
    return rows * z


def members(z: Tensor) -> Tensor:
    """An ensemble, member by member."""
    outputs = torch.empty((3, len(z), 3), dtype=z.dtype)
    for k, network in enumerate(NETWORKS):
        outputs[k] = network(z).tanh()
    return outputs.var(0)


def across(z: Tensor) -> Tensor:
    """Members behind, written through a transposed view."""
    outputs = torch.zeros((len(z), 3, 3), dtype=z.dtype)
    for k, network in enumerate(NETWORKS):
        outputs.transpose(0, 2)[:, k] = network(z).T
    return outputs.flatten(1).sin()


WRITING = (assembled, partly, counted, seen_before, in_place, masked, constant_before, zeroed, members, across)
FUNCTIONS: dict[str, Function] = {function.__name__: function for function in WRITING}
FUNCTIONS["rms norm"] = nn.RMSNorm(D, dtype=torch.float64).requires_grad_(False)
FUNCTIONS["gru"] = lambda z: CELL(z, z.sin())
FUNCTIONS["cosine similarity"] = lambda z: nn.functional.cosine_similarity(z, torch.arange(D), dim=-1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_closed_forms(name: str, generator: torch.Generator) -> None:
    inside = torch.randn((K, D), generator=generator, dtype=torch.float64)
    before = inside.clone()
    assert_closed_form(FUNCTIONS[name], inside, inside + 0.3, 2.0 * inside)
    assert torch.equal(inside, before)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_rollouts(name: str, generator: torch.Generator) -> None:
    def step(x: Tensor, u: Tensor) -> Tensor:
        rows = FUNCTIONS[name](x).reshape(len(x), -1)
        after = x.clone()
        after[:, :1] += 0.1 * rows[:, :1] + u
        after[:, 1:] = 0.1 * torch.cat([rows] * D, -1)[:, 1:D]
        return after

    start = torch.randn((3, D), generator=generator, dtype=torch.float64).requires_grad_(True)
    controls = torch.randn((3, 4, 1), generator=generator, dtype=torch.float64).requires_grad_(True)
    rollout = Rollout(step)
    results = [
        [states.detach(), *torch.autograd.grad(states.square().sum(), [start, controls])]
        for states in (rollout(start, controls), roll_out(step, start, controls))
    ]
    assert rollout.backend.startswith("compiled"), rollout.backend
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


BUFFER = torch.zeros((K, D), dtype=torch.float64)


def written_outside(z: Tensor) -> Tensor:
    BUFFER[0].copy_(z[0])
    return z + BUFFER


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda z: z.add_(1.0), "add_ writes to a tensor that the function did not make"),
        (lambda z: z[:, 0].mul_(2.0), "mul_ writes to a tensor that the function did not make"),
        (written_outside, "copy_ writes to a tensor that the function did not make"),
        (lambda z: z.clone().unsqueeze_(-1).squeeze_(-1), "squeeze_ changes a tensor in a way"),
        (lambda z: torch.add(z, 1.0, out=torch.empty_like(z)), "add changes a tensor in a way"),
        (lambda z: torch.zeros(z.shape).copy_(z), "copy_: a change of precision"),
        (lambda z: torch.zeros_like(z).index_put_([torch.zeros(1, dtype=torch.long)], z[:1]), "instances"),
        (lambda z: torch.zeros_like(z).index_add_(1, torch.zeros(D, dtype=torch.long), z), r"index_add\) is not known"),
        (lambda z: torch.zeros_like(z).expand(K, D).copy_(z)[0].expand(K, D).add_(z), "instances|several times|memory"),
        (lambda z: sum(torch.zeros_like(z).copy_(z).tolist()[0]) * z, "reads the values"),
    ],
)
def test_what_is_refused_is_named(function: Function, reason: str, generator: torch.Generator) -> None:
    z = torch.randn((K, D), generator=generator, dtype=torch.float64)
    before = copy.deepcopy((z, BUFFER))
    with pytest.raises((UnsupportedError, RuntimeError), match=reason):
        TracedBlocks(function, z, [])
    assert all(torch.equal(a, b) for a, b in zip((z, BUFFER), before, strict=True))


def test_what_remembers_its_arguments_stays_with_autograd() -> None:
    blocks = TermBlocks(lambda z, parameters: written_outside(z).sum(-1))
    z = np.ones((K, D))
    blocks.value(z, NOTHING)
    assert blocks.backend == "autograd: copy_ writes to a tensor that the function did not make"
