"""Study: a box pushed to a pose by model predictive control on learned and analytic models."""

from trajopt_sgp.studies.planar_pusher.cells import all_cells
from trajopt_sgp.studies.planar_pusher.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="planar-pusher",
    title="Planar pusher",
    question=(
        "Of random goals, how many does a planner reach on models learned from 2,000 demonstrated transitions, with "
        "and without the price of leaving the data, in the frame of the box and of the table, and how many on the "
        "analytic model?"
    ),
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
