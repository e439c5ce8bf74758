"""Mesh refinement: start coarse, split the intervals whose error is too large, and solve again from there.

The swing-up of Kelly's cart-pole (SIAM Review 2017) costs 58.8077 in the limit.
"""

from pathlib import Path

from trajopt_sgp.formulations import HermiteSimpson
from trajopt_sgp.solvers import Ipopt, line_guess
from trajopt_sgp.solvers.mesh import refine_mesh
from trajopt_sgp.studies.problems import cart_pole_swing_up
from trajopt_sgp.viz import plot_solution, save_figure


def main() -> None:
    """Refine, print and draw."""
    problem = cart_pole_swing_up().replaced(horizon=16)
    refinement = refine_mesh(problem, HermiteSimpson(), Ipopt(), line_guess(problem), tolerance=1e-4)
    for solution, error in zip(refinement.solutions, refinement.errors, strict=True):
        print(
            f"{len(error):3d} intervals: cost {solution.cost:.6f}, largest error {error.max():.1e}, "
            f"{solution.iterations} iterations"
        )
    print(f"{'converged' if refinement.converged else 'not converged'}: {refinement.reason}")
    units = {"position": "m", "angle": "rad", "speed": "m/s", "spin": "rad/s", "force": "N"}
    figure = plot_solution(refinement.solution, units)
    print(f"wrote {save_figure(figure, Path('runs/examples/mesh_refinement.png'))}")


if __name__ == "__main__":
    main()
