"""Split conformal calibration: how far a score must be allowed to go so that a new one stays below with confidence.

Sources: V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005; A. Angelopoulos and S. Bates,
A Gentle Introduction to Conformal Prediction, arXiv 2107.07511, section 1.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.errors import DatasetError, OptionError


def conformal_quantile(scores: ArrayLike, confidence: float) -> float:
    """Return the ceil((n+1) confidence)-th smallest of n scores.

    A further score that is exchangeable with them is at most this with probability at least `confidence`, over the
    choice of all n + 1; without ties, at most confidence + 1/(n+1).

    Raises:
        OptionError: the confidence is not between 0 and 1.
        DatasetError: too few scores for the confidence, or one is NaN.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if not 0.0 < confidence < 1.0:
        raise OptionError(f"confidence = {confidence}: it must lie between 0 and 1.")
    if np.isnan(ordered).any():
        raise DatasetError("A score is NaN: it cannot be ordered.")
    # what rounding adds to a whole number must not ask for one more
    rank = math.ceil((len(ordered) + 1) * confidence - 1e-9)
    if rank > len(ordered):
        needed = math.ceil(1.0 / (1.0 - confidence) - 1e-9) - 1
        raise DatasetError(
            f"{len(ordered)} plans cannot give a confidence of {100.0 * confidence:g} %: at least {needed} are needed."
        )
    return float(ordered[rank - 1])
