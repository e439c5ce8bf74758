"""Where the data of a task are."""

from trajopt_sgp.data import Transitions, load_transitions


def dataset_id(task: str) -> str:
    """Return the Minari id of a task's dataset."""
    return f"sgp/{task}-v0"


def task_transitions(task: str) -> Transitions:
    """Return all transitions of a task.

    Raises:
        DatasetError: the data are missing; names those there are.
    """
    return load_transitions(dataset_id(task))
