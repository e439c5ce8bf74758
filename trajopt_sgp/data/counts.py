"""How many of something are asked for."""

from trajopt_sgp.errors import OptionError


def check_counts(**counts: int) -> None:
    """Check numbers by name.

    Raises:
        OptionError: one of them is below 1; names it.
    """
    for name, count in counts.items():
        if count < 1:
            raise OptionError(f"{name} = {count}: it must be at least 1.")
