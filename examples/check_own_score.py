"""A score network of your own: does it keep the contract, how accurate is it, and is its field a gradient?

The log holds positions x and controls u = -sin(3 x) + noise; the own network predicts the noise, as in diffusion.
check_score judges it against the closed form over the log, and beside it an energy network of the library.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from trajopt_sgp.data import Transitions, describe_dataset
from trajopt_sgp.learning import EnergySettings, train_energy
from trajopt_sgp.models import MLP, as_sigma
from trajopt_sgp.uncertainty import ScoreAccuracy, check_score, score_accuracy
from trajopt_sgp.viz import save_figure


def sample(count: int, generator: np.random.Generator) -> Transitions:
    """Return transitions of x' = x + 0.1 u under a noisy feedback."""
    states = generator.uniform(-1.0, 1.0, (count, 1))
    controls = -np.sin(3.0 * states) + generator.normal(0.0, 0.05, (count, 1))
    names = ("states", "controls", "next_states", "episodes", "terminated")
    values = (states, controls, states + 0.1 * controls, np.arange(count), np.zeros(count, dtype=np.bool_))
    arrays = dict(zip(names, values, strict=True))
    limits = (np.full(1, -1.5), np.full(1, 1.5))
    return Transitions(**arrays, dataset=describe_dataset("example/feedback-v0", arrays, limits, limits))


class OwnScore(nn.Module):
    """What a model of the distance to data offers: sigma_range, normalize, and distance_gradient within the range."""

    sigma_range = (0.25, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.network = MLP(3, (64, 64), 2, generator=torch.Generator().manual_seed(0))

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z: here the data are of order one as they are."""
        return torch.cat([state, control], dim=-1)

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Return sigma times the predicted noise; `as_sigma` refuses numbers outside the range."""
        level = as_sigma(sigma, z, self.sigma_range)
        return level * self.network(torch.cat([z, level.log().expand(*z.shape[:-1], 1)], dim=-1))


def train(model: OwnScore, data: Transitions, steps: int = 2000) -> OwnScore:
    """Train it to tell the noise in perturbed data."""
    generator, (low, high) = torch.Generator().manual_seed(1), np.log(model.sigma_range)
    points = model.normalize(torch.tensor(data.states), torch.tensor(data.controls)).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        z = points[torch.randint(len(points), (256,), generator=generator)]
        sigma = torch.exp(low + (high - low) * torch.rand((256, 1), generator=generator))
        noise = torch.randn(z.shape, generator=generator)
        loss = (model.distance_gradient(z + sigma * noise, sigma) / sigma - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return model


def draw(reports: dict[str, ScoreAccuracy | None]) -> Figure:
    """Return a figure of the errors by noise level."""
    figure = Figure(figsize=(6.0, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, report in reports.items():
        levels = [level for level in report.levels if level.dense_error is not None] if report else []
        axes.loglog([level.sigma for level in levels], [level.dense_error for level in levels], "o-", label=name)
    axes.set(xlabel="noise level σ", ylabel="relative gradient error where data are dense")
    axes.legend()
    return figure


def main() -> None:
    """Train, check, print and draw."""
    data = sample(2000, np.random.default_rng(0))
    own = train(OwnScore(), data)
    few = torch.tensor(data.states[:8]), torch.tensor(data.controls[:8])
    report = check_score(own, *few, data=data, largest_error=0.3)
    settings = EnergySettings(steps=500, hidden_sizes=(64, 64), sigma_range=OwnScore.sigma_range)
    energy = score_accuracy(train_energy(data, settings).model, data)
    print(report, energy, sep="\n\n")
    figure = draw({"own score": report, "energy": energy})
    print(f"wrote {save_figure(figure, Path('runs/examples/check_own_score.png'))}")


if __name__ == "__main__":
    main()
