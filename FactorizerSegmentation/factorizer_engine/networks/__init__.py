"""The Factorizer family of networks (Ashtari et al., MedIA 84:102706)."""

from factorizer_engine.networks.blocks import FactMixer, FactorizerBlock, FactorizerStage
from factorizer_engine.networks.economies import economise
from factorizer_engine.networks.factorizer import Factorizer, named_mixers
from factorizer_engine.networks.layers import MLP, LayerNorm, Linear
from factorizer_engine.networks.outputs import finest
from factorizer_engine.networks.position import (
    AxialPositionalEmbedding,
    PositionalEmbedding,
    RotaryPositionalEmbedding,
    SinusoidalPositionalEmbedding,
)

__all__ = [
    "AxialPositionalEmbedding",
    "FactMixer",
    "Factorizer",
    "FactorizerBlock",
    "FactorizerStage",
    "LayerNorm",
    "Linear",
    "MLP",
    "PositionalEmbedding",
    "RotaryPositionalEmbedding",
    "SinusoidalPositionalEmbedding",
    "economise",
    "finest",
    "named_mixers",
]
