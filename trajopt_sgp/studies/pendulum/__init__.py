"""Study: the pendulum in keypoints, planned and controlled by the score of its transitions in place of its dynamics."""

from trajopt_sgp.studies.pendulum.cells import all_cells
from trajopt_sgp.studies.pendulum.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="pendulum",
    title="Pendulum in keypoints",
    question=(
        "Can the score of (x, u, x') take the place of dynamics, in a plan from hanging to upright and in model "
        "predictive control, and what does its smoothing cost?"
    ),
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
