"""Sources of random numbers, which are arguments: never global, and seeded with 0 where none is given.

What chooses or draws arrays takes one of NumPy, what draws tensors one of torch.
"""

import numpy as np
import torch

from trajopt_sgp.errors import OptionError


def numpy_generator(generator: np.random.Generator | None) -> np.random.Generator:
    """Return a generator as it is, or one seeded with 0 where there is none.

    Raises:
        OptionError: it is something else than a generator of NumPy.
    """
    if generator is None:
        return np.random.default_rng(0)
    if not isinstance(generator, np.random.Generator):
        raise OptionError(f"generator = {generator!r}: give a generator of NumPy, as np.random.default_rng(0).")
    return generator


def torch_generator(generator: torch.Generator | None) -> torch.Generator:
    """Return a generator as it is, or one seeded with 0 where there is none.

    Raises:
        OptionError: it is something else than a generator of torch.
    """
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise OptionError(f"generator = {generator!r}: give one of torch, as torch.Generator().manual_seed(0).")
    return generator
