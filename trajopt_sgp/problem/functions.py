"""Functions of a problem may be written in torch or in CasADi; from here on they are torch functions."""

from collections.abc import Callable

import casadi
from torch import Tensor

from trajopt_sgp.problem.casadi_function import CasadiFunction


def as_torch_function(function: Callable[..., Tensor] | casadi.Function, scalar: bool) -> Callable[..., Tensor]:
    """Return a function of batched tensors: the function itself, or a CasADi function wrapped.

    Args:
        function: of torch tensors with leading dimensions, or of CasADi column vectors.
        scalar: whether it returns `(...)`, as a cost does, instead of `(..., r)`.

    Raises:
        ShapeError, IncompatibleError: a CasADi function whose inputs or output have the wrong form.
    """
    if isinstance(function, casadi.Function):
        return CasadiFunction(function, scalar=scalar)
    return function
