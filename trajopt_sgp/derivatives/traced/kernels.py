"""Compiled loops that interpret a programme: values, tangents and Hessian blocks of all instances together.

They stand in one file, as the cache of compiled code notices changes of this file alone; whoever renumbers `Code` or
`Kind`, or changes `intrinsics`, changes it as well. Exponentials are written out so that the compiler can vectorise the
loops around them, and so are copies and maxima of arrays, for which Numba compiles error messages and all.
Letters: K instances, d variables, s entries of an instance.

Source of the rational approximation of tanh near zero: S. Moshier, Cephes mathematical library.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.intrinsics import call_gemm, use_wide_vectors
from trajopt_sgp.derivatives.traced.elementary import Code
from trajopt_sgp.derivatives.traced.lowering import Column, Kind

_KIND, _OUTPUT, _FIRST, _SECOND = (int(c) for c in (Column.KIND, Column.OUTPUT, Column.FIRST, Column.SECOND))
_FIRST_INDEX, _SECOND_INDEX = int(Column.FIRST_INDEX), int(Column.SECOND_INDEX)
_FIRST_STRIDE, _SECOND_STRIDE = int(Column.FIRST_STRIDE), int(Column.SECOND_STRIDE)
_WEIGHT, _LENGTH, _BIAS = int(Column.WEIGHT), int(Column.LENGTH), int(Column.BIAS)
_CODE, _ROWS = int(Column.CODE), int(Column.ROWS)
_AFFINE, _ELEMENTWISE, _SUM, _PRODUCT = int(Kind.AFFINE), int(Kind.ELEMENTWISE), int(Kind.SUM), int(Kind.PRODUCT)
_PICK, _PART, _TOTAL, _GATE = int(Kind.PICK), int(Kind.PART), int(Kind.TOTAL), int(Kind.GATE)

# a matrix with fewer rows or columns is thin
_THIN = 16

# the compiler takes constants of a module as they are, but no members of an enumeration
_TANH, _SILU, _SIGMOID, _RELU = int(Code.TANH), int(Code.SILU), int(Code.SIGMOID), int(Code.RELU)
_ELU, _SOFTPLUS, _SIN, _COS = int(Code.ELU), int(Code.SOFTPLUS), int(Code.SIN), int(Code.COS)
_ERF_SLOPE = 2.0 / math.sqrt(math.pi)
_ATAN, _ASIN, _ERF = int(Code.ATAN), int(Code.ASIN), int(Code.ERF)
_EXP, _LOG, _SQRT, _RSQRT = int(Code.EXP), int(Code.LOG), int(Code.SQRT), int(Code.RSQRT)
_RECIPROCAL, _ABS, _NEG, _SIGN = int(Code.RECIPROCAL), int(Code.ABS), int(Code.NEG), int(Code.SIGN)
_SQUARE, _POWER, _CLAMP, _POSITIVE = int(Code.SQUARE), int(Code.POWER), int(Code.CLAMP), int(Code.POSITIVE)
_ROOT = int(Code.ROOT)
_SINH, _COSH, _EXPM1, _LOG1P = int(Code.SINH), int(Code.COSH), int(Code.EXPM1), int(Code.LOG1P)
_FLOOR, _ROUND, _DETACH, _HARDTANH = int(Code.FLOOR), int(Code.ROUND), int(Code.DETACH), int(Code.HARDTANH)


def _compiler(flags: set[str], **options: Any) -> Callable[[Callable[..., Any]], Any]:
    jit = njit(error_model="numpy", fastmath=flags, nogil=True, _nrt=False, **options)

    def compile_later(function: Callable[..., Any]) -> Callable[..., Any]:
        # run-time type checks may have wrapped a function, which cannot be compiled
        plain = inspect.unwrap(function)
        try:
            return jit(plain)
        except RuntimeError:
            # there is no folder for a cache: compiled anew in every process
            return njit(error_model="numpy", fastmath=flags, nogil=True, _nrt=False)(plain)

    return compile_later


compiled = _compiler({"contract"})
# sums may be reordered, but NaN and infinity stay what they are
summing = _compiler({"contract", "reassoc", "nsz"})
entry = _compiler({"contract"}, cache=True)
# without reference counts no function can return a view
inlined = _compiler({"contract"}, inline="always")


@intrinsic
def _bits(context: Any, number: Any) -> Any:
    """Return the bits of a float as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _float(context: Any, number: Any) -> Any:
    """Return the float of bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


_LOG2E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
# added to a number of moderate size, it leaves the nearest integer in the last bits
_ROUNDING = 6755399441055744.0


@compiled
def _exp(x: float) -> float:
    shifted = x * _LOG2E + _ROUNDING
    power = shifted - _ROUNDING
    r = (x - power * _LN2_HIGH) - power * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
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
    p = p * r + 1.0
    p = p * r + 1.0
    scaled = p * _float((_bits(shifted) + 1023) << 52)
    scaled = math.inf if x > 709.7 else scaled
    return 0.0 if x < -708.0 else scaled


@compiled
def _tanh(x: float) -> float:
    size = abs(x)
    far = 1.0 - 2.0 / (_exp(2.0 * min(size, 20.0)) + 1.0)
    far = -far if x < 0.0 else far
    z = x * x
    above = (-9.64399179425052238628e-1 * z - 9.92877231001918586564e1) * z - 1.61468768441708447952e3
    below = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3
    near = x + x * z * (above / below)
    result = near if size < 0.625 else far
    return x if x != x else result


@compiled
def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + _exp(-x))


@compiled
def _expm1(x: float) -> float:
    half = _tanh(0.5 * x)
    return 2.0 * half / (1.0 - half)


@compiled
def _rare_value(code: int, x: float, a: float, b: float) -> float:
    if code == _SOFTPLUS:
        return x if x > a else max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    if code == _SIN:
        return math.sin(x)
    if code == _COS:
        return math.cos(x)
    if code == _ATAN:
        return math.atan(x)
    if code == _ASIN:
        return np.arcsin(x)
    if code == _ERF:
        return math.erf(x)
    if code == _LOG:
        return np.log(x)
    if code == _SQRT:
        return np.sqrt(x)
    if code == _RSQRT:
        return 1.0 / np.sqrt(x)
    if code == _RECIPROCAL:
        return 1.0 / x
    if code == _ABS:
        return abs(x)
    if code == _SIGN:
        return np.sign(x)
    if code == _POWER:
        return x**a
    if code == _SINH:
        return math.sinh(x)
    if code == _COSH:
        return math.cosh(x)
    if code == _EXPM1:
        return math.expm1(x)
    if code == _LOG1P:
        return np.log1p(x)
    if code == _FLOOR:
        return np.floor(x)
    if code == _ROUND:
        return np.rint(x)
    if code == _DETACH:
        return x
    if code in (_CLAMP, _HARDTANH):
        return b if x > b else (a if x < a else x)
    if code == _POSITIVE:
        return 1.0 if x > 0.0 else 0.0
    if code == _ROOT:
        return np.sqrt(x) if a == 0.5 else x**a
    return 1.0 if x >= 0.0 else 0.0


@compiled
def _rare_slope(code: int, x: float, y: float, a: float, b: float) -> float:
    if code == _SOFTPLUS:
        return 1.0 if x > a else _sigmoid(x)
    if code == _SIN:
        return math.cos(x)
    if code == _COS:
        return -math.sin(x)
    if code == _ATAN:
        return 1.0 / (1.0 + x * x)
    if code == _ASIN:
        return 1.0 / np.sqrt(1.0 - x * x)
    if code == _ERF:
        return _ERF_SLOPE * math.exp(-x * x)
    if code == _LOG:
        return 1.0 / x
    if code == _SQRT:
        return 0.5 / y
    if code == _RSQRT:
        return -0.5 * y / x
    if code == _RECIPROCAL:
        return -y * y
    if code == _ABS:
        return np.sign(x)
    if code == _POWER:
        return a * x ** (a - 1.0)
    if code == _CLAMP:
        return 1.0 if a <= x <= b else 0.0
    if code == _HARDTANH:
        return 1.0 if a < x < b else 0.0
    if code == _SINH:
        return math.cosh(x)
    if code == _COSH:
        return math.sinh(x)
    if code == _EXPM1:
        return y + 1.0
    if code == _LOG1P:
        return 1.0 / (1.0 + x)
    if code == _ROOT:
        return 0.0 if x == 0.0 else a * y / x
    return 0.0


@compiled
def _rare_bend(code: int, x: float, y: float, a: float) -> float:
    if code == _SOFTPLUS:
        gate = _sigmoid(x)
        return 0.0 if x > a else gate * (1.0 - gate)
    if code in (_SIN, _COS):
        return -y
    if code == _ATAN:
        return -2.0 * x / (1.0 + x * x) ** 2
    if code == _ASIN:
        return x / (1.0 - x * x) ** 1.5
    if code == _ERF:
        return -2.0 * x * _ERF_SLOPE * math.exp(-x * x)
    if code == _LOG:
        return -1.0 / (x * x)
    if code == _SQRT:
        return -0.25 / (y * x)
    if code == _RSQRT:
        return 0.75 * y / (x * x)
    if code == _RECIPROCAL:
        return 2.0 * y * y * y
    if code == _POWER:
        return a * (a - 1.0) * x ** (a - 2.0)
    if code == _ROOT:
        return 0.0 if x == 0.0 else a * (a - 1.0) * y / x / x
    if code in (_SINH, _COSH):
        return y
    if code == _EXPM1:
        return y + 1.0
    if code == _LOG1P:
        return -1.0 / (1.0 + x) ** 2
    return 0.0


# what networks use has loops of its own, which the compiler vectorises


@compiled
def _value(code: int, x: FloatArray, out: FloatArray, a: float, b: float) -> None:
    use_wide_vectors()
    if code == _TANH:
        for i in range(x.size):
            out[i] = _tanh(x[i])
    elif code == _SILU:
        for i in range(x.size):
            out[i] = x[i] * _sigmoid(x[i])
    elif code == _SIGMOID:
        for i in range(x.size):
            out[i] = _sigmoid(x[i])
    elif code == _RELU:
        for i in range(x.size):
            out[i] = 0.0 if x[i] <= 0.0 else x[i]
    elif code == _ELU:
        for i in range(x.size):
            out[i] = x[i] if x[i] > 0.0 else _expm1(x[i])
    elif code == _EXP:
        for i in range(x.size):
            out[i] = _exp(x[i])
    elif code == _SQUARE:
        for i in range(x.size):
            out[i] = x[i] * x[i]
    elif code == _NEG:
        for i in range(x.size):
            out[i] = -x[i]
    else:
        for i in range(x.size):
            out[i] = _rare_value(code, x[i], a, b)


@compiled
def _slope(code: int, x: FloatArray, y: FloatArray, out: FloatArray, a: float, b: float) -> None:
    use_wide_vectors()
    if code == _TANH:
        for i in range(x.size):
            out[i] = 1.0 - y[i] * y[i]
    elif code == _SILU:
        for i in range(x.size):
            gate = _sigmoid(x[i])
            out[i] = gate + y[i] * (1.0 - gate)
    elif code == _SIGMOID:
        for i in range(x.size):
            out[i] = y[i] * (1.0 - y[i])
    elif code == _RELU:
        for i in range(x.size):
            out[i] = 1.0 if x[i] > 0.0 else 0.0
    elif code == _ELU:
        for i in range(x.size):
            out[i] = 1.0 if x[i] > 0.0 else y[i] + 1.0
    elif code == _EXP:
        for i in range(x.size):
            out[i] = y[i]
    elif code == _SQUARE:
        for i in range(x.size):
            out[i] = 2.0 * x[i]
    elif code == _NEG:
        out[:] = -1.0
    else:
        for i in range(x.size):
            out[i] = _rare_slope(code, x[i], y[i], a, b)


@compiled
def _bend(code: int, x: FloatArray, y: FloatArray, out: FloatArray, a: float) -> None:
    use_wide_vectors()
    if code == _TANH:
        for i in range(x.size):
            out[i] = -2.0 * y[i] * (1.0 - y[i] * y[i])
    elif code == _SILU:
        for i in range(x.size):
            gate = _sigmoid(x[i])
            out[i] = gate * (1.0 - gate) * (2.0 + x[i] * (1.0 - 2.0 * gate))
    elif code == _SIGMOID:
        for i in range(x.size):
            out[i] = y[i] * (1.0 - y[i]) * (1.0 - 2.0 * y[i])
    elif code in (_RELU, _NEG):
        out[:] = 0.0
    elif code == _ELU:
        for i in range(x.size):
            out[i] = y[i] + 1.0 if x[i] < 0.0 else 0.0
    elif code == _EXP:
        for i in range(x.size):
            out[i] = y[i]
    elif code == _SQUARE:
        out[:] = 2.0
    else:
        for i in range(x.size):
            out[i] = _rare_bend(code, x[i], y[i], a)


@compiled
def _multiply(
    rows: int,
    x: FloatArray,
    weight: FloatArray,
    transposed: bool,
    add: bool,
    out: FloatArray,
    gemm: IntArray,
    sizes: IntArray,
    factors: FloatArray,
) -> None:
    """out = x W or x W' for a weight W `(in, row length)` and flat x and out; or add it to out."""
    inner, columns = x.size // rows, out.size // rows
    if inner == 0 or columns == 0:
        return
    sizes[0], sizes[1], sizes[2], sizes[3] = columns, rows, inner, weight.shape[1]
    p, one = sizes.ctypes.data, factors.ctypes.data
    p_columns, p_rows, p_inner, p_length, as_it_is = p, p + 4, p + 8, p + 12, p + 16
    pointers = (
        as_it_is + 1 if transposed else as_it_is,
        as_it_is,
        p_columns,
        p_rows,
        p_inner,
        one,
        weight.ctypes.data,
        p_length,
        x.ctypes.data,
        p_inner,
        one if add else one + 8,
        out.ctypes.data,
        p_columns,
    )
    call_gemm(gemm[0 if min(inner, columns) < _THIN else 1], pointers)


@compiled
def _add_rows(bias: FloatArray, out: FloatArray) -> None:
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[k, j] += bias[j]


@compiled
def _combine(op: IntArray, factor: float, x: FloatArray, y: FloatArray, indices: IntArray, out: FloatArray) -> None:
    """out = x + factor y or x y, `(K, s)`, with operands read as the operation says."""
    product, gate = op[_KIND] != _SUM, op[_KIND] == _GATE
    first, second = op[_FIRST_INDEX], op[_SECOND_INDEX]
    size = out.shape[1]
    for k in range(out.shape[0]):
        i, j = k * op[_FIRST_STRIDE], k * op[_SECOND_STRIDE]
        if first < 0 and second < 0 and not gate:
            if product:
                for e in range(size):
                    out[k, e] = x[i + e] * y[j + e]
            else:
                for e in range(size):
                    out[k, e] = x[i + e] + factor * y[j + e]
        else:
            for e in range(size):
                left = x[i + (e if first < 0 else indices[first + e])]
                right = y[j + (e if second < 0 else indices[second + e])]
                right = 0.0 if gate and left == 0.0 else right
                out[k, e] = left * right if product else left + factor * right


@compiled
def _move(kind: int, index: IntArray, factor: float, stride: int, x: FloatArray, out: FloatArray) -> None:
    """Pick, write or add up entries of rows `stride` apart into rows of `out`."""
    for k in range(out.shape[0]):
        row = k * stride
        if kind == _PICK:
            for e in range(index.size):
                out[k, e] = x[row + index[e]]
        elif kind == _PART:
            for e in range(index.size):
                out[k, index[e]] = x[row + e]
        else:
            for e in range(out.shape[1]):
                out[k, e] = 0.0
            for e in range(index.size):
                out[k, index[e]] += factor * x[row + e]


@inlined
def _index_of(op: IntArray, column: int, places: IntArray, indices: IntArray) -> IntArray:
    """Return the index of a move: as many entries as the result has, or for parts and totals the operand."""
    size = places[op[_OUTPUT], 0]
    if op[_KIND] == _TOTAL:
        size = places[op[_FIRST], 0]
    elif op[_KIND] == _PART:
        size = op[_FIRST_STRIDE] if op[_FIRST_STRIDE] > 0 else places[op[_FIRST], 0]
    return indices[op[column] : op[column] + size]


@inlined
def _weight_of(op: IntArray, places: IntArray, weights: FloatArray) -> FloatArray:
    """Return the matrix of an affine operation, `(in, row length)`."""
    width = places[op[_FIRST], 0] // op[_ROWS]
    return weights[op[_WEIGHT] : op[_WEIGHT] + width * op[_LENGTH]].reshape((width, op[_LENGTH]))


@entry
def evaluate(
    instances: int,
    operations: IntArray,
    numbers: FloatArray,
    places: IntArray,
    indices: IntArray,
    weights: FloatArray,
    values: FloatArray,
    gemm: IntArray,
    sizes: IntArray,
    factors: FloatArray,
) -> None:
    """Compute the values of all places that depend on the variables from those that are given."""
    for n in range(operations.shape[0]):
        op = operations[n]
        kind, size = op[_KIND], places[op[_OUTPUT], 0]
        source = values[places[op[_FIRST], 1] :]
        begin = places[op[_OUTPUT], 1]
        flat = values[begin : begin + instances * size]
        out = flat.reshape((instances, size))
        if kind == _AFFINE:
            weight, rows = _weight_of(op, places, weights), instances * op[_ROWS]
            _multiply(rows, source[: rows * len(weight)], weight, False, False, flat, gemm, sizes, factors)
            if op[_BIAS] >= 0:
                width = size // op[_ROWS]
                _add_rows(weights[op[_BIAS] : op[_BIAS] + width], flat.reshape((rows, width)))
        elif kind == _ELEMENTWISE:
            _value(op[_CODE], source[: flat.size], flat, numbers[n, 0], numbers[n, 1])
        elif kind in (_SUM, _PRODUCT, _GATE):
            _combine(op, numbers[n, 0], source, values[places[op[_SECOND], 1] :], indices, out)
        else:
            stride = op[_FIRST_STRIDE] if kind == _PART else places[op[_FIRST], 0]
            _move(kind, _index_of(op, _FIRST_INDEX, places, indices), numbers[n, 0], stride, source, out)


@compiled
def _scale_tangents(slope: FloatArray, tangents: FloatArray, out: FloatArray) -> None:
    """out_ki = slope_k * tangents_ki, `(K, s)` and `(K, d, s)`."""
    use_wide_vectors()
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            for e in range(out.shape[2]):
                out[k, i, e] = slope[k, e] * tangents[k, i, e]


@compiled
def _entry(indices: IntArray, index: int, e: int) -> int:
    return e if index < 0 else indices[index + e]


@compiled
def _add_spread(factor: float, index: int, indices: IntArray, tangents: FloatArray, out: FloatArray) -> None:
    """out_ki += factor * tangents_ki, `(K, d, s)`, read through an index."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            if index < 0:
                for e in range(out.shape[2]):
                    out[k, i, e] += factor * tangents[k, i, e]
            else:
                for e in range(out.shape[2]):
                    out[k, i, e] += factor * tangents[k, i, indices[index + e]]


@compiled
def _add_product(
    other: FloatArray,
    stride: int,
    other_index: int,
    index: int,
    indices: IntArray,
    tangents: FloatArray,
    out: FloatArray,
) -> None:
    """out_ki += other_k * tangents_ki, both read through their indices."""
    in_order = index < 0 and other_index < 0
    for k in range(out.shape[0]):
        row = k * stride
        for i in range(out.shape[1]):
            if in_order:
                for e in range(out.shape[2]):
                    out[k, i, e] += other[row + e] * tangents[k, i, e]
            else:
                for e in range(out.shape[2]):
                    factor = other[row + _entry(indices, other_index, e)]
                    out[k, i, e] += factor * tangents[k, i, _entry(indices, index, e)]


@compiled
def _add_gated(
    gate: FloatArray, stride: int, gate_index: int, index: int, indices: IntArray, tangents: FloatArray, out: FloatArray
) -> None:
    """out_ki += gate_k * tangents_ki where the gate is not 0, both read through their indices."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            for e in range(out.shape[2]):
                factor = gate[k * stride + _entry(indices, gate_index, e)]
                if factor != 0.0:
                    out[k, i, e] += factor * tangents[k, i, _entry(indices, index, e)]


@inlined
def _tangents_of(place: IntArray, instances: int, variables: int, tangents: FloatArray) -> FloatArray:
    flat = tangents[place[2] : place[2] + instances * variables * place[0]]
    return flat.reshape((instances, variables, place[0]))


@compiled
def _forward_through_pair(
    op: IntArray,
    factor: float,
    places: IntArray,
    indices: IntArray,
    values: FloatArray,
    tangents: FloatArray,
    out: FloatArray,
) -> None:
    """Compute the tangents of a sum or a product."""
    out[:] = 0.0
    for side in range(2):
        operand, other = places[op[_FIRST + side]], places[op[_SECOND - side]]
        if operand[2] < 0 or (op[_KIND] == _GATE and side == 0):
            continue
        source = _tangents_of(operand, out.shape[0], out.shape[1], tangents)
        index = op[_FIRST_INDEX + side]
        if op[_KIND] == _SUM:
            _add_spread(factor if side == 1 else 1.0, index, indices, source, out)
        else:
            stride, other_index = op[_SECOND_STRIDE - side], op[_SECOND_INDEX - side]
            if op[_KIND] == _GATE:
                _add_gated(values[other[1] :], stride, other_index, index, indices, source, out)
            else:
                _add_product(values[other[1] :], stride, other_index, index, indices, source, out)


@entry
def differentiate(
    instances: int,
    variables: int,
    operations: IntArray,
    numbers: FloatArray,
    places: IntArray,
    indices: IntArray,
    weights: FloatArray,
    values: FloatArray,
    slopes: FloatArray,
    tangents: FloatArray,
    gemm: IntArray,
    sizes: IntArray,
    factors: FloatArray,
) -> None:
    """Compute the tangents of all places, and the slopes of elementwise functions, from the values."""
    for n in range(operations.shape[0]):
        op = operations[n]
        kind, place, first = op[_KIND], places[op[_OUTPUT]], places[op[_FIRST]]
        out = _tangents_of(place, instances, variables, tangents)
        if kind in (_SUM, _PRODUCT, _GATE):
            _forward_through_pair(op, numbers[n, 0], places, indices, values, tangents, out)
            continue
        if first[2] < 0:  # a part that does not depend on the variables: its tangents are zero from the beginning
            continue
        source = _tangents_of(first, instances, variables, tangents)
        if kind == _AFFINE:
            weight, rows = _weight_of(op, places, weights), instances * variables * op[_ROWS]
            _multiply(rows, source.reshape(-1), weight, False, False, out.reshape(-1), gemm, sizes, factors)
        elif kind == _ELEMENTWISE:
            x = values[first[1] : first[1] + instances * place[0]]
            y = values[place[1] : place[1] + instances * place[0]]
            slope = slopes[place[1] : place[1] + instances * place[0]]
            _slope(op[_CODE], x, y, slope, numbers[n, 0], numbers[n, 1])
            _scale_tangents(slope.reshape((instances, place[0])), source, out)
        else:
            index = _index_of(op, _FIRST_INDEX, places, indices)
            rows = instances * variables
            _move(kind, index, numbers[n, 0], first[0], source.reshape(rows * first[0]), out.reshape((rows, place[0])))


@compiled
def _add_moved(kind: int, index: IntArray, factor: float, adjoint: FloatArray, out: FloatArray) -> None:
    """Add to the adjoint of an operand `(K, in)` what a pick, part or total passes back from `(K, s)`."""
    for k in range(out.shape[0]):
        for e in range(index.size):
            if kind == _PICK:
                out[k, index[e]] += adjoint[k, e]
            elif kind == _PART:
                out[k, e] += adjoint[k, index[e]]
            else:
                out[k, e] += factor * adjoint[k, index[e]]


@compiled
def _add_combined(
    product: bool,
    factor: float,
    other: FloatArray,
    stride: int,
    other_index: int,
    index: int,
    indices: IntArray,
    adjoint: FloatArray,
    out: FloatArray,
) -> None:
    """Add to the adjoint of an operand what a sum or a product passes back."""
    for k in range(out.shape[0]):
        row = k * stride
        if product:
            for e in range(adjoint.shape[1]):
                weight = other[row + _entry(indices, other_index, e)]
                out[k, _entry(indices, index, e)] += weight * adjoint[k, e]
        else:
            for e in range(adjoint.shape[1]):
                out[k, _entry(indices, index, e)] += factor * adjoint[k, e]


@summing
def _dot(left: FloatArray, right: FloatArray) -> float:
    total = 0.0
    for e in range(left.size):
        total += left[e] * right[e]
    return total


@compiled
def _add_outer(left: FloatArray, right: FloatArray, same: bool, hessian: FloatArray) -> None:
    """Add left right', or left right' + right left', to the lower triangle, `(d, s)` each."""
    for i in range(left.shape[0]):
        for j in range(i + 1):
            hessian[i, j] += _dot(left[i], right[j])
            if not same:
                hessian[i, j] += _dot(left[j], right[i])


@compiled
def _bend_elementwise(weights: FloatArray, tangents: FloatArray, room: FloatArray, hessian: FloatArray) -> None:
    """Add the sum over the entries of weight times the outer product of the tangents."""
    variables, size = tangents.shape[1], weights.shape[1]
    left: FloatArray = room[: variables * size].reshape((variables, size))
    for k in range(weights.shape[0]):
        for i in range(left.shape[0]):
            for e in range(size):
                left[i, e] = weights[k, e] * tangents[k, i, e]
        _add_outer(left, tangents[k], True, hessian[k])


@compiled
def _bend_product(
    op: IntArray,
    indices: IntArray,
    adjoint: FloatArray,
    first: FloatArray,
    second: FloatArray,
    room: FloatArray,
    hessian: FloatArray,
) -> None:
    """Add adjoint times the symmetric product of the tangents of both operands."""
    variables, size = first.shape[1], adjoint.shape[1]
    left: FloatArray = room[: variables * size].reshape((variables, size))
    right = room[variables * size : 2 * variables * size].reshape((variables, size))
    for k in range(adjoint.shape[0]):
        for i in range(left.shape[0]):
            for e in range(size):
                left[i, e] = adjoint[k, e] * first[k, i, _entry(indices, op[_FIRST_INDEX], e)]
                right[i, e] = second[k, i, _entry(indices, op[_SECOND_INDEX], e)]
        _add_outer(left, right, False, hessian[k])


@compiled
def _mirror(hessian: FloatArray) -> None:
    for k in range(hessian.shape[0]):
        for i in range(hessian.shape[1]):
            for j in range(i):
                hessian[k, j, i] = hessian[k, i, j]


@inlined
def _rows_of(place: IntArray, instances: int, array: FloatArray) -> FloatArray:
    """Return the values or adjoints of a place, `(K, s)`."""
    return array[place[1] : place[1] + instances * place[0]].reshape((instances, place[0]))


@compiled
def _back_through_pair(
    op: IntArray,
    factor: float,
    places: IntArray,
    indices: IntArray,
    values: FloatArray,
    tangents: FloatArray,
    adjoints: FloatArray,
    room: FloatArray,
    hessian: FloatArray,
) -> None:
    """Pass the adjoint of a sum or a product on to its operands, and add the curvature of a product."""
    instances, variables = hessian.shape[0], hessian.shape[1]
    adjoint = _rows_of(places[op[_OUTPUT]], instances, adjoints)
    product = op[_KIND] != _SUM
    for side in range(1 if op[_KIND] == _GATE else 0, 2):
        operand, other = places[op[_FIRST + side]], places[op[_SECOND - side]]
        if operand[2] >= 0:
            target = _rows_of(operand, instances, adjoints)
            by, stride, other_index = values[other[1] :], op[_SECOND_STRIDE - side], op[_SECOND_INDEX - side]
            own = factor if side == 1 else 1.0
            _add_combined(product, own, by, stride, other_index, op[_FIRST_INDEX + side], indices, adjoint, target)
    first, second = places[op[_FIRST]], places[op[_SECOND]]
    if op[_KIND] == _PRODUCT and first[2] >= 0 and second[2] >= 0:
        one = _tangents_of(first, instances, variables, tangents)
        two = _tangents_of(second, instances, variables, tangents)
        _bend_product(op, indices, adjoint, one, two, room, hessian)


@compiled
def _back_through_function(
    op: IntArray,
    numbers: FloatArray,
    places: IntArray,
    values: FloatArray,
    slopes: FloatArray,
    tangents: FloatArray,
    adjoints: FloatArray,
    room: FloatArray,
    scratch: FloatArray,
    hessian: FloatArray,
) -> None:
    """Pass the adjoint of an elementwise function on to its operand, and add its curvature."""
    instances, variables = hessian.shape[0], hessian.shape[1]
    place, first = places[op[_OUTPUT]], places[op[_FIRST]]
    count = instances * place[0]
    x, y = values[first[1] : first[1] + count], values[place[1] : place[1] + count]
    slope, curvature = slopes[place[1] : place[1] + count], scratch[:count]
    adjoint, target = adjoints[place[1] : place[1] + count], adjoints[first[1] : first[1] + count]
    _bend(op[_CODE], x, y, curvature, numbers[0])
    for e in range(count):
        # what was not chosen may have an infinite slope
        curvature[e] = curvature[e] * adjoint[e] if adjoint[e] != 0.0 else 0.0
        target[e] += slope[e] * adjoint[e] if adjoint[e] != 0.0 else 0.0
    source = _tangents_of(first, instances, variables, tangents)
    _bend_elementwise(curvature.reshape((instances, place[0])), source, room, hessian)


@entry
def bend(
    instances: int,
    variables: int,
    operations: IntArray,
    numbers: FloatArray,
    places: IntArray,
    indices: IntArray,
    weights: FloatArray,
    values: FloatArray,
    slopes: FloatArray,
    tangents: FloatArray,
    adjoints: FloatArray,
    room: FloatArray,
    scratch: FloatArray,
    hessian: FloatArray,
    gemm: IntArray,
    sizes: IntArray,
    factors: FloatArray,
) -> None:
    """Compute Hessian blocks `(K, d, d)` from values, slopes and tangents.

    `adjoints` holds the weights at the place of the result, and zeros elsewhere; `room` has `2 d s` entries and
    `scratch` `K s`, s those of the largest place.
    """
    hessian[:] = 0.0
    for n in range(operations.shape[0] - 1, -1, -1):
        op = operations[n]
        kind, place, first = op[_KIND], places[op[_OUTPUT]], places[op[_FIRST]]
        if kind in (_SUM, _PRODUCT, _GATE):
            _back_through_pair(op, numbers[n, 0], places, indices, values, tangents, adjoints, room, hessian)
        elif first[2] < 0:
            continue
        elif kind == _ELEMENTWISE:
            _back_through_function(op, numbers[n], places, values, slopes, tangents, adjoints, room, scratch, hessian)
        elif kind == _AFFINE:
            weight, rows = _weight_of(op, places, weights), instances * op[_ROWS]
            adjoint, target = _rows_of(place, instances, adjoints), _rows_of(first, instances, adjoints)
            _multiply(rows, adjoint.reshape(-1), weight, True, True, target.reshape(-1), gemm, sizes, factors)
        else:
            index = _index_of(op, _FIRST_INDEX, places, indices)
            target = _rows_of(first, instances, adjoints)
            _add_moved(kind, index, numbers[n, 0], _rows_of(place, instances, adjoints), target)
    _mirror(hessian)
