"""The label values that a MONAI configuration itself paints, read from its post-processing.

Such as `$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, 0))`: channel 2 becomes 4
and lies over channel 0, which becomes 1. Expressions are parsed, never run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from factorizer_engine.bundles.reading.expressions import transform_name
from factorizer_engine.protocol.models import ModelDescription

_BY_VALUE = ("orig_labels", "target_labels")


def with_painted_values(
    description: ModelDescription,
    steps: Sequence[Mapping[str, Any]],
    resolve: Callable[[Any], Any],
) -> ModelDescription:
    """The description with the label values and the order of painting that the steps say.

    Args:
        description: What follows from the names of the outputs.
        steps: Transforms of the post-processing.
        resolve: Gives the value of a configuration's entry.

    Returns:
        The description; with a note where the steps paint in a way that is not understood.
    """
    for step in steps:
        name = transform_name(step)
        if name == "Lambda":
            channels = _painted_channels(step.get("func") or step.get("lambda_func"))
            if channels is None or sorted(channels) != list(range(len(description.regions))):
                return _with_note(description)
            description = _repainted(description, channels)
        elif name == "MapLabelValue":
            old, new = (resolve(step.get(key)) for key in _BY_VALUE)
            if not _are_numbers(old) or not _are_numbers(new) or len(old) != len(new):
                return _with_note(description)
            description = _renumbered(description, dict(zip(old, new, strict=True)))
    return description


def _painted_channels(function: Any) -> dict[int, int] | None:
    """Channel to value, the one on top first; None if the function is another one."""
    if not isinstance(function, str):
        return None
    try:
        parsed = ast.parse(function.lstrip("$").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(parsed, ast.Lambda) or len(parsed.args.args) != 1:
        return None
    argument, node = parsed.args.args[0].arg, parsed.body
    found: dict[int, int] = {}
    while (inner := _unwrapped(node)) is not None:
        condition, value, node = inner
        channel = _channel(condition, argument)
        number = _number(value)
        if channel is None or number is None or channel in found:
            return None
        found[channel] = number
    return found if found and _number(node) == 0 else None


def _unwrapped(node: ast.expr) -> list[ast.expr] | None:
    """The three arguments of `where`, whose result may be cast to another type."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "where" and len(node.args) == 3 and not node.keywords:
            return node.args
        if node.func.attr not in ("to", "type", "astype", "long", "int", "float", "byte"):
            return None
        node = node.func.value
    return None


def _channel(condition: ast.expr, argument: str) -> int | None:
    """The channel that holds where a condition does: `x[2] > 0`, `x[[2]] == 1` or `x[2:3]`."""
    if isinstance(condition, ast.Compare) and len(condition.ops) == 1:
        limit = condition.comparators[0]
        if not _is_presence(condition.ops[0], limit):
            return None
        condition = condition.left
    if not isinstance(condition, ast.Subscript) or not isinstance(condition.value, ast.Name):
        return None
    index: ast.expr = condition.slice
    if condition.value.id != argument:
        return None
    if isinstance(index, ast.Tuple) and index.elts:
        if any(ast.unparse(rest) not in (":", "...") for rest in index.elts[1:]):
            return None
        index = index.elts[0]
    if isinstance(index, ast.List) and len(index.elts) == 1:
        index = index.elts[0]
    if isinstance(index, ast.Slice):
        first, last = (_number(end) if end else None for end in (index.lower, index.upper))
        is_one = first is not None and last == first + 1 and index.step is None
        return first if is_one else None
    return _number(index)


def _is_presence(operator: ast.cmpop, limit: ast.expr) -> bool:
    """Whether the comparison holds for one and not for zero, which thresholded outputs are."""
    value = limit.value if isinstance(limit, ast.Constant) else None
    if isinstance(value, bool):
        return value is True and isinstance(operator, ast.Eq)
    if not isinstance(value, (int, float)):
        return False
    if isinstance(operator, ast.Gt):
        return 0 <= value < 1
    if isinstance(operator, ast.GtE):
        return 0 < value <= 1
    return (isinstance(operator, ast.Eq) and value == 1) or (
        isinstance(operator, ast.NotEq) and value == 0
    )


def _number(node: ast.expr) -> int | None:
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        return None
    return int(value)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, (int, float)) for v in values)


def _repainted(description: ModelDescription, channels: Mapping[int, int]) -> ModelDescription:
    """Regions of the channels' values; the first channel is painted last."""
    below = list(reversed(channels))
    ordered = enumerate(description.regions)
    regions = tuple(replace(region, order=below.index(index)) for index, region in ordered)
    values = {region.label: channels[index] for index, region in enumerate(regions)}
    return _renumbered(replace(description, regions=regions), values)


def _renumbered(description: ModelDescription, values: Mapping[Any, Any]) -> ModelDescription:
    """The same regions and labels with other values; regions may come to share a label."""
    regions = tuple(
        replace(region, label=int(values.get(region.label, region.label)))
        for region in description.regions
    )
    labels = {
        value: replace(label, value=value)
        for label in description.labels
        for value in [int(values.get(label.value, label.value))]
    }
    return replace(description, regions=regions, labels=tuple(labels.values()))


def _with_note(description: ModelDescription) -> ModelDescription:
    note = (
        "The model's configuration paints label values in a way that is not understood; "
        "they may differ from those here."
    )
    return replace(description, notes=(*description.notes, note))
