"""Tables of what is measured beside the scores: time per action, and return against iterations and against data."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trajopt_sgp.data import d4rl_robot
from trajopt_sgp.learning import TRAINING_PRESETS
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.aggregates import mean_interval
from trajopt_sgp.studies.d4rl.methods import PLANNERS
from trajopt_sgp.studies.runner import CellRecord

Curve = list[tuple[int, list[float]]]
"""Abscissae in order, and the scores of the episodes there."""

_WHOLE = 100_000
_HALVES = "± 95 % over episodes"


def with_half(scores: Sequence[float]) -> str:
    """Return the mean of scores of one seed, with half of Student's interval where there is more than one."""
    half = f" ± {half_interval(scores):.1f}" if len(scores) > 1 else ""
    return f"{np.mean(scores):.1f}{half}"


def half_interval(scores: Sequence[float]) -> float:
    """Return half of Student's interval of the mean of scores; 0 of a single one."""
    if len(scores) < 2:
        return 0.0
    found = mean_interval(np.array(scores))
    return found.high - found.value


def speed_table(records: Sequence[CellRecord]) -> str:
    """Return the time that every planner takes, by robot."""
    rows = [
        [robot, method, f"{alone:.0f}", f"{1e3 / alone:.0f}", f"{together:.1f}", f"{1e3 / together:.0f}"]
        for robot, times in speeds(records).items()
        for method, (alone, together) in times.items()
        if method in PLANNERS
    ]
    columns = ["robot", "method", "ms per action, alone", "actions per second"]
    columns += ["ms per action, ten together", "actions per second"]
    return f"One thread; medians of wall time.\n\n{markdown_table(columns, rows)}" if rows else ""


def speeds(records: Sequence[CellRecord]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return milliseconds per action by robot and planner: alone, and ten environments together."""
    timed = [record for record in records if record.function == "speed"]
    return {
        d4rl_robot(record.settings["task"]): {name: (by["1"], by["10"]) for name, by in record.result.items()}
        for record in timed
    }


def budgets(records: Sequence[CellRecord]) -> dict[str, Curve]:
    """Return scores against iterations of the guided planner, by task."""
    found: dict[str, Curve] = defaultdict(list)
    for record in (record for record in records if "iterations" in record.settings):
        found[record.settings["task"]].append((record.settings["iterations"], record.result["scores"]))
    return {task: sorted(curve) for task, curve in found.items()}


def budget_table(records: Sequence[CellRecord]) -> str:
    """Return scores against iterations, with the time that they take."""
    rows, times = [], speeds(records)
    for task, curve in budgets(records).items():
        for count, scores in curve:
            taken = times.get(d4rl_robot(task), {}).get(f"{count} iterations")
            rows.append([task, str(count), *(f"{time:.1f}" for time in taken or ()), *([] if taken else ["", ""])])
            rows[-1].append(with_half(scores))
    columns = ["task", "iterations", "ms per action, alone", "ten together", "score"]
    head = f"The guided planner, models of the first seed; {_HALVES}. Without iterations it takes the best proposal."
    return f"{head}\n\n{markdown_table(columns, rows)}" if rows else ""


def sizes(records: Sequence[CellRecord]) -> dict[tuple[str, str], Curve]:
    """Return scores against the number of transitions learned from, by task and method; the first seed of each."""
    found: dict[tuple[str, str], Curve] = defaultdict(list)
    played = [record for record in records if "scores" in record.result and not record.settings.get("seed")]
    few = {_line(record) for record in played if "transitions" in record.settings}
    for record in (record for record in played if _line(record) in few):
        found[_line(record)].append((record.settings.get("transitions", _WHOLE), record.result["scores"]))
    return {line: sorted(curve) for line, curve in found.items()}


def _line(record: CellRecord) -> tuple[str, str]:
    return record.settings["task"], record.settings.get("method", "")


def size_table(records: Sequence[CellRecord]) -> str:
    """Return scores against the number of transitions."""
    rows = [
        [task, method, f"{count:,}", with_half(scores)]
        for (task, method), curve in sizes(records).items()
        for count, scores in curve
    ]
    head = f"Whole episodes drawn at random, two at least, models of the first seed; {_HALVES}.\n\n"
    return head + markdown_table(["task", "method", "transitions", "score"], rows) if rows else ""


def model_error_table(records: Sequence[CellRecord]) -> str:
    """Return how far the dynamics are off, by task."""
    found = [record for record in records if record.function == "model_error"]
    rows = [
        [record.settings["task"], *(cell for along in ("recorded", "clone") for cell in _ends(record.result[along]))]
        for record in found
    ]
    if not rows:
        return ""
    last = f"after {found[0].settings['steps']} steps"
    columns = ["task", "recorded, after 1 step", last, "along the clone, after 1 step", last]
    held_out = TRAINING_PRESETS["d4rl"].settings["ensemble"].validation_fraction
    head = (
        "Root-mean-square error of the ensemble's mean, in deviations of the states in the data; first seed. Recorded "
    )
    head += f"stretches are of the whole dataset, of which the ensemble has learned from all but {100 * held_out:g} %: "
    head += "they are no test on unseen data.\n\n"
    return head + markdown_table(columns, rows)


def _ends(errors: Sequence[float] | None) -> list[str]:
    """Return the first and the last of some errors."""
    return ["", ""] if errors is None else [f"{errors[0]:.3f}", f"{errors[-1]:.3f}"]


def true_dynamics_table(records: Sequence[CellRecord]) -> str:
    """Return scores with learned and with true dynamics, by task and method; the first seed."""
    played = [record for record in records if "scores" in record.result and not record.settings.get("seed")]
    learned = {(r.settings["task"], r.settings["method"]): r for r in played if r.function == "plan" and _is_plain(r)}
    rows = []
    for record in (record for record in played if record.function == "true_dynamics"):
        task, method = record.settings["task"], record.settings["planned"]
        both = [learned.get((task, method)), record]
        rows.append([task, method, *("" if found is None else _mean(found) for found in both)])
    head = (
        "MuJoCo's next states in plans, in place of learned ones; rewards, value, clone, distance and derivatives are "
    )
    head += f"learned still; {_HALVES}.\n\n"
    return head + markdown_table(["task", "method", "learned dynamics", "true dynamics"], rows) if rows else ""


def _is_plain(record: CellRecord) -> bool:
    """Return whether a record is of all data and the settings of its method."""
    return "method" in record.settings and "transitions" not in record.settings


def _mean(record: CellRecord) -> str:
    return with_half(record.result["scores"])


def program_table(records: Sequence[CellRecord]) -> str:
    """Return size and outcome of plans that were made as nonlinear programs."""
    found = sorted(
        (record for record in records if record.function == "transcribe"), key=lambda record: record.settings["horizon"]
    )
    if not found:
        return ""
    sizes = ["horizon", "variables", "equalities", "iterations", "s", "s in derivatives", "largest violation", "status"]
    rewards = ["horizon", "plan, predicted", "plan, in MuJoCo", "clone, predicted", "clone, in MuJoCo"]
    head = (
        f"{found[0].settings['task']}, all steps at once by direct transcription and Ipopt with "
        f"{found[0].settings['hessian']} Hessians, from a state that the clone has reached."
    )
    more = "What the controls planned, and those of the clone as the model imagines it, earn when played blindly:"
    tables = [markdown_table(sizes, [*map(_program_size, found)])]
    tables.append(markdown_table([*rewards, "clone that sees"], [*map(_program_reward, found)]))
    return "\n\n".join([head, tables[0], more, tables[1]])


def _program_size(record: CellRecord) -> list[str]:
    result, seconds = record.result, record.result["times"]
    counts = [record.settings["horizon"], *(result[name] for name in ("variables", "equalities", "iterations"))]
    numbers = [f"{count:,}" for count in counts] + [f"{seconds[name]:.0f}" for name in ("total", "derivatives")]
    return [*numbers, f"{result['violation']:.0e}", result["status"]]


def _program_reward(record: CellRecord) -> list[str]:
    predicted, true = record.result["predicted"], record.result["true"]
    pairs = [earned[who] for who in ("plan", "clone") for earned in (predicted, true)]
    return [str(record.settings["horizon"]), *(f"{reward:.1f}" for reward in [*pairs, true["clone with sight"]])]
