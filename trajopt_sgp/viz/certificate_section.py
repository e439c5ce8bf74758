"""The section of a report about the certificate of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

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
    return Section(title, check.certificate.meaning, _table(check), [Picture(picture, caption)])


def _table(check: CertificateCheck) -> Table:
    rows = [{**asdict(promise), "kept": promise.kept} for promise in check.promises]
    columns = {
        "quantity": Column("quantity"),
        "promised": Column("promised, median"),
        "realised": Column("realised, median"),
        "ratio": Column("largest ratio", spec=".2f"),
        "kept": Column("kept"),
    }
    return Table(rows, columns, "In units of a typical step of each state; ratios are over all knots and states.")
