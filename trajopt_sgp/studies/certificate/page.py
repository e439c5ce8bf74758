"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.problem import CertificateCheck, PlanCertificate, Trajectory
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import success_rate
from trajopt_sgp.uncertainty import LipschitzEstimate
from trajopt_sgp.viz import CARTPOLE_UNITS, plot_certificate, plot_error_ratios

_SETTING = """Each cell draws transitions, trains dynamics and a score on some, fits a certificate to others that
training has not seen, and makes plans by guided single shooting (gradient descent, score weighting σ²) from random
initial states and random guesses. The first plans are executed on the true system to calibrate, as many others to
count. An error is a one-step error of the model along what the plant did, in units of a typical step. A plan counts
where its errors stay below their bounds at all knots. With n plans to calibrate and n to count, the share of one seed
scatters about 95 % with a standard deviation of √(2 · 0.95 · 0.05 / n), 1.4 % for n = 500; plans of one seed share a
calibration, which the Wilson intervals leave out."""

_TUBES = """Tubes, with calibrations of their own: `aligned` as if the errors of all steps conspired, `random` as if
they were independent. Coverage is that of the whole plan; the ratio is that of the typical radius to the typical gap at
the last knot, median over the states."""

_OTHERS = """What else was counted, as shares of plans. `before calibration`: bound and tube from the Lipschitz constant
alone. `calibrated on data`: bounds whose factor comes from fresh single transitions at the same confidence, as if the
steps of a plan were drawn like data. `unguided`: the calibrated bounds and tubes on plans of another planner, without
the distance to data, for which nothing is promised. `fresh transitions`: share of single transitions of the data
distribution, seen neither in training nor by the certificate, below the calibrated bound."""

_LIPSCHITZ = """The Lipschitz constants, in error units per unit of normalised state and control. They are estimates and
may be too small; what makes the bounds hold is their calibration on executed plans:"""


_UNITS = {**CARTPOLE_UNITS, "angle": "rad", "rate": "rad/s"}
"""Of the states; those of drift have none."""


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    systems = _by_system(records)
    constants = [f"- {record.label}: {LipschitzEstimate.from_json(record.result['lipschitz'])}" for record in records]
    parts = [
        _SETTING,
        "## Coverage and tightness",
        markdown_table(_MAIN_COLUMNS, [_main_row(name, cells) for name, cells in systems.items()]),
        _TUBES,
        markdown_table(_TUBE_COLUMNS, [_tube_row(name, cells) for name, cells in systems.items()]),
        "## For comparison",
        _OTHERS,
        markdown_table(_OTHER_COLUMNS, [_other_row(name, cells) for name, cells in systems.items()]),
        _LIPSCHITZ,
        "\n".join(constants),
    ]
    return "\n\n".join(parts)


def draw_figures(records: Sequence[CellRecord]) -> Mapping[str, Figure]:
    """Return the distribution of ratios, of errors and of tubes, and one certified plan of every system."""
    systems = _by_system(records)
    confidence = records[0].settings["confidence"]
    errors = {name: _pooled(cells, "error_ratios") for name, cells in systems.items()}
    tubes = {name: _pooled(cells, "tube_ratios") for name, cells in systems.items()}
    figures = {
        "error-ratios": plot_error_ratios(errors, confidence),
        "tube-ratios": plot_error_ratios(tubes, confidence, "Largest ratio of gap to aligned tube, plan by plan"),
    }
    for name, cells in systems.items():
        example = cells[0].result["example"]
        title = f"A typical plan and its random tube: {name}"
        check = _rebuild(example, confidence)
        figures[f"plan-of-{name}"] = plot_certificate(check, example["names"], units=_UNITS, title=title)
    return figures


def _by_system(records: Sequence[CellRecord]) -> dict[str, list[CellRecord]]:
    names = dict.fromkeys(record.settings["system"] for record in records)
    return {name: [record for record in records if record.settings["system"] == name] for name in names}


_MAIN_COLUMNS = (
    "system",
    "plans",
    "errors below the bound",
    "by seed",
    "median bound / median error",
)
_TUBE_COLUMNS = (
    "system",
    "in the aligned tube",
    "by seed",
    "final radius / gap",
    "in the random tube",
    "by seed",
    "final radius / gap",
)


def _main_row(name: str, cells: Sequence[CellRecord]) -> list[str]:
    errors = [cell.result["error_ratios"] for cell in cells]
    tightness = [cell.result["median_bound"] / cell.result["median_error"] for cell in cells]
    return [name, str(sum(map(len, errors))), *_coverage(errors), _decimals(tightness)]


def _tube_row(name: str, cells: Sequence[CellRecord]) -> list[str]:
    row = [name]
    for results in ([cell.result for cell in cells], [cell.result["narrow"] for cell in cells]):
        row += _coverage([result["tube_ratios"] for result in results])
        pairs = zip(results, cells, strict=True)
        row.append(
            _decimals([_final_ratio(result["final_radius"], cell.result["final_gap"]) for result, cell in pairs])
        )
    return row


def _final_ratio(radius: Sequence[float], gap: Sequence[float]) -> float:
    """Return the median over the states of the ratio of typical radius to typical gap at the last knot."""
    return float(np.median(np.divide(radius, gap)))


def _coverage(ratios: Sequence[Sequence[float]]) -> list[str]:
    """Return the share of plans with a ratio of at most 1, of all seeds together and of each."""
    held, plans = [sum(ratio <= 1.0 for ratio in seed) for seed in ratios], [len(seed) for seed in ratios]
    each = ", ".join(_share(count / size) for count, size in zip(held, plans, strict=True))
    return [success_rate(sum(held), sum(plans)).text(_share), each]


_OTHER_COLUMNS = (
    "system",
    "errors, before calibration",
    "tube, before calibration",
    "errors, calibrated on data",
    "errors, unguided",
    "tube, unguided",
    "fresh transitions",
)


def _other_row(name: str, cells: Sequence[CellRecord]) -> list[str]:
    plans = sum(len(cell.result["error_ratios"]) for cell in cells)
    counts = [sum(cell.result[key] for cell in cells) for key in ("raw_error_held", "raw_tube_held")]
    counts.append(sum(cell.result["data_calibrated_held"] for cell in cells))
    unguided = sum(cell.result["unguided"]["plans"] for cell in cells)
    others = [sum(cell.result["unguided"][key] for cell in cells) for key in ("error_held", "tube_held")]
    fresh = float(np.mean([cell.result["fresh_data_coverage"] for cell in cells]))
    shares = [*(count / plans for count in counts), *(count / unguided for count in others), fresh]
    return [name, *map(_share, shares)]


def _share(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _decimals(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _pooled(cells: Sequence[CellRecord], key: str) -> FloatArray:
    return np.concatenate([cell.result[key] for cell in cells])


def _rebuild(example: Mapping[str, Any], confidence: float) -> CertificateCheck:
    """Return the certified plan that a cell has kept."""
    arrays = {name: np.array(values) for name, values in example.items() if isinstance(values, list)}
    step = example["time_step"]
    plan, executed = (Trajectory(arrays[name], arrays["controls"], step) for name in ("states", "executed"))
    error, tube = arrays["error"], arrays["tube"]
    ones = np.ones(tube.shape[1])
    certificate = PlanCertificate(plan, arrays["bound"], tube, confidence, ones, lambda run: error)
    return certificate.compare(executed)
