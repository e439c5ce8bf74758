"""Shooting against collocation on one problem: a slide in least time, whose optimum is a cycloid.

Shooting holds the controls over each interval and so converges with order 2 in the cost; Hermite-Simpson has order 4.
The command `trajopt-sgp compare brachistochrone` does the same with every formulation.
"""

from pathlib import Path

from trajopt_sgp.formulations import HermiteSimpson, MultipleShooting, SingleShooting, TrapezoidalCollocation
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.studies.compare import compare
from trajopt_sgp.studies.problems import brachistochrone, slide_guess
from trajopt_sgp.viz import plot_comparison, save_figure

OPTIMUM = 0.80556382952  # [s], from the cycloid


def main() -> None:
    """Solve four ways, print and draw."""
    problem = brachistochrone().replaced(horizon=10)
    formulations = {
        "single shooting": SingleShooting(),
        "multiple shooting": MultipleShooting(steps_per_interval=5),
        "trapezoidal": TrapezoidalCollocation(),
        "Hermite-Simpson": HermiteSimpson(),
    }
    cells = compare(problem, formulations, {"Ipopt": Ipopt()}, slide_guess(problem))
    for cell in cells:
        row = cell.row(OPTIMUM)
        print(
            f"{cell.formulation:18s} time {row['cost']:.8f} s, error {row['relative_error']:.1e}, "
            f"end missed by {row['resimulated_gap']:.1e}, {row['iterations']} iterations"
        )
    plans = {cell.formulation: cell.solution for cell in cells if cell.solution is not None}
    figure = plot_comparison(plans, OPTIMUM, {"x": "m", "y": "m", "speed": "m/s", "angle": "rad"})
    print(f"wrote {save_figure(figure, Path('runs/examples/shooting_and_collocation.png'))}")


if __name__ == "__main__":
    main()
