"""The operations of a traced function, in order, and the places of their values."""

from dataclasses import dataclass, field

from torch import Tensor

from trajopt_sgp.derivatives.traced.operations import Operation, Shape


@dataclass
class Tape:
    """The operations of a function, in order. Place 0 holds the variables, the next ones the data."""

    operations: list[Operation] = field(default_factory=list)
    """Each takes earlier places."""
    constants: dict[int, Tensor] = field(default_factory=dict)
    """Values that never change, by place."""
    sizes: list[int] = field(default_factory=list)
    """Entries of each place: of an instance where it depends on the variables, else of all."""
    active: set[int] = field(default_factory=set)
    """Places that depend on the variables."""
    result: int = 0
    """Place of the result."""
    shape: Shape = ()
    """Shape of the result."""
    sources: list[Tensor] = field(default_factory=list)
    """Weights and constants that were read, themselves and not copies."""

    def add_place(self, size: int, active: bool) -> int:
        """Return a new place."""
        self.sizes.append(size)
        if active:
            self.active.add(len(self.sizes) - 1)
        return len(self.sizes) - 1

    def add_constant(self, value: Tensor) -> int:
        """Return a new place of a value that never changes."""
        place = self.add_place(value.numel(), active=False)
        self.constants[place] = value
        return place
