"""What each planar world is asked, and by which plans."""

from collections.abc import Mapping
from dataclasses import dataclass

from trajopt_sgp.solvers import GradientDescent
from trajopt_sgp.studies.toys.planning import ToyPlan


@dataclass(frozen=True)
class Toy:
    """What one world is asked."""

    plan: ToyPlan
    """How its plans are made."""
    places: Mapping[str, tuple[float, float]]
    """Where uncertainties are read."""
    sigma_range: tuple[float, float]
    """Noise levels of its models."""
    reading_sigmas: tuple[float, ...]
    """Noise levels of the readings and of the pictures."""
    box: tuple[float, float]
    """Lower and upper limit, in both coordinates, of the plane in pictures of fields."""


TOYS: Mapping[str, Toy] = {
    "light-dark": Toy(
        plan=ToyPlan(
            horizon=30,
            beta=60.0,
            sigmas=(0.3, 0.05),
            energy_beta=30.0,
            energy_sigmas=(0.3, 0.1),
            bound=(0.01, 0.05),
            spread=0.5,
            shooting=GradientDescent(iterations=200, step_size=0.1, annealing=0.7, tolerance=1e-5),
        ),
        places={"centre of the hole": (0.0, 0.0), "halfway to its edge": (0.2, 0.0), "in the data": (0.7, 0.0)},
        sigma_range=(0.03, 0.5),
        reading_sigmas=(0.05, 0.1, 0.2),
        box=(-1.0, 1.0),
    ),
    "corridor": Toy(
        plan=ToyPlan(
            horizon=40,
            beta=100.0,
            sigmas=(0.2, 0.03),
            energy_beta=100.0,
            energy_sigmas=(0.2, 0.03),
            bound=(0.01, 0.02),
            spread=0.1,
            shooting=GradientDescent(iterations=300, step_size=0.1, annealing=0.7, tolerance=1e-5),
        ),
        places={"on the straight way": (0.5, 0.5), "behind the corner": (0.2, 0.2), "in the data": (0.0, 0.7)},
        sigma_range=(0.01, 0.4),
        reading_sigmas=(0.03, 0.1, 0.2),
        box=(-0.3, 2.0),
    ),
}
"""By the names of their worlds; tuned by hand on other starts than those of the study."""
