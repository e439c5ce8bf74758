"""What closed-form differentiation cannot do."""


class UnsupportedError(Exception):
    """A function cannot be differentiated in closed form; says why."""
