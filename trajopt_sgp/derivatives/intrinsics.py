"""What compiled loops need of the compiler and Numba has no words for.

They are functions of compiled code, which Python cannot call.
"""

from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
@no_type_check
def call_gemm(typing_context: Any, address: Any, pointers: Any) -> Any:
    """Call a matrix product of BLAS at an address with 13 pointers, as Fortran does."""
    signature = types.void(types.int64, types.UniTuple(types.int64, 13))

    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte] * 13)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        items = [builder.inttoptr(builder.extract_value(arguments[1], i), byte) for i in range(13)]
        builder.call(function, items)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
@no_type_check
def use_wide_vectors(typing_context: Any) -> Any:
    """Compile the function that calls it for vectors of 512 bits where the processor has them.

    For Intel's the compiler chooses 256 bits, as a program that computes little would be slower with more. Exponentials
    take two thirds of the time with 512.
    """

    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        attributes = builder.function.attributes
        if isinstance(attributes, set):
            # llvmlite lets attributes pass that it knows; this one is LLVM's own
            set.add(attributes, '"prefer-vector-width"="512"')
            # a function that takes it in would not take over its vectors
            attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate
