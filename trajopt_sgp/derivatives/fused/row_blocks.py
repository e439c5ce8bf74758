"""How many rows go through a step together."""

from functools import lru_cache

# Up to so many multiplications OpenBLAS multiplies as matrices lie in memory, without copying them into its own order.
_SMALL_PRODUCT = 1_000_000
# Rows that go through a step together: in small products of OpenBLAS, and in others, which are better the larger they
# are.
_LEAST_ROWS, _SMALL_ROWS, _ROWS = 8, 32, 64


@lru_cache
def blocks_of_rows(rows: int, largest: int, by_mkl: bool = False) -> tuple[slice, ...]:
    """Return the rows that go through a step together, block by block: their values stay in a cache.

    Args:
        rows: how many there are.
        largest: entries of the largest matrix that multiplies them. Where a few rows make a small product with it,
            blocks are so small.
        by_mkl: whether MKL multiplies, to which small products are none apart.
    """
    small = _SMALL_PRODUCT // max(largest, 1) // _LEAST_ROWS * _LEAST_ROWS
    most = _ROWS if by_mkl else min(small, _SMALL_ROWS) or _ROWS
    count = max(-(-rows // most), 1)
    size = max(-(-rows // (count * _LEAST_ROWS)), 1) * _LEAST_ROWS
    return tuple(slice(start, min(start + size, rows)) for start in range(0, rows, size))
