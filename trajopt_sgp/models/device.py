"""The device that tensors go to."""

import torch

from trajopt_sgp.errors import OptionError


def usable_device(device: torch.device | str) -> torch.device:
    """Return a device of PyTorch, by itself or by its name, on which a tensor has been tried.

    Raises:
        OptionError: there is none of this name, or this installation cannot use it; says why.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise OptionError(
            f"device {str(device)!r} cannot be used: {reason}. `trajopt-sgp info` lists devices."
        ) from error
    return found
