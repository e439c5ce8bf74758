"""What `plan` does unless told otherwise, by solver; plain numbers, which help texts and the work share."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Defaults that go with a solver; the same as in the demo's table of plans, but for the number of starts."""

    formulation: str
    """Name on the command line."""
    beta: float
    """β, weight of the distance to data with weighting σ²."""
    sigma_start: float
    """σ at the start, in normalised units."""
    sigma_stop: float
    """σ at the end, in normalised units."""
    effort: float
    """Weight of (force / 80 N)²."""
    starts: int
    """Random guesses."""
    settings: Mapping[str, int | float] = field(default_factory=dict)
    """Fields of the solver that differ from its own defaults."""


def _with_values(formulation: str) -> Preset:
    """Return the defaults of solvers that compare values."""
    return Preset(formulation=formulation, beta=1.0, sigma_start=0.3, sigma_stop=0.2, effort=1e-3, starts=4)


PRESETS: Mapping[str, Preset] = {
    "gradient-descent": Preset(
        formulation="single-shooting",
        beta=5.0,
        sigma_start=0.3,
        sigma_stop=0.02,
        effort=0.0,
        starts=16,
        settings={"iterations": 250, "step_size": 0.3, "annealing": 0.6},
    ),
    **{name: _with_values("direct-transcription") for name in ("ipopt", "fatrop", "sqp", "scipy")},
    **{name: _with_values("single-shooting") for name in ("ddp", "lbfgs", "cem", "mppi")},
}
"""By the name of the solver on the command line."""


def default_note(name: str) -> str:
    """Return the end of a help text that gives a default for every solver."""
    values = {solver: getattr(preset, name) for solver, preset in PRESETS.items()}
    first, *others = values.values()
    rest = f"; with other solvers {others[0]}" if others[0] != first else ""
    return f"  [default: {first}{rest}]"
