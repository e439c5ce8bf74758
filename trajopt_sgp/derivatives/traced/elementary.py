"""Elementwise functions that are known with their first and second derivatives."""

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """What the kernels call an elementwise function."""

    TANH = 0
    SILU = 1
    SIGMOID = 2
    RELU = 3
    ELU = 4
    SOFTPLUS = 5
    SIN = 6
    COS = 7
    ATAN = 8
    ASIN = 9
    ERF = 10
    EXP = 11
    LOG = 12
    SQRT = 13
    RSQRT = 14
    RECIPROCAL = 15
    ABS = 16
    NEG = 17
    SIGN = 18
    SINH = 19
    COSH = 20
    EXPM1 = 21
    LOG1P = 22
    FLOOR = 23
    ROUND = 24
    DETACH = 25
    SQUARE = 26
    POWER = 27
    CLAMP = 28
    HARDTANH = 29
    POSITIVE = 30
    NOT_NEGATIVE = 31
    ROOT = 32


@dataclass(frozen=True)
class Elementary:
    """A function with up to two constant parameters."""

    code: Code
    first: float = 0.0
    """The exponent of a power, the lower end of an interval, where softplus becomes the identity."""
    second: float = 0.0
    """The upper end of an interval."""


def power(exponent: float) -> Elementary:
    """Return x to a constant exponent."""
    return Elementary(Code.SQUARE) if exponent == 2.0 else Elementary(Code.POWER, exponent)


def root(exponent: float = 0.5) -> Elementary:
    """Return x to an exponent below 1, flat at 0, as norms are: roots of sums, with the slope 0 there in torch."""
    return Elementary(Code.ROOT, exponent)


def clamp(low: float | None, high: float | None) -> Elementary:
    """Return x moved into an interval, with the derivative of torch at its ends."""
    infinity = float("inf")
    return Elementary(Code.CLAMP, -infinity if low is None else low, infinity if high is None else high)


def step(closed: bool) -> Elementary:
    """Return 1 above 0 and 0 below, with `closed` 1 at 0 as well."""
    return Elementary(Code.NOT_NEGATIVE if closed else Code.POSITIVE)


def hardtanh(low: float, high: float) -> Elementary:
    """Return x moved into an interval, flat at its ends."""
    return Elementary(Code.HARDTANH, low, high)


def softplus(threshold: float) -> Elementary:
    """Return log(1 + e^x), and x above a threshold."""
    return Elementary(Code.SOFTPLUS, threshold)


ELEMENTARY = {code.name.lower(): Elementary(code) for code in Code if code < Code.SQUARE and code != Code.SOFTPLUS}
"""By the name of the operation in torch."""
