"""A density from its score: a uniform one, learned by denoising and sampled by Langevin's equation.

Points have no control: `points_as_transitions` brings them to the models. The exact score of the smoothed density is
known, so chains that follow it show what is left to blame on the learned one.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.stats import kstest

from trajopt_sgp.data import points_as_transitions
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.studies.one_dimension.uniform import UNITS, ExactUniform, smoothed_cdf, smoothed_density
from trajopt_sgp.uncertainty.sampling import langevin
from trajopt_sgp.viz import plot_uniform, save_figure

SIGMA = 0.1


def main() -> None:
    """Train, sample, print and draw."""
    points = np.random.default_rng(0).uniform(3.0, 7.0, (5000, 1))
    settings = ScoreSettings(steps=1500, hidden_sizes=(48, 48), sigma_range=(0.05, 0.2), weight_decay=0.0)
    learned = train_score(points_as_transitions(points, "example/uniform-v0"), settings, normalizer=UNITS).model
    z = torch.linspace(-1.25, 1.25, 401)[:, None]
    scores, samples, numbers = {}, {}, {}
    for name, model in {"learned": learned, "exact": ExactUniform()}.items():
        generator = torch.Generator().manual_seed(0)
        start = torch.randn((2000, 1), generator=generator)
        chains = langevin(model, start, SIGMA, steps=1500, step_size=4e-3, generator=generator)
        with torch.no_grad():
            scores[name] = (-model.distance_gradient(z, SIGMA) / SIGMA**2)[:, 0].double().numpy()
        samples[name] = UNITS.denormalize(chains.double().numpy())[:, 0]
        statistic = kstest(chains.double().numpy()[:, 0], lambda z: smoothed_cdf(z, SIGMA)).statistic
        numbers[name] = {"kolmogorov_smirnov": float(statistic)}
        print(f"{name}: mean {samples[name].mean():.3f}, variance {samples[name].var():.3f}, KS {statistic:.3f}")
    print(f"uniform: mean 5, variance {16 / 12:.3f}; smoothed: variance {16 / 12 + (2 * SIGMA) ** 2:.3f}")
    figure = plot_uniform(z[:, 0].double().numpy(), scores, samples, lambda x: smoothed_density(x, SIGMA), numbers)
    print(f"wrote {save_figure(figure, Path('runs/examples/uniform_langevin.png'))}")


if __name__ == "__main__":
    main()
