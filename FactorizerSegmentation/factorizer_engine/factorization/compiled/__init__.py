"""Rank-1 mixing on a CPU: without its mixed map, or, with gradients, as one layer.

Kernels compiled by Numba, for float32; what `factorization.mixing` computes stays the definition.
Numba is imported at the first map that could use it. Where it is missing or fails, or where a
kernel does not give what torch gives on a small map, one line of the log says so and the process
takes torch's form from then on.
"""

from factorizer_engine.factorization.compiled.factors import (
    Expansion,
    Factors,
    find_factors,
    layer_norm,
)
from factorizer_engine.factorization.compiled.failure import KernelError
from factorizer_engine.factorization.compiled.mixing import mix_rank_one_compiled
from factorizer_engine.factorization.compiled.trust import (
    is_available,
    is_waiting,
    mixes,
    prepare,
)

__all__ = [
    "Expansion",
    "Factors",
    "KernelError",
    "find_factors",
    "is_available",
    "is_waiting",
    "layer_norm",
    "mix_rank_one_compiled",
    "mixes",
    "prepare",
]
