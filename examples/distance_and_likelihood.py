"""Distance or likelihood? They have one gradient, and a denoiser learns it where the data are.

-log p_σ and the softmin energy of three points differ by a constant. One network is regressed to the energy on a box,
another denoises the points; printed is how far each gradient is from the closed form, near the data and beyond.
"""

from pathlib import Path

import numpy as np

from trajopt_sgp.studies.one_dimension.likelihood import LikelihoodSettings, study_likelihood
from trajopt_sgp.viz import plot_likelihood, save_figure


def main() -> None:
    """Learn, compare, print and draw."""
    found = study_likelihood(LikelihoodSettings(sigma=0.2, steps=600, hidden_sizes=(48, 48)))
    constant = found.values["-log p"] - found.values["softmin energy"]
    print(f"-log p - energy is {constant.mean():.3f} everywhere, to {np.ptp(constant):.0e}")
    for name, error in found.errors.items():
        print(f"gradient of {name}: error {error['within']:.1%} within 3σ of the data, {error['beyond']:.1%} beyond")
    figure = plot_likelihood(found.x, found.data, found.values, found.gradients)
    print(f"wrote {save_figure(figure, Path('runs/examples/distance_and_likelihood.png'))}")


if __name__ == "__main__":
    main()
