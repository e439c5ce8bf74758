"""Compiled loops that roll a programme out and sweep its adjoint back, one generic kernel for all models.

A programme is a table of operations (see `codes`) on places of a workspace. With R rows rolled out together a place of
size s is a matrix (R, s) in row order at R times its offset. Everything is in one file because compiled code that is
kept on disk notices changes of its own file only; whoever renumbers `codes` or `Code`, or changes `intrinsics`,
changes this file as well.

The exponential is 2^n e^r with |r| <= ln 2 / 2 and a polynomial for e^r, without branches, so that loops over entries
become vector instructions; NaN passes through. The rational approximations of the error function are those of
S. Moshier, Cephes mathematical library.

The types of the compiled functions are for the reader: type checkers that wrap functions would keep them from the
compiler.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast, no_type_check

import numba
import numpy as np

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.derivatives.fused.codes import (
    AFFINE,
    COUNT,
    DETAIL,
    DIAGONAL,
    ELEMENTWISE,
    FIRST,
    FIRST_SIZE,
    GATE,
    MORE_NUMBERS,
    NUMBERS,
    OPERATION,
    OUT,
    OUT_SIZE,
    PRODUCT,
    RECORD,
    SECOND,
)
from trajopt_sgp.derivatives.intrinsics import call_gemm, use_wide_vectors
from trajopt_sgp.derivatives.traced.elementary import Code

# the compiler takes constants of a module as they are, but no members of an enumeration
_TANH, _SILU, _SIGMOID, _RELU = int(Code.TANH), int(Code.SILU), int(Code.SIGMOID), int(Code.RELU)
_ELU, _SOFTPLUS, _SIN, _COS = int(Code.ELU), int(Code.SOFTPLUS), int(Code.SIN), int(Code.COS)
_ATAN, _ASIN, _ERF = int(Code.ATAN), int(Code.ASIN), int(Code.ERF)
_EXP, _LOG, _SQRT, _RSQRT = int(Code.EXP), int(Code.LOG), int(Code.SQRT), int(Code.RSQRT)
_RECIPROCAL, _ABS, _NEG, _SIGN = int(Code.RECIPROCAL), int(Code.ABS), int(Code.NEG), int(Code.SIGN)
_SQUARE, _POWER, _CLAMP, _POSITIVE = int(Code.SQUARE), int(Code.POWER), int(Code.CLAMP), int(Code.POSITIVE)
_ROOT = int(Code.ROOT)
_SINH, _COSH, _EXPM1, _LOG1P = int(Code.SINH), int(Code.COSH), int(Code.EXPM1), int(Code.LOG1P)
_FLOOR, _ROUND, _DETACH, _HARDTANH = int(Code.FLOOR), int(Code.ROUND), int(Code.DETACH), int(Code.HARDTANH)
# A matrix with fewer rows or columns is thin.
_THIN = 16
_ERF_SLOPE = 2.0 / math.sqrt(math.pi)

Function = TypeVar("Function", bound=Callable[..., Any])

# Numba types its options, of which one that is used here is not documented: compiled code without reference counts.
_njit: Any = numba.njit

# Sums may be reordered and products contracted; NaN and infinity keep their meaning.
_SUMS = {"contract", "nsz", "reassoc"}


def _compiled(function: Function, **options: Any) -> Function:
    """Compile at the first call, and keep the result on disk where there is a folder to write to."""
    try:
        return cast(Function, _njit(cache=True, nogil=True, _nrt=False, error_model="numpy", **options)(function))
    except RuntimeError:
        return cast(Function, _njit(nogil=True, _nrt=False, error_model="numpy", **options)(function))


def _plain(function: Function) -> Function:
    return _compiled(function)


def _contracted(function: Function) -> Function:
    return _compiled(function, fastmath={"contract"})


def _inlined(function: Function) -> Function:
    return _compiled(function, inline="always")


def _reordered(function: Function) -> Function:
    return _compiled(function, fastmath=_SUMS)


@_inlined
@no_type_check
def _exponential_less_one(x: Any) -> Any:
    """Return 2^n and 2^n (e^r - 1), whose sum less one is e^x - 1, for |x| <= 708."""
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r * r + r
    bits = np.float64(n + 6755399441055744.0).view(np.int64) - 0x4338000000000000
    power = np.int64((bits + 1023) << 52).view(np.float64)
    return power, power * p


@_contracted
@no_type_check
def _tanh(x: AnyArray, y: AnyArray, slope: AnyArray) -> None:
    use_wide_vectors()
    for i in range(len(x)):
        z = 2.0 * np.float64(x[i])
        z = 40.0 if z > 40.0 else z
        z = -40.0 if z < -40.0 else z
        power, rest = _exponential_less_one(z)
        e = rest + (power - 1.0)
        result = e / (e + 2.0)
        y[i] = result
        slope[i] = 1.0 - result * result


@_contracted
@no_type_check
def _silu(x: AnyArray, y: AnyArray, slope: AnyArray) -> None:
    use_wide_vectors()
    for i in range(len(x)):
        z = np.float64(x[i])
        negative = -z
        negative = 700.0 if negative > 700.0 else negative
        negative = -700.0 if negative < -700.0 else negative
        power, rest = _exponential_less_one(negative)
        gate = 1.0 / (1.0 + (power + rest))
        result = z * gate
        y[i] = result
        slope[i] = gate + result * (1.0 - gate)


@_contracted
@no_type_check
def _sigmoid(x: AnyArray, y: AnyArray, slope: AnyArray) -> None:
    use_wide_vectors()
    for i in range(len(x)):
        negative = -np.float64(x[i])
        negative = 700.0 if negative > 700.0 else negative
        negative = -700.0 if negative < -700.0 else negative
        power, rest = _exponential_less_one(negative)
        gate = 1.0 / (1.0 + (power + rest))
        y[i] = gate
        slope[i] = gate * (1.0 - gate)


@_contracted
@no_type_check
def _elu(x: AnyArray, y: AnyArray, slope: AnyArray) -> None:
    use_wide_vectors()
    for i in range(len(x)):
        z = np.float64(x[i])
        below = 0.0 if z > 0.0 else z
        below = -40.0 if below < -40.0 else below
        power, rest = _exponential_less_one(below)
        e = rest + (power - 1.0)
        y[i] = z if z > 0.0 else e
        slope[i] = 1.0 if z > 0.0 else e + 1.0


@_plain
@no_type_check
def _relu(x: AnyArray, y: AnyArray, slope: AnyArray) -> None:
    for i in range(len(x)):
        z = x[i]
        y[i] = 0.0 if z <= 0.0 else z
        slope[i] = 0.0 if z <= 0.0 else 1.0


@_plain
@no_type_check
def _clamp(x: AnyArray, y: AnyArray, slope: AnyArray, a: float, b: float) -> None:
    for i in range(len(x)):
        z = x[i]
        y[i] = b if z > b else (a if z < a else z)
        slope[i] = 0.0 if z > b or z < a else 1.0


@_plain
@no_type_check
def _hardtanh(x: AnyArray, y: AnyArray, slope: AnyArray, a: float, b: float) -> None:
    for i in range(len(x)):
        z = x[i]
        y[i] = b if z > b else (a if z < a else z)
        slope[i] = 0.0 if z >= b or z <= a else 1.0


@_contracted
@no_type_check
def _softplus(x: AnyArray, y: AnyArray, slope: AnyArray, threshold: float) -> None:
    use_wide_vectors()
    for i in range(len(x)):
        z = np.float64(x[i])
        size = abs(z)
        size = 700.0 if size > 700.0 else size
        power, rest = _exponential_less_one(-size)
        e = power + rest
        # log(1 + e) is twice the area tangent of e / (2 + e), at most 1/3
        s = e / (2.0 + e)
        w = s * s
        p = 1.0 / 33.0
        p = p * w + 1.0 / 31.0
        p = p * w + 1.0 / 29.0
        p = p * w + 1.0 / 27.0
        p = p * w + 1.0 / 25.0
        p = p * w + 1.0 / 23.0
        p = p * w + 1.0 / 21.0
        p = p * w + 1.0 / 19.0
        p = p * w + 1.0 / 17.0
        p = p * w + 1.0 / 15.0
        p = p * w + 1.0 / 13.0
        p = p * w + 1.0 / 11.0
        p = p * w + 1.0 / 9.0
        p = p * w + 1.0 / 7.0
        p = p * w + 1.0 / 5.0
        p = p * w + 1.0 / 3.0
        p = p * w + 1.0
        gate = (1.0 if z > 0.0 else e) / (1.0 + e)
        bend = (z if z > 0.0 else 0.0) + 2.0 * s * p
        y[i] = z if z > threshold else bend
        slope[i] = 1.0 if z > threshold else gate


@_contracted
@no_type_check
def _erf(x: AnyArray, y: AnyArray, slope: AnyArray) -> None:
    use_wide_vectors()
    for i in range(len(x)):
        z = np.float64(x[i])
        size = abs(z)
        size = 26.0 if size > 26.0 else size
        w = size * size
        power, rest = _exponential_less_one(-w)
        bell = power + rest
        p = 2.46196981473530512524e-10
        p = p * size + 5.64189564831068821977e-1
        p = p * size + 7.46321056442269912687e0
        p = p * size + 4.86371970985681366614e1
        p = p * size + 1.96520832956077098242e2
        p = p * size + 5.26445194995477358631e2
        p = p * size + 9.34528527171957607540e2
        p = p * size + 1.02755188689515710272e3
        p = p * size + 5.57535335369399327526e2
        q = size + 1.32281951154744992508e1
        q = q * size + 8.67072140885989742329e1
        q = q * size + 3.54937778887819891062e2
        q = q * size + 9.75708501743205489753e2
        q = q * size + 1.82390916687909736289e3
        q = q * size + 2.24633760818710981792e3
        q = q * size + 1.65666309194161350182e3
        q = q * size + 5.57535340817727675546e2
        t = 9.60497373987051638749e0
        t = t * w + 9.00260197203842689217e1
        t = t * w + 2.23200534594684319226e3
        t = t * w + 7.00332514112805075473e3
        t = t * w + 5.55923013010394962768e4
        u = w + 3.35617141647503099647e1
        u = u * w + 5.21357949780152679795e2
        u = u * w + 4.59432382970980127987e3
        u = u * w + 2.26290000613890934246e4
        u = u * w + 4.92673942608635921086e4
        far, near = 1.0 - bell * p / q, size * t / u
        result = near if size < 1.0 else far
        result = -result if z < 0.0 else result
        y[i] = z if z != z else result
        slope[i] = _ERF_SLOPE * bell


@_plain
@no_type_check
def _other(code: int, x: AnyArray, y: AnyArray, slope: AnyArray, a: float, b: float) -> None:
    for i in range(len(x)):
        z = np.float64(x[i])
        if code == _SIN:
            result, first = math.sin(z), math.cos(z)
        elif code == _COS:
            result, first = math.cos(z), -math.sin(z)
        elif code == _ATAN:
            result, first = math.atan(z), 1.0 / (1.0 + z * z)
        elif code == _ASIN:
            result, first = np.arcsin(z), 1.0 / np.sqrt(1.0 - z * z)
        elif code == _EXP:
            result = math.exp(z)
            first = result
        elif code == _LOG:
            result, first = np.log(z), 1.0 / z
        elif code == _SQRT:
            result = np.sqrt(z)
            first = 0.5 / result
        elif code == _RSQRT:
            result = 1.0 / np.sqrt(z)
            first = -0.5 * result / z
        elif code == _RECIPROCAL:
            result = 1.0 / z
            first = -result * result
        elif code == _ABS:
            result, first = abs(z), np.sign(z)
        elif code == _SINH:
            result, first = math.sinh(z), math.cosh(z)
        elif code == _COSH:
            result, first = math.cosh(z), math.sinh(z)
        elif code == _EXPM1:
            result = math.expm1(z)
            first = result + 1.0
        elif code == _LOG1P:
            result, first = np.log1p(z), 1.0 / (1.0 + z)
        elif code == _FLOOR:
            result, first = np.floor(z), 0.0
        elif code == _ROUND:
            result, first = np.rint(z), 0.0
        elif code == _DETACH:
            result, first = z, 0.0
        elif code == _NEG:
            result, first = -z, -1.0
        elif code == _SIGN:
            result, first = np.sign(z), 0.0
        elif code == _SQUARE:
            result, first = z * z, 2.0 * z
        elif code == _POWER:
            result, first = z**a, a * z ** (a - 1.0)
        elif code == _POSITIVE:
            result, first = 1.0 if z > 0.0 else 0.0, 0.0
        elif code == _ROOT:
            result = np.sqrt(z) if a == 0.5 else z**a
            first = 0.0 if z == 0.0 else a * result / z
        else:
            result, first = 1.0 if z >= 0.0 else 0.0, 0.0
        y[i] = result
        slope[i] = first


@_plain
@no_type_check
def _fill(rows: int, bias: AnyArray, y: AnyArray) -> None:
    s = len(bias)
    for r in range(rows):
        part = y[r * s : r * s + s]
        for i in range(s):
            part[i] = bias[i]


@_contracted
@no_type_check
def _add_scaled(rows: int, factors: AnyArray, x: AnyArray, y: AnyArray) -> None:
    s = len(factors)
    for r in range(rows):
        part, source = y[r * s : r * s + s], x[r * s : r * s + s]
        for i in range(s):
            part[i] += factors[i] * source[i]


@_plain
@no_type_check
def _clear(x: AnyArray) -> None:
    for i in range(len(x)):
        x[i] = 0.0


@_plain
@no_type_check
def _elementwise(code: int, x: AnyArray, y: AnyArray, slope: AnyArray, a: float, b: float) -> None:
    if code == _TANH:
        _tanh(x, y, slope)
    elif code == _SILU:
        _silu(x, y, slope)
    elif code == _RELU:
        _relu(x, y, slope)
    elif code == _ELU:
        _elu(x, y, slope)
    elif code == _SIGMOID:
        _sigmoid(x, y, slope)
    elif code == _SOFTPLUS:
        _softplus(x, y, slope, a)
    elif code == _ERF:
        _erf(x, y, slope)
    elif code == _CLAMP:
        _clamp(x, y, slope, a, b)
    elif code == _HARDTANH:
        _hardtanh(x, y, slope, a, b)
    else:
        _other(code, x, y, slope, a, b)


@_reordered
@no_type_check
def _add_product(
    x: AnyArray, matrix: AnyArray, length: int, transpose: AnyArray, other_length: int, y: AnyArray
) -> None:
    """Add x M to y, M `(k, m)`: by columns of the transpose where y is short, else by rows, eight at a time."""
    k, m = len(x), len(y)
    if m < 16:
        for j in range(m):
            column = transpose[j * other_length : j * other_length + k]
            total = y[j]
            for i in range(k):
                total += x[i] * column[i]
            y[j] = total
        return
    i = 0
    while i + 8 <= k:
        a0, a1, a2, a3, a4, a5, a6, a7 = x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        o, w = i * length, length
        m0, m1, m2, m3 = matrix[o : o + m], matrix[o + w : o + w + m], matrix[o + 2 * w :], matrix[o + 3 * w :]
        m4, m5, m6, m7 = matrix[o + 4 * w :], matrix[o + 5 * w :], matrix[o + 6 * w :], matrix[o + 7 * w :]
        for j in range(m):
            y[j] += (a0 * m0[j] + a1 * m1[j] + a2 * m2[j] + a3 * m3[j]) + (
                a4 * m4[j] + a5 * m5[j] + a6 * m6[j] + a7 * m7[j]
            )
        i += 8
    while i < k:
        row, a = matrix[i * length : i * length + m], x[i]
        for j in range(m):
            y[j] += a * row[j]
        i += 1


@_plain
@no_type_check
def _add_products(
    rows: int,
    x: AnyArray,
    matrix: AnyArray,
    length: int,
    transpose: AnyArray,
    other_length: int,
    y: AnyArray,
    gemm: AnyArray,
    sizes: AnyArray,
    factors: AnyArray,
) -> None:
    """Add X M to Y, X `(R, k)`, M `(k, m)`; `length` from row to row of M, `other_length` of its transpose."""
    k, m = len(x) // rows, len(y) // rows
    if rows < 4:
        for r in range(rows):
            _add_product(x[r * k : r * k + k], matrix, length, transpose, other_length, y[r * m : r * m + m])
        return
    sizes[0], sizes[1], sizes[2], sizes[3] = m, rows, k, length
    p, one = sizes.ctypes.data, factors.ctypes.data
    columns, row_count, inner, stride, as_it_is = p, p + 4, p + 8, p + 12, p + 16
    pointers = (
        as_it_is,
        as_it_is,
        columns,
        row_count,
        inner,
        one,
        matrix.ctypes.data,
        stride,
        x.ctypes.data,
        inner,
        one,
        y.ctypes.data,
        columns,
    )
    call_gemm(gemm[0 if min(k, m) < _THIN else 1], pointers)


@_plain
@no_type_check
def _forward_step(
    rows: int,
    table: AnyArray,
    numbers: AnyArray,
    places: AnyArray,
    work: AnyArray,
    record: AnyArray,
    gemm: AnyArray,
    sizes: AnyArray,
    factors: AnyArray,
) -> None:
    for line in range(len(table)):
        op = table[line]
        s, k, here, more, kept_at = op[OUT_SIZE], op[FIRST_SIZE], op[NUMBERS], op[MORE_NUMBERS], op[RECORD]
        y, x = work[op[OUT] * rows : (op[OUT] + s) * rows], work[op[FIRST] * rows : (op[FIRST] + k) * rows]
        if op[OPERATION] == AFFINE:
            length, other_length = op[SECOND], op[COUNT]
            bias = more + s * other_length
            matrix, transpose = numbers[here : here + k * length], numbers[more:bias]
            if op[DETAIL] == 1:
                _fill(rows, numbers[bias : bias + s], y)
            _add_products(rows, x, matrix, length, transpose, other_length, y, gemm, sizes, factors)
        elif op[OPERATION] == ELEMENTWISE:
            slope = record[kept_at * rows : (kept_at + s) * rows]
            _elementwise(op[DETAIL], x, y, slope, numbers[here], numbers[here + 1])
        elif op[OPERATION] == PRODUCT:
            second = work[op[SECOND] * rows : (op[SECOND] + s) * rows]
            kept = record[kept_at * rows : (kept_at + s) * rows]
            also = record[(kept_at + s) * rows : (kept_at + 2 * s) * rows]
            for i in range(len(y)):
                kept[i], also[i] = x[i], second[i]
                y[i] = x[i] * second[i]
        elif op[OPERATION] == GATE:
            second = work[op[SECOND] * rows : (op[SECOND] + s) * rows]
            kept = record[kept_at * rows : (kept_at + s) * rows]
            for i in range(len(y)):
                kept[i] = x[i]
                y[i] = x[i] * second[i] if x[i] != 0.0 else 0.0
        elif op[OPERATION] == DIAGONAL:
            if op[DETAIL] == 1:
                _fill(rows, numbers[op[SECOND] : op[SECOND] + s], y)
            _add_scaled(rows, numbers[here : here + s], x, y)
        else:
            if op[DETAIL] == 1:
                _fill(rows, numbers[op[SECOND] : op[SECOND] + s], y)
            for r in range(rows):
                for e in range(op[COUNT]):
                    target, source = places[2 * (more + e)], places[2 * (more + e) + 1]
                    y[r * s + target] += numbers[here + e] * x[r * k + source]


@_plain
@no_type_check
def _backward_step(
    rows: int,
    table: AnyArray,
    numbers: AnyArray,
    places: AnyArray,
    adjoint: AnyArray,
    record: AnyArray,
    gemm: AnyArray,
    sizes: AnyArray,
    factors: AnyArray,
) -> None:
    for line in range(len(table) - 1, -1, -1):
        op = table[line]
        s, k, here, more, kept_at = op[OUT_SIZE], op[FIRST_SIZE], op[NUMBERS], op[MORE_NUMBERS], op[RECORD]
        y, x = adjoint[op[OUT] * rows : (op[OUT] + s) * rows], adjoint[op[FIRST] * rows : (op[FIRST] + k) * rows]
        if op[OPERATION] == AFFINE:
            length, other_length = op[SECOND], op[COUNT]
            matrix, transpose = numbers[here : here + k * length], numbers[more : more + s * other_length]
            _add_products(rows, y, transpose, other_length, matrix, length, x, gemm, sizes, factors)
        elif op[OPERATION] == ELEMENTWISE:
            slope = record[kept_at * rows : (kept_at + s) * rows]
            for i in range(len(y)):
                x[i] += slope[i] * y[i]
        elif op[OPERATION] == PRODUCT:
            second = adjoint[op[SECOND] * rows : (op[SECOND] + s) * rows]
            kept = record[kept_at * rows : (kept_at + s) * rows]
            also = record[(kept_at + s) * rows : (kept_at + 2 * s) * rows]
            for i in range(len(y)):
                x[i] += also[i] * y[i]
                second[i] += kept[i] * y[i]
        elif op[OPERATION] == GATE:
            second = adjoint[op[SECOND] * rows : (op[SECOND] + s) * rows]
            kept = record[kept_at * rows : (kept_at + s) * rows]
            for i in range(len(y)):
                second[i] += kept[i] * y[i]
        elif op[OPERATION] == DIAGONAL:
            _add_scaled(rows, numbers[here : here + s], y, x)
        else:
            for r in range(rows):
                for e in range(op[COUNT]):
                    target, source = places[2 * (more + e)], places[2 * (more + e) + 1]
                    x[r * k + source] += numbers[here + e] * y[r * s + target]


@_plain
@no_type_check
def roll_out(
    states: AnyArray,
    controls: AnyArray,
    table: AnyArray,
    numbers: AnyArray,
    places: AnyArray,
    result: int,
    work: AnyArray,
    record: AnyArray,
    gemm: AnyArray,
    sizes: AnyArray,
    factors: AnyArray,
) -> None:
    """Fill states `(R, T+1, n)` from the first, under controls `(R, T, q)`; `record` `(T or 1, size * R)`."""
    rows, horizon, q = controls.shape
    n = states.shape[2]
    d = n + q
    for t in range(horizon):
        for r in range(rows):
            for i in range(n):
                work[r * d + i] = states[r, t, i]
            for i in range(q):
                work[r * d + n + i] = controls[r, t, i]
        _forward_step(rows, table, numbers, places, work, record[min(t, len(record) - 1)], gemm, sizes, factors)
        after = work[result * rows : (result + n) * rows]
        for r in range(rows):
            for i in range(n):
                states[r, t + 1, i] = after[r * n + i]


@_plain
@no_type_check
def sweep_back(
    direct: AnyArray,
    by_control: AnyArray,
    by_start: AnyArray,
    table: AnyArray,
    numbers: AnyArray,
    places: AnyArray,
    result: int,
    adjoint: AnyArray,
    record: AnyArray,
    gemm: AnyArray,
    sizes: AnyArray,
    factors: AnyArray,
) -> None:
    """Fill the gradients by controls `(R, T, q)` and start `(R, n)` from those by the states `(R, T+1, n)`."""
    rows, horizon, q = by_control.shape
    n = direct.shape[2]
    d = n + q
    for r in range(rows):
        for i in range(n):
            by_start[r, i] = direct[r, horizon, i]
    for t in range(horizon - 1, -1, -1):
        _clear(adjoint)
        last = adjoint[result * rows : (result + n) * rows]
        for r in range(rows):
            for i in range(n):
                last[r * n + i] = by_start[r, i]
        _backward_step(rows, table, numbers, places, adjoint, record[t], gemm, sizes, factors)
        for r in range(rows):
            for i in range(n):
                by_start[r, i] = direct[r, t, i] + adjoint[r * d + i]
            for i in range(q):
                by_control[r, t, i] = adjoint[r * d + n + i]
