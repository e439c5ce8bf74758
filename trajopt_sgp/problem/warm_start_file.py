"""Warm starts in NumPy's archives: what was solved today starts a solve tomorrow."""

from collections.abc import Mapping

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, PlanFileError, TrajoptError
from trajopt_sgp.problem.archive import Archive, PathLike, numbers, open_archive, write_archive
from trajopt_sgp.problem.feedback_law import LAW_ARRAYS, FeedbackLaw, law_of
from trajopt_sgp.problem.solution import Solution
from trajopt_sgp.problem.trajectory import Trajectory
from trajopt_sgp.problem.trajectory_file import TRAJECTORY_ARRAYS, trajectory_arrays, trajectory_of
from trajopt_sgp.problem.warm_start import WarmStart

_POLICY = "policy_parameters"
_MULTIPLIERS = "multipliers_"


def save_warm_start(warm_start: WarmStart | Solution, path: PathLike) -> None:
    """Write what a solver can start from, whole or not at all; an existing file is replaced.

    Of a solution it is `solution.warm_start`.

    The archive has the arrays of `save_trajectory` and, where there are any, `formulation` (its name), the vectors
    `multipliers_constraints` and `multipliers_bounds`, those of a feedback, `gains` `(N, m, n)`, `lower` and `upper`
    `(m,)`, and `policy_parameters` `(k,)`. `load_trajectory` and `load_feedback_law` read their parts of it.

    Raises:
        PlanFileError: the file cannot be written.
        OptionError: this is nothing to start from.
        NotFiniteError: the plan of the solution is not finite.
    """
    warm_start = warm_start.warm_start if isinstance(warm_start, Solution) else warm_start
    if not isinstance(warm_start, WarmStart):
        raise OptionError(f"save_warm_start takes a Solution or a WarmStart, not {type(warm_start).__name__}.")
    arrays = trajectory_arrays(warm_start.trajectory)
    if warm_start.formulation is not None:
        arrays["formulation"] = np.array(warm_start.formulation)
    arrays |= {f"{_MULTIPLIERS}{name}": vector for name, vector in warm_start.multipliers.items()}
    if warm_start.feedback is not None:
        arrays |= warm_start.feedback.arrays()
    if warm_start.policy_parameters is not None:
        arrays[_POLICY] = warm_start.policy_parameters
    write_archive(path, arrays)


def load_warm_start(path: PathLike) -> WarmStart:
    """Read what `save_warm_start` wrote; files of `save_trajectory` and `FeedbackLaw.save` have a part of it.

    Raises:
        PlanFileError: the file cannot be read, or is no such archive.
        OptionError: its trajectory is refused by `load_trajectory`, or nothing tells the formulation of its
            multipliers.
        ShapeError: its arrays do not fit together.
        NotFiniteError: a number in it is not finite.
    """
    with open_archive(path) as archive:
        arrays = numbers(archive, (*TRAJECTORY_ARRAYS, *LAW_ARRAYS, _POLICY))
        multipliers = numbers(archive, [name for name in archive if name.startswith(_MULTIPLIERS)])
        formulation = _text(archive, "formulation", path)
    trajectory = trajectory_of(arrays, path)
    try:
        return WarmStart(
            trajectory=trajectory,
            formulation=formulation,
            multipliers={name.removeprefix(_MULTIPLIERS): vector for name, vector in multipliers.items()},
            feedback=_law(arrays, trajectory),
            policy_parameters=arrays.get(_POLICY),
        )
    except TrajoptError as error:
        raise type(error)(f"{path} is no warm start: {error}") from error


def _law(arrays: Mapping[str, FloatArray], plan: Trajectory) -> FeedbackLaw | None:
    found = [name for name in LAW_ARRAYS if name in arrays]
    if not found:
        return None
    if len(found) < len(LAW_ARRAYS):
        raise PlanFileError(f"It holds {', '.join(found)} alone; a feedback needs {', '.join(LAW_ARRAYS)}.")
    return law_of(arrays, plan)


def _text(archive: Archive, name: str, path: PathLike) -> str | None:
    if name not in archive:
        return None
    text = archive[name]
    if text.dtype.kind != "U" or text.ndim:
        raise PlanFileError(f"{path} holds no text as {name}.")
    return str(text)
