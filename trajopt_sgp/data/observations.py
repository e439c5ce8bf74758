"""Which entries of a dataset's spaces make up the state and the control; what cannot be used is refused here."""

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces

from trajopt_sgp.errors import DatasetError, OptionError

# Gymnasium-Robotics' convention for tasks with a goal: the other two entries restate the observation and the task.
_GOAL_TASK = {"observation", "achieved_goal", "desired_goal"}


def state_boxes(space: spaces.Space[Any], keys: Sequence[str] | None, dataset_id: str) -> dict[str, spaces.Box]:
    """Choose the entries of an observation space that are concatenated, in order, to the state.

    A plain Box is the state. Of a Dict, nested or not, `keys` are taken ("outer/inner" for a nested entry); without
    them every entry in the order of the space, as Gymnasium's FlattenObservation has it, but for a task with a goal
    (observation, achieved_goal, desired_goal) `observation` alone.

    Returns:
        Boxes of at most one dimension by key; the single key is "" for a plain Box.

    Raises:
        OptionError: a key that does not exist, a repeated key, or keys for a plain observation.
        DatasetError: an entry that is not a Box, or has more than one dimension (an image).
    """
    leaves = _leaves(space)
    if keys is not None and "" in leaves:
        raise OptionError(f"The observations of dataset {dataset_id!r} are not a dict: observation_keys cannot apply.")
    chosen = _default_keys(leaves) if keys is None else tuple(keys)
    unknown = [key for key in chosen if key not in leaves]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise OptionError(
            f"observation_keys {list(chosen)} do not fit dataset {dataset_id!r}: "
            f"choose from {sorted(leaves)}, each at most once."
        )
    hint = f" Choose other observation_keys from {sorted(leaves)}." if len(leaves) > 1 else ""
    return {
        key: _vector_box(leaves[key], f"observation {key!r}" if key else "observation", dataset_id, hint)
        for key in chosen
    }


def control_box(space: spaces.Space[Any], dataset_id: str) -> spaces.Box:
    """Return the action space as a Box of at most one dimension.

    Raises:
        DatasetError: it is anything else.
    """
    return _vector_box(space, "action", dataset_id, "")


def _leaves(space: spaces.Space[Any], path: str = "") -> dict[str, spaces.Space[Any]]:
    if not isinstance(space, spaces.Dict):
        return {path: space}
    leaves: dict[str, spaces.Space[Any]] = {}
    for key, entry in space.spaces.items():
        leaves.update(_leaves(entry, f"{path}/{key}" if path else str(key)))
    return leaves


def _default_keys(leaves: dict[str, spaces.Space[Any]]) -> tuple[str, ...]:
    return ("observation",) if set(leaves) == _GOAL_TASK else tuple(leaves)


def _vector_box(space: spaces.Space[Any], what: str, dataset_id: str, hint: str) -> spaces.Box:
    if not isinstance(space, spaces.Box):
        raise DatasetError(
            f"The {what} space of dataset {dataset_id!r} is {space}: only Box spaces (real vectors) can be used.{hint}"
        )
    if len(space.shape) > 1:
        raise DatasetError(
            f"The {what} space of dataset {dataset_id!r} has shape {space.shape}: images and matrices cannot be used, "
            f"only vectors.{hint}"
        )
    return space
