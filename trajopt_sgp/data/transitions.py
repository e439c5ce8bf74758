"""Transitions (x, u, x'): the form in which every model sees its data."""

from dataclasses import dataclass, replace

import numpy as np

from trajopt_sgp.arrays import AnyArray, BoolArray, FloatArray, IntArray
from trajopt_sgp.data.dataset_info import DatasetInfo
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.generators import numpy_generator

_ARRAYS: dict[str, type] = {
    "states": np.float64,
    "controls": np.float64,
    "next_states": np.float64,
    "episodes": np.int64,
    "terminated": np.bool_,
}


@dataclass(frozen=True, eq=False, repr=False)
class Transitions:
    """K transitions x' = f(x, u); arrays are read-only.

    Transitions of one episode are consecutive and in order. Where the second of two neighbours belongs to the same
    episode, its state is the next state of the first; no transition joins two episodes.

    Raises:
        ShapeError: the arrays do not fit together.
        NotFiniteError: NaN or infinity; names episode, step and array.
    """

    states: FloatArray
    """x, `(K, n)`."""
    controls: FloatArray
    """u, `(K, m)`; m is 0 where there is nothing to control, as in `points_as_transitions`."""
    next_states: FloatArray
    """x', `(K, n)`."""
    episodes: IntArray
    """Number of the episode of each transition, `(K,)`."""
    terminated: BoolArray
    """Whether the environment ended the episode in x', `(K,)`; False where the episode was merely cut off."""
    dataset: DatasetInfo
    """Description of the whole dataset, also when these are a part of it."""
    rewards: FloatArray | None = None
    """Reward of each transition `(K,)`, where the data have rewards; not part of the dataset's hash."""

    def __post_init__(self) -> None:
        for name, kind in _ARRAYS.items():
            array: AnyArray = np.array(getattr(self, name), dtype=kind, order="C")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.rewards is not None:
            rewards = np.array(self.rewards, dtype=np.float64)
            rewards.setflags(write=False)
            object.__setattr__(self, "rewards", rewards)
        self._check_shapes()
        for name in ("states", "controls", "next_states", *(["rewards"] if self.rewards is not None else [])):
            self._check_finite(name)

    def __len__(self) -> int:
        return len(self.states)

    def __repr__(self) -> str:
        rewards = "no" if self.rewards is None else "yes"
        sizes = f"K={len(self)}, n={self.state_size}, m={self.control_size}"
        return f"Transitions({self.dataset.id!r}, {sizes}, rewards={rewards})"

    @property
    def state_size(self) -> int:
        """Number of state coordinates n."""
        return int(self.states.shape[1])

    @property
    def control_size(self) -> int:
        """Number of control coordinates m."""
        return int(self.controls.shape[1])

    def require_rewards(self) -> FloatArray:
        """Return the rewards `(K,)`.

        Raises:
            DatasetError: there are none.
        """
        if self.rewards is None:
            raise DatasetError(
                f"Dataset {self.dataset.id!r} has no rewards, without which there are neither outcomes nor values to "
                "learn. Planning for costs that a problem states needs none; for rewards, load a dataset that has them "
                "by `load_transitions`."
            )
        return self.rewards

    def select(self, rows: BoolArray | IntArray) -> "Transitions":
        """Return the transitions at a mask `(K,)` or at indices, with the same dataset description."""
        rewards = None if self.rewards is None else self.rewards[rows]
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS}, rewards=rewards)

    def split(
        self, validation_fraction: float, generator: np.random.Generator | None = None
    ) -> tuple["Transitions", "Transitions"]:
        """Split whole episodes at random into training and validation transitions; those of one run stay together.

        Of a single run its end is held out: neighbours in time are too alike to be divided at random. It tells less
        than an episode of its own would, since it goes on from what is trained on.

        Args:
            validation_fraction: share of the transitions to hold out, in (0, 1); met as closely as whole
                episodes allow, with at least one episode, or transition, on either side.
            generator: source of the random order, by default seeded with 0.

        Returns:
            The training and the validation transitions, each in the order of the dataset.

        Raises:
            OptionError: the fraction is outside (0, 1).
            DatasetError: there is a single transition.
        """
        validation = split_episodes(self._runs(), validation_fraction, generator, self.dataset.id)
        return self.select(~validation), self.select(validation)

    def _runs(self) -> IntArray:
        """Return the number of the run of each transition `(K,)`."""
        if not self.dataset.runs or self.episodes.max() >= self.dataset.episodes:
            return self.episodes
        return np.repeat(np.arange(len(self.dataset.runs)), self.dataset.runs)[self.episodes]

    def _check_shapes(self) -> None:
        shapes = {name: getattr(self, name).shape for name in _ARRAYS}
        count = len(self.states) if self.states.ndim else 0
        matrices = self.states.ndim == 2 and self.controls.ndim == 2
        fits = matrices and self.states.shape == self.next_states.shape and len(self.controls) == count
        if not (fits and count > 0 and shapes["episodes"] == shapes["terminated"] == (count,)):
            raise ShapeError(
                "Transitions need states (K, n), controls (K, m), next_states (K, n), episodes (K,) and terminated "
                f"(K,) with K > 0, not {shapes}."
            )
        if self.rewards is not None and self.rewards.shape != (count,):
            raise ShapeError(f"{count} transitions need rewards ({count},), not {self.rewards.shape}.")

    def _check_finite(self, name: str) -> None:
        finite = np.isfinite(getattr(self, name)).reshape(len(self), -1).all(axis=1)
        if finite.all():
            return
        row = int(np.argmin(finite))
        episode = self.episodes[row]
        step = row - int(np.argmax(self.episodes == episode))
        raise NotFiniteError(
            f"Dataset {self.dataset.id!r} holds NaN or infinity: episode {episode}, step {step}, {name} = "
            f"{getattr(self, name)[row].tolist()}."
        )


def split_episodes(
    episodes: IntArray, validation_fraction: float, generator: np.random.Generator | None, dataset_id: str
) -> BoolArray:
    """Return which transitions `(K,)` are held out when whole episodes, numbered in `episodes` `(K,)`, are split.

    Of a single episode they are the last ones.

    Raises:
        OptionError: the fraction is outside (0, 1), or the generator is something else.
        DatasetError: there is a single transition; names the dataset.
    """
    if not 0.0 < validation_fraction < 1.0:
        raise OptionError(f"validation_fraction = {validation_fraction}: it must lie between 0 and 1.")
    generator = numpy_generator(generator)
    labels, lengths = np.unique(episodes, return_counts=True)
    if len(episodes) < 2:
        raise DatasetError(f"Dataset {dataset_id!r} has a single transition: nothing can be held out of it.")
    if len(labels) < 2:
        kept = min(max(round((1.0 - validation_fraction) * len(episodes)), 1), len(episodes) - 1)
        return np.arange(len(episodes)) >= kept
    wanted, held_out, chosen = validation_fraction * len(episodes), 0, []
    for i in generator.permutation(len(labels)):
        nearer = abs(held_out + lengths[i] - wanted) < abs(held_out - wanted)
        if nearer and held_out + lengths[i] < len(episodes):
            held_out += lengths[i]
            chosen.append(i)
    return np.isin(episodes, labels[chosen or [np.argmin(lengths)]])
