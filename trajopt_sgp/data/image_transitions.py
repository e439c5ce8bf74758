"""Transitions whose states and controls are pictures, kept as bytes: an eighth of the memory of other transitions."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajopt_sgp.arrays import AnyArray, BoolArray, IntArray
from trajopt_sgp.data.dataset_info import DatasetInfo, describe_dataset
from trajopt_sgp.data.transitions import split_episodes
from trajopt_sgp.errors import NotFiniteError, ShapeError

Bytes = NDArray[np.uint8]

_ARRAYS = ("states", "controls", "next_states", "episodes")


def to_bytes(pictures: ArrayLike) -> Bytes:
    """Return pictures in [0, 1] as bytes, rounded to 1/255.

    Raises:
        NotFiniteError: a pixel is NaN or outside [0, 1].
    """
    values = np.asarray(pictures)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise NotFiniteError("Pictures hold NaN, or pixels outside [0, 1].")
    return np.rint(255.0 * values).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class ImageTransitions:
    """K transitions x' = f(x, u) of pictures of p pixels each, a byte for a pixel.

    Raises:
        ShapeError: the arrays do not fit together, or are no bytes.
    """

    states: Bytes
    """x, `(K, p)`; 255 stands for 1."""
    controls: Bytes
    """u, `(K, p)`."""
    next_states: Bytes
    """x', `(K, p)`."""
    episodes: IntArray
    """Number of the episode of each transition, `(K,)`; those of one episode are consecutive and in order."""
    dataset: DatasetInfo
    """Description of the whole dataset, also when these are a part of it."""

    def __post_init__(self) -> None:
        pictures = self.states, self.controls, self.next_states
        fits = self.states.ndim == 2 and len({part.shape for part in pictures}) == 1 and len(self.states) > 0
        if not (fits and self.episodes.shape == (len(self.states),) and all(p.dtype == np.uint8 for p in pictures)):
            found = {name: (getattr(self, name).shape, str(getattr(self, name).dtype)) for name in _ARRAYS}
            raise ShapeError(f"Transitions of pictures are bytes (K, p) and episodes (K,) with K > 0, not {found}.")

    def __len__(self) -> int:
        return len(self.states)

    def select(self, rows: BoolArray | IntArray) -> "ImageTransitions":
        """Return the transitions at a mask `(K,)` or at indices, with the same dataset description."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def split(
        self, validation_fraction: float, generator: np.random.Generator | None = None
    ) -> tuple["ImageTransitions", "ImageTransitions"]:
        """Split whole episodes at random into training and validation transitions, as `Transitions.split`."""
        validation = split_episodes(self.episodes, validation_fraction, generator, self.dataset.id)
        return self.select(~validation), self.select(validation)


def make_image_transitions(
    states: Bytes,
    controls: Bytes,
    next_states: Bytes,
    episodes: IntArray,
    dataset_id: str,
    environment: str | None = None,
    minari_version: str | None = None,
) -> ImageTransitions:
    """Describe and hash pictures `(K, p)` and their episodes `(K,)`; the spaces of both are [0, 1]."""
    arrays: dict[str, AnyArray] = dict(zip(_ARRAYS, (states, controls, next_states, episodes), strict=True))
    pixels = states.shape[-1]
    bounds = [0.0] * pixels, [1.0] * pixels
    info = describe_dataset(dataset_id, arrays, bounds, bounds, environment=environment, minari_version=minari_version)
    return ImageTransitions(**arrays, dataset=info)
