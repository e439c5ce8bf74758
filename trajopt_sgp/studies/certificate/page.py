"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trajopt_sgp.problem import CertificateCheck, PlanCertificate, Trajectory
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import markdown_table, success_rate
from trajopt_sgp.viz import plot_certificate, plot_error_ratios

FloatArray = NDArray[np.float64]

_SETTING = """Each cell draws transitions, trains dynamics and a score on some, fits a certificate to others that
training has not seen, and makes plans by guided single shooting (gradient descent, score weighting σ²) from random
initial states and random guesses. The first plans are executed on the true system to calibrate, the others to count.
An error is a one-step error of the model along what the plant did, in units of a typical step, which is larger than at
the planned states where the plant left the plan. Counts of one seed share a model and a calibration, so that intervals
over seeds are wider than the Wilson intervals shown."""

_OTHERS = """What else was counted, as shares of plans. `before calibration`: bound and tube from the Lipschitz constant
alone. `calibrated on data`: bounds whose factor comes from fresh single transitions at the same confidence, as if the
steps of a plan were drawn like data. `unguided`: the calibrated bounds and tubes on plans of another planner, without
the distance to data, for which nothing is promised. `fresh transitions`: share of single transitions of the data
distribution, seen neither in training nor by the certificate, below the calibrated bound."""

_LIPSCHITZ = "The Lipschitz constants, in error units per unit of normalised state and control:"


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    systems = _by_system(records)
    constants = [f"- {record.label}: {record.result['lipschitz_text']}" for record in records]
    parts = [
        _SETTING,
        "## Coverage and tightness",
        markdown_table(_MAIN_COLUMNS, [_main_row(name, cells) for name, cells in systems.items()]),
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
        "tube-ratios": plot_error_ratios(tubes, confidence, "Largest ratio of gap to tube, plan by plan"),
    }
    for name, cells in systems.items():
        check = _rebuild(cells[0].result["example"], confidence)
        figures[f"plan-of-{name}"] = plot_certificate(check, title=f"A typical plan: {name}")
    return figures


def _by_system(records: Sequence[CellRecord]) -> dict[str, list[CellRecord]]:
    names = dict.fromkeys(record.settings["system"] for record in records)
    return {name: [record for record in records if record.settings["system"] == name] for name in names}


_MAIN_COLUMNS = (
    "system",
    "plans",
    "errors below the bound",
    "by seed",
    "plant in the tube",
    "by seed",
    "median bound / median error",
    "median final radius / gap",
)


def _main_row(name: str, cells: Sequence[CellRecord]) -> list[str]:
    errors, tubes = ([_held(cell.result[key]) for cell in cells] for key in ("error_ratios", "tube_ratios"))
    plans = sum(len(cell.result["error_ratios"]) for cell in cells)
    tightness = [cell.result["median_bound"] / cell.result["median_error"] for cell in cells]
    radii = [np.median(np.divide(cell.result["final_radius"], cell.result["final_gap"])) for cell in cells]
    return [
        name,
        str(plans),
        success_rate(sum(errors), plans).text(_share),
        _by_seed(errors, cells),
        success_rate(sum(tubes), plans).text(_share),
        _by_seed(tubes, cells),
        ", ".join(f"{value:.1f}" for value in tightness),
        ", ".join(f"{value:.1f}" for value in radii),
    ]


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


def _held(ratios: Sequence[float]) -> int:
    return sum(ratio <= 1.0 for ratio in ratios)


def _by_seed(counts: Sequence[int], cells: Sequence[CellRecord]) -> str:
    sizes = [len(cell.result["error_ratios"]) for cell in cells]
    return ", ".join(_share(count / size) for count, size in zip(counts, sizes, strict=True))


def _share(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _pooled(cells: Sequence[CellRecord], key: str) -> FloatArray:
    return np.concatenate([cell.result[key] for cell in cells])


def _rebuild(example: Mapping[str, Any], confidence: float) -> CertificateCheck:
    """Return the certified plan that a cell has kept."""
    arrays = {name: np.array(values) for name, values in example.items() if name != "time_step"}
    step = example["time_step"]
    plan, executed = (Trajectory(arrays[name], arrays["controls"], step) for name in ("states", "executed"))
    error, tube = arrays["error"], arrays["tube"]
    ones = np.ones(tube.shape[1])
    certificate = PlanCertificate(plan, arrays["bound"], tube, confidence, ones, lambda run: error)
    return certificate.compare(executed)
