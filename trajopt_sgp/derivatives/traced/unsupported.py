"""What closed-form differentiation cannot do."""


class UnsupportedError(Exception):
    """A function cannot be differentiated in closed form; says why."""


FAILURES = (
    UnsupportedError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    NotImplementedError,
    AssertionError,
)
"""What tracing a function that was not written for it may raise."""
