"""What a report tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.reports.prepared import PreparedInputs
from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Label, Region

Facts = Mapping[str, str]
"""Names and values, both for people."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What drove the result.

    Attributes:
        components: The components, most influential first.
        evidence: Of each, what it contributes where, in logits per mL, on the label map's grid.
        regions: Those that the contributions speak of.
        note: What to know about the contributions, or "".
    """

    components: Sequence[Component]
    evidence: Sequence[Scan]
    regions: Sequence[Region]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the page shows.

    Attributes:
        title: What to call the study.
        made: When and by what, in one line.
        labelmap: Integer voxels.
        labels: What they mean.
        lesions: What was measured in the label map.
        scans: By channel, any grids; the first is the one that was segmented.
        words: The radiologist's own, line breaks kept.
        warnings: What was noticed about the scans, sentences.
        edited: Names of the labels that people have changed since the model drew them.
        explanation: What drove the result, if that was asked for.
        prepared: How the scans were prepared, if they were.
        facts: By heading, what else is to be told: model, settings, files.
        credit: Sources that have to be named.
    """

    title: str
    made: str
    labelmap: Scan
    labels: Sequence[Label]
    lesions: Sequence[Lesion]
    scans: Mapping[str, Scan]
    words: str = ""
    warnings: Sequence[str] = ()
    edited: Sequence[str] = ()
    explanation: Explanation | None = None
    prepared: PreparedInputs | None = None
    facts: Mapping[str, Facts] = field(default_factory=dict)
    credit: Sequence[str] = ()
