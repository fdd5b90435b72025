"""Looks at all the scans of a study, and says what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from factorizer_engine.images.checks import channel_named, check_scan
from factorizer_engine.images.geometry import overlap_fraction
from factorizer_engine.images.plausibility import brain, single, together
from factorizer_engine.images.plausibility.sketch import sketch_study
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.checks import RED, SEVERITIES, Finding
from factorizer_engine.protocol.errors import BadInputError

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import ModelDescription

#: Less than this part of the reference in view: the scans are not of one place.
MIN_OVERLAP = 0.05


def check_study(
    scans: Mapping[str, Scan],
    model: ModelDescription,
    reference: str | None = None,
    check_cancelled: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Everything that looks wrong about the scans, the gravest first.

    What is known of the brain is looked at for models only that declare MR scans of the brain.

    Args:
        scans: Scan by channel, for all or some of the model's channels.
        model: What the scans are for.
        reference: Channel on whose grid results are given; by default the first that is there.
        check_cancelled: Raises an error when the user has cancelled; called between the steps.
    """
    named = {channel_named(name, model.channels): scan for name, scan in scans.items()}
    ordered = {c.name: named[c.name] for c in model.channels if c.name in named}
    if not ordered:
        return []
    findings = [finding for name, scan in ordered.items() for finding in _unusable(name, scan)]
    if findings:
        return findings
    first = next(iter(ordered))
    chosen = first if reference is None else channel_named(reference, model.channels)
    if chosen not in ordered:
        chosen = first
    for name, scan in ordered.items():
        check_cancelled()
        findings += single.findings(name, scan, model.expects)
    findings += [*_apart(ordered, chosen), *together.of_several(ordered), *together.moved(ordered)]
    if not any(finding.severity == RED for finding in findings):
        sketches = sketch_study(ordered, chosen)
        check_cancelled()
        findings += together.given_twice(sketches)
        if model.expects.brain_mr:
            findings += together.left_out(ordered, sketches)
            odd = {
                name
                for finding in findings
                for name in finding.channels
                if single.is_no_mr(finding)
            }
            findings += brain.findings(sketches, model.expects, odd, check_cancelled)
    return sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))


def _unusable(name: str, scan: Scan) -> list[Finding]:
    try:
        check_scan(scan)
    except BadInputError as error:
        return [Finding((name,), RED, str(error))]
    return []


def _apart(scans: Mapping[str, Scan], reference: str) -> list[Finding]:
    return [
        Finding(
            (name,),
            RED,
            f"The {name} scan does not overlap the {reference} scan in space; choose scans of the "
            "same study, or register them first.",
            by_preparation=True,
        )
        for name, scan in scans.items()
        if overlap_fraction(scans[reference].grid, scan.grid) < MIN_OVERLAP
    ]
