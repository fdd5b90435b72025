"""NMF components: what they are, where they are active, and what they contribute."""

from factorizer_engine.components.definition import Baseline, component_map
from factorizer_engine.components.evidence import Evidence, find_evidence
from factorizer_engine.components.explanation import ComponentMap, Explanation, explain
from factorizer_engine.components.likeness import compared
from factorizer_engine.components.sites import lesion_near

__all__ = [
    "Baseline",
    "ComponentMap",
    "Evidence",
    "Explanation",
    "compared",
    "component_map",
    "explain",
    "find_evidence",
    "lesion_near",
]
