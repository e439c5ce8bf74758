"""The score of data on a circle: noiseless Langevin steps lead onto the circle from anywhere.

A small score network sees 1,000 points. Beside its field of arrows stands the closed form over the same points; the
numbers say how far from the circle 64 random points end by either.
"""

from pathlib import Path

import numpy as np
import torch

from trajopt_sgp.envs import sample_circle
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.uncertainty import ExactSmoothedDistance
from trajopt_sgp.uncertainty.sampling import annealed_langevin
from trajopt_sgp.viz import plot_score_field, save_figure

SIGMAS = (0.5, 0.25, 0.1, 0.05)  # noise levels, falling, in units of the radius


def main() -> None:
    """Train, sample, print and draw."""
    data = sample_circle(1000, np.random.default_rng(0), radius=3.0)
    settings = ScoreSettings(hidden_sizes=(64, 64, 64), steps=800, sigma_range=(0.03, 0.6))
    score = train_score(data, settings, seed=0).model
    exact = ExactSmoothedDistance(data, sigma_range=(0.03, 0.6))
    start = torch.randn((64, 2), generator=torch.Generator().manual_seed(1))
    print(f"start: {float((start.norm(dim=1) - 1.0).abs().mean()):.3f} radii from the circle in the mean")
    for label, model in {"learned score": score, "closed form": exact}.items():
        end = annealed_langevin(model, start, SIGMAS, steps=25, step_size=SIGMAS[-1] ** 2)
        off = (end.norm(dim=1) - 1.0).abs()
        print(f"{label}: {float(off.mean()):.4f} in the mean, {float(off.max()):.4f} at most")
    fields = {"learned": score, "exact": exact}
    figure = plot_score_field(fields, (0.1, 0.25, 0.5), (-4.5, 4.5), data=data.states)
    print(f"wrote {save_figure(figure, Path('runs/examples/circle_score.png'))}")


if __name__ == "__main__":
    main()
