"""Transitions as points (x, u, x'): what a distance to data is learned on that also knows the dynamics."""

import hashlib
from dataclasses import replace

import numpy as np

from trajopt_sgp.data.dataset_info import DatasetInfo
from trajopt_sgp.data.normalizer import Normalizer
from trajopt_sgp.data.transitions import Transitions
from trajopt_sgp.errors import OptionError


def as_triples(transitions: Transitions) -> Transitions:
    """Return the same transitions with controls [u; x'], `(K, m+n)`, in place of u.

    A score or energy network trained on them, or an exact smoothed distance to them, measures how far (x, u, x') is
    from the data, and so how far x' is from where the system would go; `ScoreTranscription` plans with it. Its dataset
    has a hash of its own, so that such a model is not mistaken for one of (x, u).
    """
    controls = np.hstack([transitions.controls, transitions.next_states])
    return replace(transitions, controls=controls, dataset=describe_triples(transitions.dataset))


def describe_triples(dataset: DatasetInfo) -> DatasetInfo:
    """Return the description of the same data with [u; x'] in place of u."""
    return replace(
        dataset,
        hash=hashlib.sha256(f"{dataset.hash} with next states".encode()).hexdigest(),
        control_low=(*dataset.control_low, *dataset.state_low),
        control_high=(*dataset.control_high, *dataset.state_high),
        control_names=(),
    )


def triple_normalizer(triples: Transitions, stretch: float = 1.0) -> Normalizer:
    """Return the normalizer of [x; u; x'] that treats x' as x, stretched.

    Args:
        triples: from `as_triples`.
        stretch: α of Suh et al. 2023; above 1, an error of the next state counts more than one of the state.

    Raises:
        OptionError: `stretch` is not positive.
    """
    if not stretch > 0.0:
        raise OptionError(f"stretch = {stretch}: it must be positive.")
    n = triples.state_size
    whole = Normalizer.half_range(np.hstack([triples.states, triples.controls]))
    center = np.concatenate([whole.center[:-n], whole.center[:n]])
    scale = np.concatenate([whole.scale[:-n], whole.scale[:n] / stretch])
    return Normalizer(center, scale)
