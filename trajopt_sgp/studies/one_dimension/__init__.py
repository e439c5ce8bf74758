"""Study: toys in one dimension, where every uncertainty can be seen whole."""

from trajopt_sgp.studies.one_dimension.cells import all_cells
from trajopt_sgp.studies.one_dimension.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="one-dimension",
    title="Toys in one dimension",
    question=(
        "Which uncertainties know where a model is wrong and lead back to the data, is the gradient of a distance "
        "learned better as a value or as a score, and does a learned score sample the density it was learned from?"
    ),
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
