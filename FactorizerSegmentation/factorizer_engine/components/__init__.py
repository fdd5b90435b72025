"""NMF components: what they are, where they are active, and what they contribute."""

from factorizer_engine.components.definition import component_map
from factorizer_engine.components.explanation import ComponentMap, Explanation, explain
from factorizer_engine.components.proof import Faithfulness, prove

__all__ = [
    "ComponentMap",
    "Explanation",
    "Faithfulness",
    "component_map",
    "explain",
    "prove",
]
