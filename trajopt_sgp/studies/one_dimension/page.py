"""The page of results of the toys in one dimension, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_SHARES = {"underestimated": "underestimates", "factor": "factor needed, median", "stable": "descents that end at data"}


def one_dimension_page(results: Mapping[str, Any]) -> str:
    """Return the page for the results of the study."""
    settings, uniform = results["settings"], results["uniform"]
    fitted = settings["admissibility"]
    likelihood, admissibility = results["likelihood"], results["admissibility"]
    parts = [
        "# Toys in one dimension: results",
        "Written by `python -m trajopt_sgp.studies.one_dimension`; do not edit it. What each number means is told in "
        f"[toy systems](../../toy-systems.md). {results['seconds']:.0f} s on one core.",
        "## Admissibility and stability",
        f"{len(admissibility)} data sets of {fitted['points']} points. An uncertainty underestimates where it is "
        f"within {fitted['small']:.0%} of its range of what it reads at data, although the error exceeds "
        f"{fitted['wrong']:.0%} of the largest value of the truth. The factor is what the uncertainty must be "
        f"multiplied by to bound the error wherever the nearest data point is more than {fitted['near']:g} away.",
        _admissibility_table(admissibility),
        "![admissibility](one-dimension-admissibility.png)",
        "## Distance against likelihood",
        f"Relative error of the gradient at σ = {settings['likelihood']['sigma']:g} against closed form, mean over "
        f"{len(likelihood)} data sets (largest).",
        _likelihood_table(likelihood),
        "![likelihood](one-dimension-likelihood.png)",
        "## Uniform density",
        f"{settings['uniform']['chains']:,} chains of {settings['uniform']['langevin_steps']:,} steps. Uniform on "
        f"[3, 7]: mean {uniform['known']['mean']:g}, variance {uniform['known']['variance_uniform']:.4f}; smoothed: "
        f"variance {uniform['known']['variance_smoothed']:.4f}. KS is the distance of Kolmogorov and Smirnov to the "
        "smoothed density; chance alone exceeds "
        f"{1.358 / settings['uniform']['chains'] ** 0.5:.4f} in one of twenty cases.",
        _uniform_table(uniform),
        "![uniform](one-dimension-uniform.png)",
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])


def _admissibility_table(cells: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for name in ("ensemble", "Gaussian process", "smoothed distance"):
        share, factor, stable = (np.array([cell[name][key] for cell in cells]) for key in _SHARES)
        shares = [f"{values.mean():.1%}" for values in (share, stable)]
        rows.append([name, shares[0], f"{np.median(factor):.1f}", f"{factor.max():.0f}", shares[1]])
    underestimates, factor_name, ends = _SHARES.values()
    return markdown_table(["uncertainty", f"{underestimates} on", factor_name, "largest", ends], rows)


def _likelihood_table(cells: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for name in ("-log p", "learned distance", "learned score"):
        within, beyond = (np.array([cell[name][key] for cell in cells]) for key in ("within", "beyond"))
        rows.append([name, *(f"{v.mean():.2%} ({v.max():.2%})" for v in (within, beyond))])
    return markdown_table(["gradient of", "within 3σ of data", "beyond"], rows)


def _uniform_table(uniform: Mapping[str, Any]) -> str:
    columns = ["score", "mean", "variance", "KS", "error of the score on the grid"]
    keys = ("mean", "variance", "kolmogorov_smirnov", "score_error")
    rows = [[name, *(f"{uniform[name][key]:.4f}" for key in keys)] for name in ("exact", "learned")]
    return markdown_table(columns, rows)
