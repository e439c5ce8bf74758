"""The studies by name. Names are known without importing what they need."""

from importlib import import_module
from typing import TYPE_CHECKING

from trajopt_sgp.errors import OptionError

if TYPE_CHECKING:
    from trajopt_sgp.studies.study import Study

STUDIES = {
    "cart-pole": "the swing-up: score-guided planning against its alternatives, equally tuned",
    "sample-efficiency": "how many transitions, and how many seconds, a swing-up takes",
    "one-dimension": "uncertainties, distances and scores on a line, where all of them can be seen",
    "pendulum": "a pendulum planned and controlled by the score of its transitions in place of its dynamics",
    "certificate": "how often the certificate of model bias holds on executed plans, and how tight it is",
    "score-dimension": "how well scores are learned in 2 to 512 dimensions, where the truth is known",
    "annealing": "what the schedule of σ, the network of the score and the weighting do to plans",
    "long-horizon": "a corridor in 50 to 800 steps, and a point maze with a reward at the goal only",
    "planar-pusher": "a box pushed to random goals by model predictive control on learned and analytic models",
    "arm-pusher": "the same with a simulated arm, through its kinematics and the safety filter",
    "pixel-scaling": "time and memory of plans in pixels by resolution and horizon, and plans of 61,440 variables",
    "pixels": "a point moved by pictures, planned around a hole in the data in 15,360 variables",
    "toys": "plans around a hole and a corner in the data, what uncertainties read there, and a circle",
}
"""Each in the module of its name, as `STUDY`."""


def find_study(name: str) -> "Study":
    """Return a study.

    Raises:
        OptionError: there is none of this name; lists the valid names.
    """
    if name not in STUDIES:
        raise OptionError(f"Unknown study {name!r}; choose from {', '.join(STUDIES)}.")
    study: Study = import_module(f"trajopt_sgp.studies.{name.replace('-', '_')}").STUDY
    return study
