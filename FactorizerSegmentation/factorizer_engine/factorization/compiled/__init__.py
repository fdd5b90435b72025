"""Rank-1 mixing on a CPU: without its mixed map, or, with gradients, as one layer.

Kernels compiled by Numba, for float32; what `factorization.mixing` computes stays the definition.
Numba is imported at the first map that could use it. Where it is missing or fails, or where a
kernel does not give what torch gives on a small map, one line of the log says so and the process
takes torch's form from then on.
"""

from factorizer_engine.factorization.compiled.backend import CompiledKernels

__all__ = ["CompiledKernels"]
