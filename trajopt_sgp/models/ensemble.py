"""An ensemble of learned dynamics, its members evaluated side by side."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trajopt_sgp.data import DatasetInfo, Normalizer
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.generators import torch_generator
from trajopt_sgp.models.base import check_same_data
from trajopt_sgp.models.dynamics import LearnedDynamics, ResidualDynamics
from trajopt_sgp.models.networks import MLP
from trajopt_sgp.models.unet import UNet
from trajopt_sgp.options import check_count


class EnsembleMLP(nn.Module):
    """K multilayer perceptrons of one shape: inputs `(K, B, in)`, outputs `(K, B, out)`, one product per layer.

    Args:
        networks: what the members start from, K of them.

    Raises:
        OptionError: no networks, or networks of different shapes or activations.
    """

    def __init__(self, networks: Sequence[MLP]) -> None:
        super().__init__()
        shapes = {(tuple(p.shape for p in network.parameters()), network.activation) for network in networks}
        if len(shapes) != 1:
            raise OptionError("An ensemble needs at least one member, and members alike in sizes and activation.")
        self.activation = networks[0].activation
        stacks = [
            torch.stack([p.detach() for p in same]) for same in zip(*(n.parameters() for n in networks), strict=True)
        ]
        # weights (K, in, out) multiply from the right, stored by rows of outputs, since BLAS is three times slower at
        # few outputs otherwise; biases (K, 1, out). Direct attributes, since the look-up of a list of parameters costs
        # as much as a small product
        for layer, (weight, bias) in enumerate(zip(stacks[::2], stacks[1::2], strict=True)):
            self.register_parameter(f"weight_{layer}", nn.Parameter(weight.transpose(1, 2)))
            self.register_parameter(f"bias_{layer}", nn.Parameter(bias[:, None]))

    def forward(self, inputs: Float[Tensor, "members batch inputs"]) -> Float[Tensor, "members batch outputs"]:
        """Return the outputs `(K, B, out)` of each member at its own inputs `(K, B, in)`."""
        tensors: list[Tensor] = list(self._parameters.values())  # type: ignore[arg-type]
        for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            inputs = self.activation.value(torch.baddbmm(bias, inputs, weight))
        return torch.baddbmm(tensors[-1], inputs, tensors[-2])

    @torch.no_grad()
    def silence(self, outputs: Tensor) -> None:
        """Let the outputs of a mask `(out,)` be zero for every member, whatever the inputs."""
        for tensor in list(self.parameters())[-2:]:
            tensor[..., outputs] = 0.0

    def member(self, index: int, inputs: Tensor) -> Tensor:
        """Return the outputs `(..., out)` of one member at inputs `(..., in)`."""
        tensors = [parameter[index] for parameter in self.parameters()]
        for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            inputs = self.activation.value(nn.functional.linear(inputs, weight.T, bias[0]))
        return nn.functional.linear(inputs, tensors[-2].T, tensors[-1][0])


class EnsembleUNet(nn.Module):
    """K U-Nets, one after the other: each has work enough for itself.

    Args:
        networks: the members, K of them.
    """

    def __init__(self, networks: Sequence[UNet]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Float[Tensor, "members batch inputs"]) -> Float[Tensor, "members batch outputs"]:
        """Return the outputs `(K, B, out)` of each member at its own inputs `(K, B, in)`."""
        return torch.stack([network(own) for network, own in zip(self.networks, inputs, strict=True)])

    def member(self, index: int, inputs: Tensor) -> Tensor:
        """Return the outputs `(..., out)` of one member at inputs `(..., in)`."""
        outputs: Tensor = self.networks[index](inputs)
        return outputs


class EnsembleDynamics(ResidualDynamics):
    """Residual dynamics of K members, whose mean is the prediction and whose spread is an uncertainty.

    Source: as a baseline in H. J. T. Suh et al., CoRL 2023; K. Chua et al., Deep Reinforcement Learning in a Handful of
    Trials using Probabilistic Dynamics Models, NeurIPS 2018.

    Args:
        dataset: the dataset it is trained on; gives n and m.
        normalizer: of z = [x; u].
        members: K, at least 2.
        hidden_sizes: width of each hidden layer of a member.
        activation: a name from `trajopt_sgp.models.networks.ACTIVATIONS`.
        generator: source of the initial weights, different for each member.
        network: "mlp"; or "unet" where state and control are pictures, which takes channels for `hidden_sizes`.

    Raises:
        OptionError: fewer than two members, or an unknown network.
    """

    def __init__(
        self,
        dataset: DatasetInfo,
        normalizer: Normalizer,
        members: int = 6,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        activation: str = "silu",
        generator: torch.Generator | None = None,
        network: str = "mlp",
    ) -> None:
        shape = {"hidden_sizes": list(hidden_sizes), "activation": activation, "network": network}
        super().__init__(dataset, normalizer, {"members": members, **shape})
        check_count("EnsembleDynamics", "members", members, least=2)
        if network not in ("mlp", "unet"):
            raise OptionError(f"Unknown network {network!r} of an ensemble; choose from mlp, unet.")
        sizes = self.state_size + self.control_size, hidden_sizes, self.state_size
        source = torch_generator(generator)
        self._members = members
        self.network: EnsembleMLP | EnsembleUNet
        if network == "unet":
            self.network = EnsembleUNet([UNet(*sizes, activation, source) for _ in range(members)])
        else:
            self.network = EnsembleMLP([MLP(*sizes, activation, source) for _ in range(members)])

    @classmethod
    def of(cls, members: Sequence[LearnedDynamics]) -> "EnsembleDynamics":
        """Join dynamics that were trained one by one.

        Raises:
            OptionError: fewer than two members, or members of different shapes or scales.
            IncompatibleError: members of different data or normalizers.
        """
        check_count("EnsembleDynamics", "members", len(members), least=2)
        check_same_data(*members)
        first = members[0]
        networks = [member.network for member in members if isinstance(member.network, MLP)]
        if len(networks) < len(members):
            raise OptionError('An ensemble joins members with the network "mlp", not "unet".')
        scales = [torch.stack([m.step_mean, m.step_scale]) for m in members]
        if not all(torch.equal(scale, scales[0]) for scale in scales):
            raise OptionError("The members of an ensemble must have one step_mean and one step_scale.")
        shape = {name: first.architecture[name] for name in ("hidden_sizes", "activation")}
        ensemble = cls(first.dataset, first.normalizer, len(members), **shape)
        ensemble.network = EnsembleMLP(networks)
        ensemble.to(first.step_scale.dtype)
        ensemble.set_step_statistics(first.step_mean.numpy(), first.step_scale.numpy())
        return ensemble

    @property
    def member_count(self) -> int:
        """Number of members K."""
        return self._members

    def forward(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "*batch n"]:
        """Return the mean over the members of the next states `(..., n)`, in raw units.

        Raises:
            ShapeError: the sizes are not n and m.
        """
        return self.members(state, control).mean(0)

    def members(
        self, state: Float[Tensor, "*batch n"], control: Float[Tensor, "*batch m"]
    ) -> Float[Tensor, "members *batch n"]:
        """Return the next states `(K, ..., n)` that each member predicts.

        Raises:
            ShapeError: the sizes are not n and m.
        """
        steps = self.normalized_steps(self.normalize(state, control))
        return torch.addcmul(state + self.step_mean, self.step_scale, steps)

    def member_step(self, index: int, state: Tensor, control: Tensor) -> Tensor:
        """Return the next states `(..., n)` that one member predicts."""
        steps = self.network.member(index, self.normalize(state, control))
        return state + self.step_mean + self.step_scale * steps

    def mean_step(self, state: Tensor, control: Tensor) -> Tensor:
        """Return what `forward` returns, member by member: operations that a compiler of rollouts can trace."""
        steps = [self.member_step(k, state, control) for k in range(self.member_count)]
        return sum(steps[1:], steps[0]) / self.member_count

    def normalized_steps(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "members *batch n"]:
        """Return what each member adds to the state at z, less the mean step and in units of the steps' spread."""
        return self._outputs(z[None])

    def advance(self, states: Float[Tensor, "members *batch n"], control: Tensor) -> Float[Tensor, "members *batch n"]:
        """Return the next states `(K, ..., n)` of members that are each in a state `(K, ..., n)` of their own.

        Args:
            states: one for each member.
            control: one for all `(..., m)`, or for each member `(K, ..., m)`.

        Raises:
            ShapeError: the sizes are not n and m, or there are not K states.
        """
        if len(states) != self.member_count:
            raise ShapeError(f"There are {len(states)} states for an ensemble of {self.member_count} members.")
        z = self.normalize(states, control.expand(*states.shape[:-1], -1))
        return torch.addcmul(states + self.step_mean, self.step_scale, self._outputs(z))

    def _outputs(self, z: Tensor) -> Tensor:
        """Return the outputs `(K, ..., n)` of the networks at z `(K or 1, ..., d)`."""
        inputs = z.reshape(len(z), -1, z.shape[-1]).expand(self.member_count, -1, -1)
        outputs: Tensor = self.network(inputs)
        return outputs.reshape(self.member_count, *z.shape[1:-1], -1)
