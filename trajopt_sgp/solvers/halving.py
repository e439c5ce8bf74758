"""Which of several starts go on: successive halving.

Sources: Z. Karnin, T. Koren and O. Somekh, Almost optimal exploration in multi-armed bandits, ICML 2013; K. Jamieson
and A. Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.
"""

import torch
from torch import Tensor


def better_half(live: Tensor, merit: Tensor, violation: Tensor, feasibility: float, starts: int) -> Tensor:
    """Return which programs are in the better half of those of their group that are live, `(P,)`.

    The better half of an odd number is the larger part; of one it is that one.

    Args:
        live: which programs take part, `(P,)`.
        merit: `(P,)`; not finite is worst.
        violation: largest violation of a scaled row, `(P,)`; what is beyond `feasibility` comes after all that is not.
        feasibility: largest violation that counts as feasible.
        starts: number of programs in a row that make a group.
    """
    known = torch.isfinite(merit) & torch.isfinite(violation)
    excess = torch.where(known, torch.where(violation <= feasibility, 0.0, violation), torch.inf)
    merit = torch.where(excess == 0.0, merit, 0.0)
    places = torch.arange(starts).expand(len(live) // starts, -1)
    # stable sorts, the most important key last
    for key in (merit, excess, (~live).to(merit.dtype)):
        order = torch.argsort(key.reshape(-1, starts).gather(1, places), dim=1, stable=True)
        places = places.gather(1, order)
    count = live.reshape(-1, starts).sum(1, keepdim=True)
    kept = torch.arange(starts) < (count + 1) // 2
    return torch.zeros_like(kept).scatter(1, places, kept).reshape(-1)
