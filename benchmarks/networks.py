"""The networks that are compared, and the same ones in CasADi and ONNX."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import casadi
import numpy as np
import torch
from torch import Tensor, nn

from trajopt_sgp.envs import sample_cartpole_transitions

STATES, CONTROLS = 4, 1
KNOT = STATES + CONTROLS
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "silu": nn.SiLU, "relu": nn.ReLU, "elu": nn.ELU}


class StepNetwork(nn.Module):
    """x' = x + net([x, u]) with `depth` hidden layers, n = 4, m = 1."""

    def __init__(self, width: int, depth: int, activation: str = "tanh", seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = [STATES + CONTROLS, *([width] * depth), STATES]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            linear = nn.Linear(inputs, outputs, dtype=torch.float64)
            small = 0.1 if i == depth else 1.0
            for parameter in linear.parameters():
                nn.init.normal_(parameter, std=small / np.sqrt(inputs), generator=generator)
            layers += [linear, ACTIVATIONS[activation]()] if i < depth else [linear]
        self.net = nn.Sequential(*layers)
        self.state_size, self.control_size = STATES, CONTROLS
        self.requires_grad_(False)

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        """Return the next state `(..., 4)`."""
        change: Tensor = self.net(torch.cat([state, control], dim=-1))
        return state + change

    @property
    def linears(self) -> list[nn.Linear]:
        """The layers with weights."""
        return [layer for layer in self.net if isinstance(layer, nn.Linear)]


def learned_cartpole(width: int, depth: int, seed: int = 0, updates: int = 1500) -> StepNetwork:
    """Return a network trained on sampled cart-pole transitions; its normalisers are part of its weights."""
    data = sample_cartpole_transitions(10_000, np.random.default_rng(seed))
    inputs = torch.tensor(np.hstack([data.states, data.controls]), dtype=torch.float64)
    changes = torch.tensor(data.next_states - data.states, dtype=torch.float64)
    centre, spread, size = inputs.mean(0), inputs.std(0), changes.std(0)
    network = StepNetwork(width, depth, seed=seed)
    z, y = ((inputs - centre) / spread).float(), (changes / size).float()
    net = network.net.float().requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    for _ in range(updates):
        chosen = torch.randint(len(z), (256,), generator=generator)
        loss = (net(z[chosen]) - y[chosen]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    _absorb(network.double(), centre, spread, size)
    return network.requires_grad_(False)


def _absorb(network: StepNetwork, centre: Tensor, spread: Tensor, size: Tensor) -> None:
    """Move the normalisers of inputs and outputs into the first and the last layer."""
    first, last = network.linears[0], network.linears[-1]
    with torch.no_grad():
        first.weight.div_(spread)
        first.bias.sub_(first.weight @ centre)
        last.weight.mul_(size[:, None])
        last.bias.mul_(size)


def casadi_step(network: StepNetwork) -> Callable[[Any], Any]:
    """Return the same step in CasADi with inlined weights, from rows `(K, 5)` to rows `(K, 4)`, tanh networks only."""
    weights = [(linear.weight.detach().numpy(), linear.bias.detach().numpy()) for linear in network.linears]

    def step(z: Any) -> Any:
        hidden = z
        for i, (weight, bias) in enumerate(weights):
            hidden = casadi.mtimes(hidden, weight.T) + casadi.repmat(casadi.DM(bias[None]), z.shape[0], 1)
            hidden = casadi.tanh(hidden) if i < len(weights) - 1 else hidden
        return z[:, :STATES] + hidden

    return step


def onnx_network(network: StepNetwork) -> Any:
    """Return net([x, u]) `(1, 5)` to `(1, 4)` as an ONNX model of MatMul, Add and Tanh, in float64."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, hidden = [], [], "z"
    for i, linear in enumerate(network.linears):
        last = i == len(network.linears) - 1
        tensors += [numpy_helper.from_array(linear.weight.detach().numpy().T.copy(), f"W{i}")]
        tensors += [numpy_helper.from_array(linear.bias.detach().numpy()[None].copy(), f"b{i}")]
        nodes.append(helper.make_node("MatMul", [hidden, f"W{i}"], [f"product{i}"]))
        nodes.append(helper.make_node("Add", [f"product{i}", f"b{i}"], ["change" if last else f"sum{i}"]))
        if not last:
            nodes.append(helper.make_node("Tanh", [f"sum{i}"], [f"hidden{i}"]))
        hidden = f"hidden{i}"
    inputs = [helper.make_tensor_value_info("z", TensorProto.DOUBLE, [1, STATES + CONTROLS])]
    outputs = [helper.make_tensor_value_info("change", TensorProto.DOUBLE, [1, STATES])]
    return helper.make_model(helper.make_graph(nodes, "step", inputs, outputs, tensors))


def layer_shapes(network: StepNetwork) -> Sequence[tuple[int, int]]:
    """Return outputs and inputs of each layer."""
    return [(linear.out_features, linear.in_features) for linear in network.linears]
