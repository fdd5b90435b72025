"""Rank-1 mixing on a CPU without its mixed map: factors, and what a linear map makes of them.

Kernels compiled by Numba, for float32 maps without gradients; what `mixing` computes stays the
definition. Numba is imported at the first map that could use it. Where it is missing or fails, or
where a kernel does not give what torch gives on a small map, one line of the log says so and the
process takes torch's form from then on.
"""

from factorizer_engine.factorization.compiled.factors import (
    Expansion,
    Factors,
    find_factors,
    layer_norm,
)
from factorizer_engine.factorization.compiled.trust import is_available

__all__ = ["Expansion", "Factors", "find_factors", "is_available", "layer_norm"]
