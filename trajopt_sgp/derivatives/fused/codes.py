"""The operations that the compiled loops interpret, by number; elementwise functions have those of `Code`."""

AFFINE = 0
"""out += in W; out = in W + b where the flag is set.

SECOND and COUNT are the row lengths of W and of its transpose.
"""
ELEMENTWISE = 1
"""out = f(in), f with two constants; f' is recorded."""
PRODUCT = 2
"""out = first * second; both are recorded."""
SPARSE = 3
"""out[row] += coefficient * in[column] for a list of entries; out is set to b before where the flag is set."""
DIAGONAL = 4
"""out += coefficients * in, entry by entry; out is set to b before where the flag is set."""
GATE = 5
"""out = first * second, and 0 where first is 0; first is recorded, and its changes do not count."""

OPERATION, OUT, OUT_SIZE, FIRST, FIRST_SIZE, SECOND, NUMBERS, MORE_NUMBERS, DETAIL, RECORD, COUNT = range(11)
"""Columns of a programme: operation, places and sizes, offsets of constants, function or flag, record, entries."""
