"""Component maps of a whole volume, blended over windows as the prediction is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.capture import Capture, Captures
from factorizer_engine.components.definition import channel_of, mixers_of
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.inference.windows import Blender, WindowPlan
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

SMOOTH, OWN_VOXELS = "trilinear", "nearest"


def stitch_components(
    network: Factorizer,
    volume: np.ndarray,
    plan: WindowPlan,
    terms: Sequence[Term],
    device: torch.device | str = "cpu",
    monitor: Monitor | None = None,
    captures: Captures | None = None,
    modes: Sequence[str] = (SMOOTH, OWN_VOXELS),
) -> list[np.ndarray]:
    """Where the components are active in a whole volume.

    Every window's maps (`component_map`) are brought from the block's grid to the window's voxels,
    averaged over its copies, and blended with the weights of the prediction.

    Args:
        network: In evaluation mode, on `device`.
        volume: float32, (C, X, Y, Z).
        plan: The windows of the prediction.
        terms: Whose maps to make.
        device: Where the network is.
        monitor: Told after every window, and asked whether to stop.
        captures: What was captured in windows of the plan, which are run again for the rest only.
        modes: How maps are brought to a window's voxels, as `torch.nn.functional.interpolate` has
            it: `SMOOTH`, linearly from one voxel of the block to the next, or `OWN_VOXELS`, with
            all voxels under one of the block the same, as far as one window shows them.

    Returns:
        By mode, nonnegative float32, (len(terms), X, Y, Z); zero where no window was run.
    """
    monitor = monitor or Monitor()
    mixers = mixers_of(network)
    blocks = {term.block for term in terms}
    blenders = [Blender(plan, len(terms)) for _ in modes]
    padded = plan.pad(torch.from_numpy(volume))
    copies = plan.copies
    with torch.inference_mode():
        for done, window in enumerate(plan.windows, start=1):
            image = padded[in_all_channels(window)][None].to(device)
            total = torch.zeros(len(modes), len(terms), *plan.roi_size, device=device)
            for copy in copies:
                monitor.check()
                found = dict(captures.found(network, window, copy) or {}) if captures else {}
                if missing := blocks - found.keys():
                    found |= Capture(network, missing)(copy.of(image))
                for kind, mode in enumerate(modes):
                    maps = [_window_map(found, mixers, term, plan.roi_size, mode) for term in terms]
                    total[kind] += torch.cat(maps).to(device).flip([axis - 1 for axis in copy.flip])
            for blender, values in zip(blenders, total / len(copies), strict=True):
                blender.add(window, values)
            monitor.report("drawing components", done / len(plan.windows))
        return [blender.result(0.0) for blender in blenders]


def _window_map(
    found: Mapping[str, Tensor],
    mixers: Mapping[str, FactMixer],
    term: Term,
    roi_size: Sequence[int],
    mode: str,
) -> Tensor:
    """(1, *roi_size) of one component in a window."""
    own = found[term.block][channel_of(term, mixers)][None].float()
    if tuple(own.shape[1:]) == tuple(roi_size):
        return own
    return F.interpolate(own[None], size=tuple(roi_size), mode=mode)[0]
