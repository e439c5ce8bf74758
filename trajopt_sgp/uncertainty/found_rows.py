"""Searches among data inside differentiable functions: which points were found is locally constant."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray

RowSearch = Callable[[FloatArray], IntArray]
"""Queries `(..., d)` to row numbers, `(...)` or `(..., k)`."""


def find_rows(z: Tensor, search: RowSearch) -> Tensor:
    """Return the row numbers that a search finds for z `(..., d)`; works under autograd and `torch.func` alike."""
    rows: Tensor = _FoundRows.apply(z, search)  # type: ignore[no-untyped-call]
    return rows


class _FoundRows(torch.autograd.Function):
    @staticmethod
    def forward(z: Tensor, search: RowSearch) -> Tensor:
        return torch.from_numpy(search(z.detach().to("cpu", torch.float64).numpy())).to(z.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        return None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> None:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], z: Tensor, search: RowSearch) -> tuple[Tensor, int]:
        return find_rows(z if in_dims[0] is None else z.movedim(in_dims[0], 0), search), 0
