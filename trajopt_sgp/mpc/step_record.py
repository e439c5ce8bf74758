"""What a controller notes of each of its steps, and what follows for an episode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trajopt_sgp.errors import OptionError


@dataclass(frozen=True)
class StepRecord:
    """What happened in one step of a controller."""

    seconds: float
    """Wall time of the step [s]."""
    solved: bool
    """Whether the plan of this step was used; otherwise the fallback was."""
    age: int
    """Steps since the plan in use was made."""
    status: str
    """How the solve ended."""
    late: bool = False
    """Whether the step took longer than the time limit."""


def summarise(records: Sequence[StepRecord]) -> Mapping[str, float]:
    """Return median and 99th percentile of the step time [ms], the first step apart, and shares of steps.

    `fallback_rate` is the share of steps that used the fallback, `miss_rate` of those that took longer than the
    time limit, `age_max` the greatest age of a plan in steps.
    """
    if not records:
        raise OptionError("No statistics before the first step.")
    milliseconds = 1e3 * np.array([r.seconds for r in records[1:] or records])
    return {
        "step_ms_p50": float(np.percentile(milliseconds, 50)),
        "step_ms_p99": float(np.percentile(milliseconds, 99)),
        "first_step_ms": 1e3 * records[0].seconds,
        "fallback_rate": float(np.mean([not record.solved for record in records])),
        "miss_rate": float(np.mean([record.late for record in records])),
        "age_max": float(max(record.age for record in records)),
    }
