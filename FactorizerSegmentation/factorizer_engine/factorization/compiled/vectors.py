"""Short vectors of float32 in Numba, for loops that its compiler does not vectorise by itself.

A vector is a value of a compiled function, like a number, and stays in registers; one that is
wider than those of the processor is cut by the compiler. Rows that are read and written have
their values beside each other; where they begin does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_CONTRACTED = ("contract",)  # a product and a sum in one instruction, where there is one
_READ, _KEEP, _DATA = 0, 3, 1  # what `llvm.prefetch` is told: to read, to keep in all caches, data


class Vector(types.Type):
    """The type of vectors of `width` values."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Vector({width})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(_FLOAT, vector.width))


@intrinsic
def load(typingctx, row, index, width):
    """The `width` values of a row (n,) from `index` on; `width` is a constant."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    vector = Vector(width.literal_value)

    def codegen(context, builder, signature, arguments):
        place = _address(context, builder, row, *arguments[:2])
        values = ir.VectorType(_FLOAT, vector.width)
        return builder.load(builder.bitcast(place, values.as_pointer()), align=4)

    return vector(row, types.intp, width), codegen


@intrinsic
def store(typingctx, vector, row, index):
    """Write a vector into a row (n,) from `index` on."""
    if not isinstance(vector, Vector):
        return None

    def codegen(context, builder, signature, arguments):
        values, *where = arguments
        place = _address(context, builder, row, *where)
        builder.store(values, builder.bitcast(place, values.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(vector, row, types.intp), codegen


@intrinsic
def fetch(typingctx, row, index):
    """Have the value of a row (n,) at `index`, and its neighbours, brought into the cache."""

    def codegen(context, builder, signature, arguments):
        place = _address(context, builder, row, *arguments)
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        takes = ir.FunctionType(ir.VoidType(), [place.type, _INT, _INT, _INT])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place.type], takes)
        builder.call(function, [place, *(ir.Constant(_INT, n) for n in (_READ, _KEEP, _DATA))])
        return context.get_dummy_value()

    return types.none(row, types.intp), codegen


@intrinsic
def plus(typingctx, x, y):
    """x + y, place by place."""
    if not isinstance(x, Vector) or x != y:
        return None

    def codegen(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=_CONTRACTED)

    return x(x, y), codegen


@intrinsic
def plus_scaled(typingctx, x, number, y):
    """x + number * y, place by place."""
    if not isinstance(x, Vector) or x != y:
        return None

    def codegen(context, builder, signature, arguments):
        total, factor, values = arguments
        undefined = ir.Constant(values.type, ir.Undefined)
        one = builder.insert_element(undefined, factor, ir.Constant(_INT, 0))
        factors = builder.shuffle_vector(one, undefined, _lanes([0] * x.width))
        product = builder.fmul(factors, values, flags=_CONTRACTED)
        return builder.fadd(total, product, flags=_CONTRACTED)

    return x(x, types.float32, y), codegen


@intrinsic
def positive(typingctx, x):
    """max(x, 0), place by place; not-a-numbers are kept."""
    if not isinstance(x, Vector):
        return None

    def codegen(context, builder, signature, arguments):
        (values,) = arguments
        zeros = ir.Constant(values.type, [0.0] * x.width)
        return builder.select(builder.fcmp_ordered("<", values, zeros), zeros, values)

    return x(x), codegen


def _by_turns(chosen: Callable[[int], range]) -> Any:
    """An intrinsic that takes the chosen values of x and of y by turns."""

    @intrinsic
    def by_turns(typingctx, x, y):
        if not isinstance(x, Vector) or x != y:
            return None
        lanes = [lane for n in chosen(x.width) for lane in (n, n + x.width)]

        def codegen(context, builder, signature, arguments):
            return builder.shuffle_vector(*arguments, _lanes(lanes))

        return x(x, y), codegen

    return by_turns


first_halves = _by_turns(lambda width: range(width // 2))
"""The first halves of x and of y, by turns: x0 y0 x1 y1 of x0 x1 x2 x3 and y0 y1 y2 y3."""

last_halves = _by_turns(lambda width: range(width // 2, width))
"""The last halves of x and of y, by turns."""


def _address(context: Any, builder: Any, row_type: Any, row: Any, index: Any) -> Any:
    array = context.make_array(row_type)(context, builder, row)
    return cgutils.get_item_pointer(context, builder, row_type, array, [index])


def _lanes(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INT, len(numbers)), numbers)
