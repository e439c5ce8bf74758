"""What is made of operations with closed forms has the derivatives of torch.func, at interior points and at kinks."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.closed_forms import Function, assert_close, assert_closed_form
from trajopt_sgp.derivatives.fused.rollout import FusedRollout
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

K, D = 6, 4
BATCH_NORM = nn.BatchNorm1d(D, dtype=torch.float64).eval().requires_grad_(False)
COUNT = torch.arange(D, dtype=torch.float64)
MATRIX = COUNT.reshape(1, 2, 2).sin()
POINTS = torch.arange(40 * D, dtype=torch.float64).reshape(-1, D).sin()
BATCH_NORM.running_mean, BATCH_NORM.running_var = COUNT - 1.0, COUNT + 0.5
ZERO = torch.zeros((K, D), dtype=torch.float64)


def points(generator: torch.Generator) -> list[torch.Tensor]:
    """Return points inside, at zero where branches meet, with some entries at zero, and far from it."""
    inside = torch.randn((K, D), generator=generator, dtype=torch.float64)
    some = inside.relu()
    return [inside, ZERO, some, 10.0 * inside, -3.0 * inside]


FUNCTIONS: dict[str, Function] = {
    "leaky relu": nn.functional.leaky_relu,
    "mish": nn.functional.mish,
    "hardswish": nn.functional.hardswish,
    "hardtanh": nn.functional.hardtanh,
    "relu6": nn.functional.relu6,
    "prelu": lambda z: nn.functional.prelu(z[:, :, None], torch.linspace(0.1, 0.4, D, dtype=z.dtype))[..., 0],
    "log sigmoid": nn.functional.logsigmoid,
    "softplus": lambda z: nn.functional.softplus(z, 2.0, 5.0),
    "softsign": nn.functional.softsign,
    "softshrink": nn.functional.softshrink,
    "hardshrink": nn.functional.hardshrink,
    "threshold": lambda z: nn.functional.threshold(z, 0.5, -1.0),
    "glu": nn.functional.glu,
    "softmax": lambda z: torch.softmax(z, -1),
    "log softmax": lambda z: torch.log_softmax(z.reshape(-1, 2, 2), 1).flatten(1),
    "logsumexp": lambda z: z.logsumexp(-1),
    "logaddexp": lambda z: torch.logaddexp(z[:, :2], z[:, 2:]),
    "group norm": lambda z: nn.functional.group_norm(z, 2, 0.5 + COUNT, 0.1 * COUNT),
    "layer norm": lambda z: nn.functional.layer_norm(z, (D,)),
    "batch norm": BATCH_NORM,
    "where": lambda z: torch.where(z > 0.3, z.sin(), z**2) + torch.where(z[:, :1] <= 0.0, 1.0, z),
    "where one branch is no number": lambda z: torch.where(z > 0.0, z.log(), 0.0) + torch.where(z == 0.0, 1.0, 1.0 / z),
    "conditions": lambda z: torch.where((z > 0.2) & ~(z > 1.0) | (z < -0.5), z**2, z),
    "equality": lambda z: (z == 0.0) * z.sin() + (z != 0.0) * z.cos(),
    "masked": lambda z: z.masked_fill(z > 0.5, 2.0) * z,
    "constant mask": lambda z: torch.where(torch.arange(D) > 1, z, z**2),
    "triangles": lambda z: (z.reshape(-1, 2, 2).tril() * 3.0 + z.reshape(-1, 2, 2).triu(1).exp()).flatten(1),
    "atan2": lambda z: torch.atan2(z[:, 0], z[:, 1]) + torch.atan2(z[:, 2] - 0.3, z[:, 3]),
    "atan2 of a number": lambda z: torch.atan2(z, torch.tensor(-0.5, dtype=z.dtype)),
    "wrapped angle": lambda z: torch.remainder(z + torch.pi, 2.0 * torch.pi) - torch.pi,
    "roundings": lambda z: z * (z.floor() + (2.0 * z).round() - z.ceil() + z.trunc() + z.frac()) + torch.fmod(z, 0.7),
    "hyperbolic": lambda z: z.sinh() + 2.0 * z.cosh() + 0.1 * (0.3 * z).sin().atanh(),
    "powers of constant tensors": lambda z: z ** torch.tensor(3.0) + z ** torch.tensor(1.0) * 2.0,
    "expm1 and log1p": lambda z: z.expm1() + (z**2).log1p(),
    "exponentials": lambda z: 2.0**z + z.exp2() + (1.0 + z**2).log2() + (1.0 + z**2).log10(),
    "erfc": lambda z: z.erfc() + z.deg2rad() + z.rad2deg() + z.sgn() * z,
    "logit": lambda z: z.sigmoid().logit(eps=0.1),
    "amax": lambda z: z.amax(-1) * z[:, 0] - z.amin(-1),
    "amax of more dimensions": lambda z: z.reshape(-1, 2, 2).amax((1, 2), keepdim=True).flatten(1) * z,
    "max": lambda z: z[:, :3].max(-1, keepdim=True).values * z - z.min(-1).values[:, None],
    "norm of largest": lambda z: z.norm(p=torch.inf, dim=-1) * z[:, 0] + z.norm(p=0, dim=-1) * z[:, 0],
    "product": lambda z: z.prod(-1) + z[:, :3].prod(-1, keepdim=True)[:, 0],
    "running sum": lambda z: z.cumsum(-1).sin() + z.reshape(-1, 2, 2).cumsum(1).flatten(1),
    "flip, roll and repeat": lambda z: (z.flip(-1) * z.roll(1, -1)).repeat(1, 2).sin(),
    "gather": lambda z: z[:, [2, 0]] * z.index_select(-1, torch.tensor([1, 3])) + z.diff(dim=-1)[:, :2],
    "lerp": lambda z: torch.lerp(z, z.sin(), 0.3) + torch.lerp(z, z.cos(), z),
    "addcmul and addcdiv": lambda z: torch.addcdiv(z, z.sin(), z.cosh()) + torch.addcmul(z, z, z, value=0.5),
    "limits that are tensors": lambda z: z.clamp(torch.linspace(-1.0, 0.0, D), torch.ones(D)) * z.clamp(z.flip(-1)),
    "fmax and fmin": lambda z: torch.fmax(z[:, :2], z[:, 2:]) - 2.0 * torch.fmin(z[:, :2], z[:, 2:]),
    "diagonal matrices": lambda z: (z.diag_embed() @ z[..., None])[..., 0],
    "diagonals": lambda z: z.reshape(-1, 2, 2).diagonal(0, 1, 2).sin(),
    "detach": lambda z: z * z.sin().detach(),
    "norm": lambda z: z.norm(dim=-1),
    "norm along one of two dimensions": lambda z: (z.reshape(-1, 2, 2) + 0.0).norm(dim=1, keepdim=True).flatten(1),
    "other norms": lambda z: z.norm(p=3, dim=-1) + z.norm(p=1, dim=-1) + 2.0 * z.norm(p=4, dim=-1),
    "hypot": lambda z: torch.hypot(z[..., 0], z[..., 1]),
    "deviation": lambda z: z.std(-1) + z.std(-1, correction=0),
    "maximum and minimum": lambda z: (
        torch.maximum(z[..., :2], z[..., 2:]) - 3.0 * torch.minimum(z[..., :2], z[..., 2:])
    ),
    "maximum with a constant": lambda z: torch.maximum(z, torch.zeros(())) + torch.minimum(z, torch.ones(())),
    "leaky relu of another slope": lambda z: nn.functional.leaky_relu(z, 0.3).sum(-1),
}


# they hold constants of that precision
IN_DOUBLE_PRECISION = {"group norm", "batch norm", "prelu", "atan2 of a number"}


def step_of(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return dynamics `(K, D)` that hold a function."""

    def step(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        rows = FUNCTIONS[name](x).reshape(len(x), -1)
        return torch.cat([rows] * D, -1)[:, :D] + u

    return step


@pytest.mark.parametrize("name", FUNCTIONS)
def test_decompositions(name: str, generator: torch.Generator) -> None:
    assert_closed_form(FUNCTIONS[name], *points(generator))


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - IN_DOUBLE_PRECISION))
def test_compiled_rollouts_in_single_precision(name: str, generator: torch.Generator) -> None:
    inside = points(generator)[0].float()
    found = FusedRollout(step_of(name), inside[0], inside[0])(inside, torch.zeros((K, 1, D)))[:, 1]
    torch.testing.assert_close(found, step_of(name)(inside, torch.zeros(K, D)), rtol=1e-4, atol=1e-4)


def test_a_change_of_precision_is_refused() -> None:
    point = torch.ones(D)
    with pytest.raises(UnsupportedError, match="_to_copy: a change of precision"):
        FusedRollout(lambda x, u: (x.double().sin() + u).float(), point, point)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_rollouts(name: str, generator: torch.Generator) -> None:
    step, (inside, *others) = step_of(name), points(generator)
    rollout = FusedRollout(step, inside[0], inside[0])
    for point in (inside, *others):
        x = point.clone().requires_grad_(True)
        u = torch.zeros((K, 1, D), dtype=x.dtype)
        found, expected = rollout(x, u)[:, 1], step(x, u[:, 0])
        assert_close(found.detach(), expected.detach(), 1e-11)
        slopes = [torch.autograd.grad(after.sum(), x)[0] for after in (found, expected)]
        assert_close(slopes[0], slopes[1], 1e-10)


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (nn.functional.hardsigmoid, lambda z: nn.functional.relu6(z + 3.0) / 6.0),
        (
            lambda z: nn.functional.bilinear(z[:, :2], z[:, 2:], MATRIX),
            lambda z: (z[:, :2, None] * MATRIX * z[:, None, 2:]).sum((1, 2))[:, None],
        ),
        (lambda z: torch.cdist(z, POINTS), lambda z: (z[:, None] - POINTS).norm(dim=-1)),
        (nn.functional.rrelu, lambda z: nn.functional.leaky_relu(z, (1 / 8 + 1 / 3) / 2)),
    ],
    ids=["hardsigmoid", "bilinear", "cdist", "rrelu"],
)
def test_what_torch_cannot_differentiate_twice(
    function: Function, reference: Function, generator: torch.Generator
) -> None:
    assert_closed_form(function, *points(generator), reference=reference)
