"""NMF components: what they are, where they are active, and what they contribute."""

from factorizer_engine.components.definition import Component, component_map
from factorizer_engine.components.explanation import ComponentMap, explain, shared_windows
from factorizer_engine.components.proof import Faithfulness, prove

__all__ = [
    "Component",
    "ComponentMap",
    "Faithfulness",
    "component_map",
    "explain",
    "prove",
    "shared_windows",
]
