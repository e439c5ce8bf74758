"""The section of a report about the certificate of a plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trajopt_sgp.problem import CertificateCheck
from trajopt_sgp.viz.certificate_plots import plot_certificate
from trajopt_sgp.viz.report import Column, Picture, Section, Table
from trajopt_sgp.viz.style import save_figure


def certificate_section(
    check: CertificateCheck,
    picture: Path,
    names: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    title: str = "Certificate of the model's error",
) -> Section:
    """Return a section with bound and tube against what happened, for `write_report`.

    Args:
        check: a certificate beside an execution, of one plan.
        picture: file that the figure is written to.
        names, units: of the states, as for `plot_certificate`.
        title: heading.

    Raises:
        ShapeError, OptionError: as `plot_certificate`.
    """
    save_figure(plot_certificate(check, names, units=units), picture)
    caption = "Left: bound and realised error of every step, in units of a typical step. Right: plan, tube and plant."
    return Section(title, _text(check), _table(check), [Picture(picture, caption)])


def _text(check: CertificateCheck) -> str:
    confidence = check.certificate.confidence
    if confidence is None:
        return (
            "The bound rests on the estimated Lipschitz constant of the error alone, and the tube follows from it to "
            "first order: neither was calibrated on executed plans, so no confidence can be stated."
        )
    share = f"{100.0 * confidence:g} %"
    return (
        f"At least {share} of plans made in the same way keep below their bounds at every step, and at least {share} "
        "stay in their tubes, over the choice of calibration plans and plan together."
    )


def _table(check: CertificateCheck) -> Table:
    certificate = check.certificate
    radius = certificate.tube[-1] / certificate.error_scale
    gap = np.abs(check.gap[-1]) / certificate.error_scale
    rows = [
        _row("one-step error", certificate.bound, check.error, check.error_ratio),
        _row("distance to the plan at the end", radius, gap, check.tube_ratio),
    ]
    columns = {
        "quantity": Column("quantity"),
        "promised": Column("promised, median"),
        "realised": Column("realised, median"),
        "ratio": Column("largest ratio", spec=".2f"),
        "kept": Column("kept"),
    }
    return Table(rows, columns, "In units of a typical step of each state; ratios are over all knots and states.")


def _row(quantity: str, promised: np.ndarray, realised: np.ndarray, ratio: np.ndarray) -> dict[str, str | float | bool]:
    return {
        "quantity": quantity,
        "promised": float(np.median(promised)),
        "realised": float(np.median(realised)),
        "ratio": float(ratio),
        "kept": bool(ratio <= 1.0),
    }
