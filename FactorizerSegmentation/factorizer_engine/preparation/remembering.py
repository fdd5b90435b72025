"""The long steps of a preparation, done at most once for the same scans."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation.bias import bias_field, without_bias
from factorizer_engine.preparation.brain import (
    Brain,
    BrainNetworks,
    extract_brain,
    is_upside_down,
)
from factorizer_engine.preparation.cache import StepCache, key_of
from factorizer_engine.preparation.registration import Freedom, Registration, register
from factorizer_engine.protocol.progress import Monitor


def registration_of(
    moving: Scan, fixed: Scan, freedom: Freedom, cache: StepCache, monitor: Monitor
) -> Registration:
    """As `registration.register`."""
    key = key_of("registration", freedom.value, moving, fixed)
    known = cache.find(key)
    if known is not None:
        matrix = known.pop("matrix")
        return Registration(matrix, **{name: float(value) for name, value in known.items()})
    found = register(moving, fixed, freedom, monitor)
    cache.keep(key, {name: np.array(value) for name, value in vars(found).items()})
    return found


def brain_of(
    scan: Scan, networks: Callable[[], BrainNetworks], cache: StepCache, monitor: Monitor
) -> Brain:
    """As `brain.extract_brain`; the networks are called for only if they are needed."""
    key = _brain_key(scan)
    known = cache.find(key)
    if known is not None:
        voxels = np.unpackbits(known["bits"], count=scan.array.size)
        mask = scan.with_array(voxels.reshape(scan.shape).astype(bool))
        return Brain(mask, bool(known["upside_down"]))
    found = extract_brain(scan, networks(), monitor)
    bits, upside_down = np.packbits(found.mask.array), np.array(found.upside_down)
    cache.keep(key, {"bits": bits, "upside_down": upside_down})
    return found


def upside_down_of(scan: Scan, networks: Callable[[], BrainNetworks], cache: StepCache) -> bool:
    """As `brain.is_upside_down`; the networks are called for only if they are needed."""
    key = key_of("which way up", scan)
    known = cache.find(_brain_key(scan)) or cache.find(key)
    if known is not None:
        return bool(known["upside_down"])
    found = is_upside_down(scan, networks())
    cache.keep(key, {"upside_down": np.array(found)})
    return found


def _brain_key(scan: Scan) -> str:
    return key_of("brain, either way up", scan)


def unbiased(scan: Scan, tissue: Scan, cache: StepCache, monitor: Monitor) -> Scan:
    """The scan divided by its bias field, see `bias`."""
    key = key_of("bias field", scan, tissue)
    known = cache.find(key)
    field = bias_field(scan, tissue, monitor) if known is None else known["field"]
    if known is None:
        cache.keep(key, {"field": field})
    return without_bias(scan, field)
