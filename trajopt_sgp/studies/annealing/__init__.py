"""Study: how σ falls, what network learns the score and how distances are weighted, and what that does to plans."""

from trajopt_sgp.studies.annealing.cells import all_cells
from trajopt_sgp.studies.annealing.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="annealing",
    title="Annealing, architecture and weighting",
    question="How do the schedule of σ, the network of the score and the weighting of distances change plan success?",
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
