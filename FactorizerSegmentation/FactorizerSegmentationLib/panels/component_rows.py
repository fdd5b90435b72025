"""What the list of components says of each."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from factorizer_engine.protocol.components import Component, rank_shown
from FactorizerSegmentationLib.panels.component_list import Row
from FactorizerSegmentationLib.scene.explanations import Step
from FactorizerSegmentationLib.scene.segmentation_files import MODEL_ATTRIBUTE


def rowsOf(steps: Sequence[Step], region: str) -> list[Row]:
    """The rows of leading heatmaps.

    Args:
        region: For which they are ranked; "" for all, with their contributions to the regions for
            which they were drawn. What was explained for that keeps its order. Anything else is
            ranked by what each contributes by itself: what speaks against the region comes last,
            and of what speaks for it what is stable comes first.
    """
    isInOrder = all(step.heatmap.explanation.region == region for step in steps)
    if not isInOrder and region:
        steps = sorted(steps, key=lambda step: _rank(step.heatmap.component, region))
    rows = []
    for step in steps:
        component = step.heatmap.component
        value = component.contributions.get(region or component.region, 0.0)
        rows.append(Row(step.key, _title(component), value, _tip(component)))
    return rows


def otherModel(segmentationNode, steps: Sequence[Step]) -> str:
    """Says so if listed components are of another model than a result; otherwise ""."""
    nodes = [segmentationNode, *(step.sequenceNode for step in steps[:1])]
    made = [node.GetAttribute(MODEL_ATTRIBUTE) for node in nodes if node is not None]
    if len(made) < 2 or None in made or made[0] == made[1]:
        return ""
    text = _("The result is one of {other}; these components are those of {model}.")
    return text.format(other=made[0], model=made[1])


def _rank(component: Component, region: str) -> tuple[bool, bool, float]:
    return rank_shown(component.contributions.get(region, 0.0), component.stability)


def barTitle(steps: Sequence[Step], region: str) -> str:
    """What the bars of `rowsOf` are about."""
    found = {step.heatmap.component.region for step in steps}
    return region or (found.pop() if len(found) == 1 else "") or _("Logits")


def _title(component: Component) -> str:
    lines = [component.name]
    if not component.is_stable:  # before what may be long, and is then cut off
        lines.append(_("Unstable"))
    lines.append(component.meaning)
    if component.is_level and not component.meaning:  # which says so itself
        lines.append(_("Acts as a level"))
    return "\n".join(filter(None, lines))


def _tip(component: Component) -> str:
    parts = [f"{name} {value:+.2f}" for name, value in component.contributions.items()]
    sentence = _("By how much the evidence falls when it is taken away, in logits: {parts}.")
    lines = [component.name, component.meaning, sentence.format(parts=", ".join(parts))]
    if component.left is not None:
        left = _("Without it alone, {percent} % of the lesion's volume is still found.")
        lines.append(left.format(percent=f"{100 * component.left:.0f}"))
    lines.append(
        _("It acts as a level over the whole head.")
        if component.is_level
        else _("It acts by where it is.")
    )
    if component.stability is not None:
        stability = _("Its maps correlate by {value} with those of shifted windows.")
        lines.append(stability.format(value=f"{component.stability:.2f}"))
        if not component.is_stable:
            lines.append(_("That is little: where it is depends on where the windows lie."))
    return "\n".join(filter(None, lines))
