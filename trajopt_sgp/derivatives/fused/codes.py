"""The operations and elementwise functions that the compiled loops interpret, by number."""

from trajopt_sgp.derivatives.traced.elementary import Code

AFFINE = 0
"""out += in W; out = in W + b where the flag is set."""
ELEMENTWISE = 1
"""out = f(in); f' is recorded."""
PRODUCT = 2
"""out = first * second; both are recorded."""
SPARSE = 3
"""out[row] += coefficient * in[column] for a list of entries; out is set to b before where the flag is set."""

OPERATION, OUT, OUT_SIZE, FIRST, FIRST_SIZE, SECOND, NUMBERS, MORE_NUMBERS, DETAIL, RECORD, COUNT = range(11)
"""Columns of a programme: operation, places and sizes, offsets of constants, function or flag, record, entries."""

FUNCTIONS = {
    name: code
    for code, name in enumerate(
        (
            "tanh",
            "silu",
            "relu",
            "elu",
            "sigmoid",
            "softplus",
            "sin",
            "cos",
            "exp",
            "log",
            "sqrt",
            "rsqrt",
            "reciprocal",
            "abs",
            "square",
        )
    )
}
"""Numbers of the elementwise functions, by name."""


def function_code(code: Code) -> int | None:
    """Return the number of an elementwise function of a tape, or None."""
    return FUNCTIONS.get(code.name.lower())
