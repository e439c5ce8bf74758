"""The networks of scores and energies: closed-form gradients, what they do with sigma, files, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import cartpole_data, cartpole_swing_up, force_cost
from tests.synthetic import linear_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.models import (
    ACTIVATIONS,
    ARCHITECTURES,
    Calibration,
    Denoiser,
    EnergyNetwork,
    LevelEmbeddingMLP,
    ResidualMLP,
    ScoreNetwork,
    fit_normalizer,
    load_model_as,
    save_model,
)
from trajopt_sgp.models.calibration import calibrate
from trajopt_sgp.models.preconditioning import NOISE_FEATURES, noise_levels
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.uncertainty import DataDistance, check_score

DATA = linear_transitions(60, 0)
LEVELS = (0.02, 0.1, 0.6)
KINDS: list[type[Denoiser]] = [ScoreNetwork, EnergyNetwork]


def make(kind: type[Denoiser], network: str, **options: Any) -> Denoiser:
    """A small network that nothing has trained, its gates apart from one."""
    options = {"hidden_sizes": (12, 12, 12), "generator": torch.Generator().manual_seed(3), **options}
    model = kind(DATA.dataset, fit_normalizer(DATA), network=network, **options)
    spread_gates(model.network)
    return model


def spread_gates(network: torch.nn.Module) -> None:
    if isinstance(network, LevelEmbeddingMLP):
        generator = torch.Generator().manual_seed(4)
        for parameter in (network.embedding, *network.norms.parameters()):
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture
def inputs(generator: torch.Generator) -> Tensor:
    """z and features of sigma, `(2, 4, 3 + 4)`; the last is sigma itself."""
    values = torch.randn((2, 4, 3 + NOISE_FEATURES), generator=generator, dtype=torch.float64)
    values[..., -1] = values[..., -1].abs() + 0.05
    return values


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("kind", ["residual", "level_embedding"])
def test_input_gradient_is_that_of_autograd(kind: str, activation: str, inputs: Tensor) -> None:
    sizes, seed = (inputs.shape[-1], (6, 6, 6), 2), torch.Generator().manual_seed(1)
    network: ResidualMLP | LevelEmbeddingMLP = ResidualMLP(*sizes, activation, seed)
    if kind == "level_embedding":
        network = LevelEmbeddingMLP(*sizes, LEVELS, activation, seed)
        spread_gates(network)
    network = network.double()
    inputs.requires_grad_(True)
    (expected,) = torch.autograd.grad(network(inputs)[..., 0].sum(), inputs)
    torch.testing.assert_close(network.input_gradient(inputs), expected[..., :3], rtol=1e-11, atol=1e-13)
    assert expected[..., :3].abs().min() > 1e-6


def test_without_blocks_residual_networks_are_perceptrons(inputs: Tensor) -> None:
    network = ResidualMLP(inputs.shape[-1], (8,), 2).double()
    first, last = (layer.double() for layer in network.layers)
    torch.testing.assert_close(network(inputs), last(ACTIVATIONS["silu"].value(first(inputs))))


def test_the_gate_is_the_embedding_of_its_level_and_linear_in_log_sigma_between() -> None:
    network = LevelEmbeddingMLP(7, (5, 5), 1, LEVELS).double()
    spread_gates(network)
    sigmas = torch.tensor([0.02, 0.1, 0.6, 0.001, 5.0, 0.002**0.5, 0.1 * 6.0**0.25], dtype=torch.float64)
    low, middle, high = network.embedding
    expected = [low, middle, high, low, high, 0.5 * (low + middle), 0.75 * middle + 0.25 * high]
    torch.testing.assert_close(network.gate(sigmas[:, None]), torch.stack(expected), rtol=1e-5, atol=1e-6)
    single = LevelEmbeddingMLP(7, (5, 5), 1, (0.1,)).double()
    assert torch.equal(single.gate(sigmas[:, None]), torch.ones(7, 5, dtype=torch.float64))


@pytest.mark.parametrize("sigma_range", [(0.02, 0.6), (0.1, 0.1)])
@pytest.mark.parametrize("network", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_network_conform(kind: type[Denoiser], network: str, sigma_range: tuple[float, float]) -> None:
    model = make(kind, network, sigma_range=sigma_range)
    if isinstance(model, EnergyNetwork):
        z = model.normalize(torch.tensor(DATA.states).float(), torch.tensor(DATA.controls).float())
        model.calibration = calibrate(model.distance, z, model.sigma_range)
        assert len(model.calibration.sigmas) == (16 if sigma_range[0] < sigma_range[1] else 1)
    check_score(model, torch.tensor(DATA.states[:6]), torch.tensor(DATA.controls[:6]), tolerance=1e-5)


@pytest.mark.parametrize("network", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_network_come_back_from_files(kind: type[Denoiser], network: str, tmp_path: Path) -> None:
    model = make(kind, network, levels=LEVELS)
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model_as(kind, tmp_path / "model.safetensors")
    assert loaded.architecture == model.architecture
    assert loaded.architecture["levels"] == (list(LEVELS) if network == "level_embedding" else [])
    z = torch.randn((20, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.distance_gradient(z, 0.3), model.distance_gradient(z, 0.3))


def test_files_from_before_there_was_a_choice_can_be_read(tmp_path: Path) -> None:
    model = make(ScoreNetwork, "mlp")
    save_model(model, tmp_path / "model.safetensors")
    header, tensors = read_tensors(tmp_path / "model.safetensors")
    del header["architecture"]["network"], header["architecture"]["levels"], header["checksum"]
    write_tensors(tmp_path / "old.safetensors", header, tensors)
    assert load_model_as(ScoreNetwork, tmp_path / "old.safetensors").architecture == model.architecture


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_energies_of_every_network_serve_an_exact_solver(network: str) -> None:
    """Twice differentiable inside a program: Ipopt converges with exact Hessians."""
    data = cartpole_data()
    model = EnergyNetwork(data.dataset, fit_normalizer(data), (8, 8), network=network)
    spread_gates(model.network)
    problem = cartpole_swing_up(horizon=4, stage_costs=[force_cost, DataDistance(model, weight=0.1, sigma=0.3)])
    solution = solve(problem, DirectTranscription(), Ipopt())
    assert solution.success, solution.status
    assert solution.iterations < 60


def test_levels_are_ordered_checked_and_ten_by_default() -> None:
    assert noise_levels((), (0.01, 1.0)) == pytest.approx(np.geomspace(0.01, 1.0, 10).tolist())
    assert noise_levels((0.3, 0.1), (0.1, 0.3)) == (0.1, 0.3)
    assert noise_levels((), (0.2, 0.2)) == (0.2,)
    with pytest.raises(OptionError, match="outside"):
        noise_levels((0.5,), (0.1, 0.3))
    with pytest.raises(OptionError, match="once only"):
        noise_levels((0.2, 0.2), (0.1, 0.3))


def test_unknown_networks_and_unequal_widths_are_refused() -> None:
    with pytest.raises(OptionError, match="'transformer'; choose from .*'mlp', 'residual', 'level_embedding'"):
        make(ScoreNetwork, "transformer")
    for network in ("residual", "level_embedding"):
        for sizes in ((8, 9), (), (0, 0)):
            with pytest.raises(OptionError, match=f"A {network} network needs hidden layers of one width"):
                make(ScoreNetwork, network, hidden_sizes=sizes)


def test_a_calibration_of_one_level_is_constant() -> None:
    calibration = Calibration((0.1,), (-0.5,))
    assert calibration.offset(0.1) == pytest.approx(-0.5)
    assert calibration.offset(torch.tensor([[0.1], [0.1]])).tolist() == pytest.approx([-0.5, -0.5])  # type: ignore[union-attr]
