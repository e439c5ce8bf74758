"""Study: the cart-pole swing-up, score-guided planning against its alternatives, equally tuned."""

from trajopt_sgp.studies.cart_pole.cells import all_cells
from trajopt_sgp.studies.cart_pole.figures import draw_figures
from trajopt_sgp.studies.cart_pole.page import write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="cart-pole",
    title="Cart-pole swing-up",
    question="How often do plans made by each method, from logged transitions alone, succeed on the true system?",
    version=1,
    cells=all_cells,
    page=write_page,
    figures=draw_figures,
)
