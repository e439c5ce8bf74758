"""Study: planar toys with a hole, a corner and a circle in their data."""

from trajopt_sgp.studies.study import Study
from trajopt_sgp.studies.toys.cells import all_cells
from trajopt_sgp.studies.toys.page import draw_figures, write_page

STUDY = Study(
    name="toys",
    title="Planar toys",
    question=(
        "Do plans held to the data by a learned score go around a hole and a corner in them, where plans without it go "
        "straight through; and what does each uncertainty read in the middle of a hole?"
    ),
    version=2,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
