"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.one_dimension.admissibility import Curve, truth
from trajopt_sgp.studies.one_dimension.uniform import smoothed_density
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.toys.compact import unpack_array
from trajopt_sgp.viz.one_dimension_plots import plot_admissibility, plot_likelihood, plot_uniform

Records = Sequence[CellRecord]

_SHOWN_DATA_SET = "admissibility 1"
_KOLMOGOROV = 1.358
"""Times the root of the number of samples: exceeded by chance in one of twenty cases."""


def write_page(records: Records) -> str:
    """Return the body of the page."""
    parts = ["What each number means is told in [toy systems](../../toy-systems.md)."]
    if chosen := _kind(records, "admissibility"):
        parts += ["## Admissibility and stability", _admissibility_text(chosen), _admissibility_table(chosen)]
    if chosen := _kind(records, "likelihood"):
        parts += ["## Distance against likelihood", _likelihood_text(chosen), _likelihood_table(chosen)]
    if chosen := _kind(records, "uniform"):
        parts += ["## Uniform density", _uniform_text(chosen[0]), _uniform_table(chosen[0].result)]
    return "\n\n".join(parts)


def draw_figures(records: Records) -> dict[str, Figure]:
    """Return one figure for each toy."""
    figures = {}
    if chosen := _kind(records, "admissibility"):
        figures["admissibility"] = _draw_admissibility(chosen)
    if chosen := _kind(records, "likelihood"):
        found = chosen[0].result
        curves = [{k: unpack_array(v) for k, v in found[name].items()} for name in ("values", "gradients")]
        figures["likelihood"] = plot_likelihood(unpack_array(found["x"]), unpack_array(found["data"]), *curves)
    if chosen := _kind(records, "uniform"):
        figures["uniform"] = _draw_uniform(chosen[0])
    return figures


def _kind(records: Records, name: str) -> list[CellRecord]:
    return [record for record in records if record.label.split()[0] == name]


def _draw_admissibility(records: Records) -> Figure:
    shown = next((record for record in records if record.label == _SHOWN_DATA_SET), records[0]).result
    curves = {name: Curve(**{k: unpack_array(v) for k, v in curve.items()}) for name, curve in shown["curves"].items()}
    return plot_admissibility(unpack_array(shown["x"]), unpack_array(shown["data"]), truth, curves, shown["numbers"])


def _draw_uniform(record: CellRecord) -> Figure:
    found, sigma = record.result, record.settings["sigma"]
    scores, samples = ({k: unpack_array(v) for k, v in found[name].items()} for name in ("scores", "samples"))

    def density(x: FloatArray) -> FloatArray:
        return smoothed_density(x, sigma)

    return plot_uniform(unpack_array(found["z"]), scores, samples, density, found["numbers"])


def _admissibility_text(records: Records) -> str:
    settings = records[0].settings
    return (
        f"{len(records)} data sets of {settings['points']} points. An uncertainty underestimates where it is within "
        f"{settings['small']:.0%} of its range of what it reads at data, although the error exceeds "
        f"{settings['wrong']:.0%} of the largest value of the truth. The factor is what the uncertainty must be "
        f"multiplied by to bound the error wherever the nearest data point is more than {settings['near']:g} away."
    )


def _admissibility_table(records: Records) -> str:
    rows = []
    for name in records[0].result["numbers"]:
        numbers = [record.result["numbers"][name] for record in records]
        share, factor, stable = (np.array([n[key] for n in numbers]) for key in ("underestimated", "factor", "stable"))
        shares = [f"{share.mean():.1%}", f"{share.max():.1%}"]
        rows.append([name, *shares, f"{np.median(factor):.1f}", f"{factor.max():.0f}", f"{stable.mean():.1%}"])
    columns = ["uncertainty", "underestimates on", "at most", "factor, median", "largest", "descents that end at data"]
    return markdown_table(columns, rows)


def _likelihood_text(records: Records) -> str:
    sigma = records[0].settings["sigma"]
    return (
        f"Relative error of the gradient on [-2, 2] at σ = {sigma:g} against closed form, mean over {len(records)} "
        "data sets (largest)."
    )


def _likelihood_table(records: Records) -> str:
    rows = []
    for name in ("-log p", "learned distance", "learned score"):
        errors = [record.result["errors"][name] for record in records]
        columns = (np.array([error[key] for error in errors]) for key in ("within", "beyond"))
        rows.append([name, *(f"{column.mean():.2%} ({column.max():.2%})" for column in columns)])
    return markdown_table(["gradient of", "within 3σ of data", "beyond"], rows)


def _uniform_text(record: CellRecord) -> str:
    known, settings = record.result["known"], record.settings
    chance = _KOLMOGOROV / np.sqrt(settings["chains"])
    return (
        f"{settings['chains']:,} chains of {settings['langevin_steps']:,} steps. Uniform on [3, 7]: mean "
        f"{known['mean']:g}, variance {known['variance']:.4f}; smoothed: variance {known['variance_smoothed']:.4f}. KS "
        "is the distance of Kolmogorov and Smirnov to the smoothed density; chance alone exceeds "
        f"{chance:.4f} in one of twenty cases."
    )


def _uniform_table(found: Mapping[str, Any]) -> str:
    columns = ["score", "mean", "variance", "KS", "relative error of the score"]
    keys = ("mean", "variance", "kolmogorov_smirnov", "score_error")
    rows = [[name, *(f"{found['numbers'][name][key]:.4f}" for key in keys)] for name in ("exact", "learned")]
    return markdown_table(columns, rows)
