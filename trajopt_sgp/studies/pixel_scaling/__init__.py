"""Study of how plans in pixels scale with the number of pixels and of steps."""

from trajopt_sgp.studies.pixel_scaling.cells import all_cells
from trajopt_sgp.studies.pixel_scaling.figures import draw_figures
from trajopt_sgp.studies.pixel_scaling.page import write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="pixel-scaling",
    title="More pixels, and longer plans",
    question="How do time and memory of a plan in pixels grow, and does it still succeed with 61,440 variables?",
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
