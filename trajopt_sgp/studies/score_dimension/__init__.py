"""Study: how well scores are learned in 2 to 512 dimensions, where the truth is known."""

from trajopt_sgp.studies.score_dimension.cells import all_cells
from trajopt_sgp.studies.score_dimension.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="score-dimension",
    title="Score accuracy against dimension",
    question=(
        "How well do score networks, energy networks and the closed form over a finite sample estimate the gradient of "
        "the smoothed distance in 2 to 512 dimensions, where the distribution of the data is known, and where do they "
        "fail?"
    ),
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
