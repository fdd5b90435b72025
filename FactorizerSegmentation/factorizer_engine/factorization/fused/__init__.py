"""Rank-1 mixing on a graphics card: without its mixed map, or, with gradients, as one layer.

Kernels in Triton, for float32, bfloat16 and float16, with sums in float32. There are two forms:

- *Without gradients* a block goes from factors to the next layer norm, as on a CPU: the last linear
  map is applied to the left factors, and the sum over grids and heads, the residual and the layer
  norm are one pass over the tokens.
- *With gradients* the mixed map is formed once, from the same factors, because the gradient of the
  last linear map's weight needs it; the mixing is one layer whose gradient is two kernels, and
  keeps nothing but its input.

Triton is imported at the first map that could use it. Where it is missing or fails, or where a
kernel does not give what torch gives on a small map, one line of the log says so and the process
takes torch's form from then on. With TRITON_INTERPRET=1 in the environment of the process, maps in
the CPU's memory are taken, too (and computed slowly, to test the kernels).
"""

from factorizer_engine.factorization.fused.backend import FusedKernels

__all__ = ["FusedKernels"]
