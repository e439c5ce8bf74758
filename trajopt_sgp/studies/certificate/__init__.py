"""Study: how often the certificate of model bias holds on executed plans, and how tight it is."""

from trajopt_sgp.studies.certificate.coverage import all_cells
from trajopt_sgp.studies.certificate.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="certificate",
    title="Coverage of the certificate of model bias",
    question=(
        "On what share of executed plans do the realised errors of a learned model stay below the certified bound, and "
        "the plant in the certified tube, and how much larger than the errors are the bounds?"
    ),
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
