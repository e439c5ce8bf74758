"""Study: long horizons in a corridor, and a point maze with a reward at the goal only."""

from trajopt_sgp.studies.long_horizon.cells import all_cells
from trajopt_sgp.studies.long_horizon.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="long-horizon",
    title="Long horizons and sparse rewards",
    question=(
        "Does guidance by a score still work over hundreds of steps, and where the cost tells nothing but whether the "
        "goal is reached at the end; and how do other planners do in the same time?"
    ),
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
