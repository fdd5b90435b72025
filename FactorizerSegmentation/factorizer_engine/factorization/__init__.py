"""Differentiable matrix factorisation of feature maps (Ashtari et al., MedIA 84:102706)."""

from factorizer_engine.factorization.factors import Factors
from factorizer_engine.factorization.matricize import Matricize, SWMatricize
from factorizer_engine.factorization.nmf import NMF, MatrixFactorization

__all__ = ["Factors", "Matricize", "MatrixFactorization", "NMF", "SWMatricize"]
