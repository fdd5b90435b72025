"""Whether the settings of a bundle make sense, by themselves and with its network."""

from __future__ import annotations

import math

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.settings import PromptSettings
from factorizer_engine.protocol.errors import BadModelError

_AXES = ("RL", "AP", "SI")
_SMALLEST_MM, _LARGEST_MM = 0.01, 100.0


def check_bundle(bundle: Bundle) -> None:
    """Compare a bundle's settings with each other and with its network.

    Raises:
        BadModelError: If something is out of range or contradicts something else.
    """
    for problem in (
        _counts_problem(bundle),
        _window_problem(bundle),
        _labels_problem(bundle),
        _subsets_problem(bundle),
        _preprocessing_problem(bundle),
        _cascade_problem(bundle),
        _fewer_problem(bundle),
    ):
        if problem:
            raise BadModelError(f"The model {bundle.description.name} {problem}.")


def _counts_problem(bundle: Bundle) -> str | None:
    channels, regions = len(bundle.description.channels), len(bundle.description.regions)
    prompts = bundle.prompts.channels(regions) if bundle.prompts is not None else 0
    for what, argument, count in (
        ("input channels", "in_channels", channels and channels + prompts),
        ("outputs", "out_channels", regions),
    ):
        declared = bundle.network.arguments.get(argument, count)
        if not count or declared != count:
            return f"names {count} {what} but its network has {declared}"
    for what, names in (
        ("channels", [channel.name.lower() for channel in bundle.description.channels]),
        ("regions", [region.name for region in bundle.description.regions]),
    ):
        if len(set(names)) < len(names):
            return f"has two {what} of the same name"
        if not all(name.strip() and name.isprintable() for name in names):
            return f"has {what} whose names cannot be shown"
    if bundle.description.by_clicks and bundle.prompts is None:
        return "is for clicks, but its network reads none"
    if bundle.prompts is not None and not 0 < bundle.prompts.radius_mm < math.inf:
        return f"draws clicks as balls of {bundle.prompts.radius_mm} mm"
    if bundle.prompts is not None and not _sensible(bundle.prompts):
        zooms, margin = bundle.prompts.zooms, bundle.prompts.margin
        return f"answers clicks with zooms of {zooms} and a margin of {margin}"
    return None


def _sensible(prompts: PromptSettings) -> bool:
    zooms_fit = all(0.25 <= zoom <= 8 for zoom in prompts.zooms)
    return zooms_fit and max(prompts.zooms, default=0) >= 1 and 0 <= prompts.margin < math.inf


def _window_problem(bundle: Bundle) -> str | None:
    window = tuple(bundle.inference.roi_size)
    size = bundle.network.arguments.get("spatial_size")
    if min(window) < 1:
        return f"has windows of {window} voxels"
    if size is not None and tuple(size) != window:
        return f"uses windows of {window} voxels but its network is made for {tuple(size)}"
    if not 0.0 <= bundle.inference.overlap < 1.0:
        return f"has windows that overlap by {bundle.inference.overlap}, not 0 to below 1"
    if not 0.0 < bundle.inference.threshold < 1.0:
        return f"finds regions from a probability of {bundle.inference.threshold} on, not 0 to 1"
    if not set(bundle.inference.mirror_axes) <= {0, 1, 2}:
        return f"mirrors along the axes {bundle.inference.mirror_axes}, not among 0, 1 and 2"
    if bundle.inference.sweeps is not None and bundle.inference.sweeps < 1:
        return f"takes {bundle.inference.sweeps} sweeps of its factorisations, not 1 or more"
    return None


def _labels_problem(bundle: Bundle) -> str | None:
    values = [label.value for label in bundle.description.labels]
    if len(set(values)) < len(values) or any(not 1 <= value <= 255 for value in values):
        return f"has the label values {values}, which are not distinct numbers from 1 to 255"
    for region in bundle.description.regions:
        if region.label not in values:
            return f"paints {region.name} with the value {region.label}, which has no label"
    return None


def _subsets_problem(bundle: Bundle) -> str | None:
    channels = {channel.name for channel in bundle.description.channels}
    regions = {region.name for region in bundle.description.regions}
    told: set[frozenset[str]] = set()
    for subset in bundle.description.subsets:
        title = " + ".join(subset.channels)
        if not subset.channels or not set(subset.channels) <= channels:
            return f"tells of the scans {title or 'none'}, which are not among its channels"
        if not {*subset.regions, *subset.dice} <= regions:
            return f"tells of regions with {title} that are not among its own"
        if frozenset(subset.channels) in told:
            return f"tells twice of {title}"
        told.add(frozenset(subset.channels))
    return None


def _preprocessing_problem(bundle: Bundle) -> str | None:
    spacing = bundle.preprocessing.spacing
    if spacing is not None and (
        len(spacing) != 3 or not all(_SMALLEST_MM <= s <= _LARGEST_MM for s in spacing)
    ):
        return f"expects voxels of {spacing} mm"
    orientation = bundle.preprocessing.orientation
    if len(orientation) != 3 or not all(
        sum(letter in axis for letter in orientation) == 1 for axis in _AXES
    ):
        return f"expects the orientation {orientation!r}, which is none"
    return None


def _cascade_problem(bundle: Bundle) -> str | None:
    settings, coarse = bundle.cascade, bundle.coarse
    if settings is None or coarse is None:
        whole = settings is None and coarse is None
        return None if whole else "is a cascade that lacks its first stage or its settings"
    if not 0.0 < settings.threshold < 1.0:
        return f"has a cascade of threshold {settings.threshold}"
    for share in (settings.share, settings.share_with_fewer):
        if share is not None and not 0.0 < share <= 1.0:
            return f"has a cascade in which the finer stage has a share of {share}"
    if not 0.0 <= settings.margin_mm < math.inf:
        return f"looks again {settings.margin_mm} mm around what was found"
    if coarse.cascade is not None:
        return "is a cascade of more than two stages"
    if _interface(coarse) != _interface(bundle):
        return "is a cascade whose stages have different channels or regions"
    every_channel = tuple(channel.name for channel in coarse.description.channels)
    seen = {every_channel: {region.name for region in coarse.description.regions}}
    seen |= {subset.channels: {*subset.regions} for subset in coarse.description.subsets}
    for subset in bundle.description.subsets:
        if subset.regions and not {*subset.regions} <= seen.get(subset.channels, set()):
            title = " + ".join(subset.channels)
            return f"is a cascade whose first stage sees less than it with {title}"
    return None


def _fewer_problem(bundle: Bundle) -> str | None:
    if bundle.fewer is None:
        return None
    channels = {channel.name for channel in bundle.description.channels}
    given = [look.given for look in bundle.fewer.again]
    parts = [{*part} for part in (*bundle.fewer.own, *bundle.fewer.both, *given)]
    for part in parts:
        title = " + ".join(sorted(part))
        if not part or not part < channels:
            return f"says who answers with {title or 'no scans'}, which are no part of its channels"
        if parts.count(part) > 1:
            return f"says twice who answers with {title}"
    for look in bundle.fewer.again:
        if not look.seen or not {*look.seen} < {*look.given}:
            return f"looks again at {' + '.join(look.seen) or 'no scans'}, no part of what is given"
    return None


def _interface(bundle: Bundle) -> tuple:
    """Equal for models that take and give the same."""
    channels, regions = bundle.description.channels, bundle.description.regions
    return [c.name for c in channels], [(r.name, r.label, r.order) for r in regions]
