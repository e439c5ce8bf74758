"""Study of the single integrator in pixels: plans of thousands of decision variables held to the data by a score."""

from trajopt_sgp.studies.pixels.cells import all_cells
from trajopt_sgp.studies.pixels.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="pixels",
    title="Plans in pixels",
    question="Do distances to data keep a plan of 15,360 variables, made of pictures alone, out of a hole in the data?",
    version=4,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
