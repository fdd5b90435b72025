"""Which classes are those that take up contrast agent."""

from __future__ import annotations

from collections.abc import Iterable

from factorizer_engine.protocol.models import Label

CODE = "^C113842^"
"""Enhancing Lesion, of the NCI thesaurus, as terminology entries have it."""
_WORD, _NOT = "enhanc", ("non-enhanc", "nonenhanc", "non enhanc", "not enhanc")


def enhances(name: str, terminology: str = "") -> bool:
    """Whether a class of this name, or with this entry, is what enhances."""
    name = name.lower()
    return CODE in terminology or (_WORD in name and not any(word in name for word in _NOT))


def enhancing_labels(labels: Iterable[Label]) -> set[int]:
    """The values of the classes that enhance."""
    return {label.value for label in labels if enhances(label.name, label.terminology)}
