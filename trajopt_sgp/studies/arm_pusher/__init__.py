"""Study: the planner of the planar pusher on the simulated arm, on models learned from its own demonstrations."""

from functools import partial

from trajopt_sgp.envs import ARM_PUSHER_ID
from trajopt_sgp.studies.planar_pusher.cells import PLANNERS, all_cells
from trajopt_sgp.studies.planar_pusher.page import draw_figures, write_page
from trajopt_sgp.studies.study import Study

STUDY = Study(
    name="arm-pusher",
    title="Pusher on the simulated arm",
    question=(
        "Of random goals, how many does a planner reach with an arm in MuJoCo, through kinematics and safety filter, "
        "on models learned from 2,000 transitions demonstrated with that arm, and how many on the analytic model?"
    ),
    version=1,
    cells=partial(all_cells, environment=ARM_PUSHER_ID, planners=PLANNERS[:3]),
    page=write_page,
    figures=draw_figures,
)
