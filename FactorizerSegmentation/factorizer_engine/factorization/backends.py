"""The kernels there are: those of graphics cards and those of processors."""

from __future__ import annotations

from factorizer_engine.factorization.backend import Backend
from factorizer_engine.factorization.compiled import CompiledKernels
from factorizer_engine.factorization.fused import FusedKernels

COMPILED = CompiledKernels()
FUSED = FusedKernels()
BACKENDS: tuple[Backend, ...] = (FUSED, COMPILED)
