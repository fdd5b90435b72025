"""The part of a case that was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factorizer_engine.images.geometry import common_part, in_all_channels
from factorizer_engine.images.preprocessing import Prepared
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.windows import Box
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import RunOptions


@dataclass(frozen=True)
class Chosen:
    """A box in the voxels of a case; everything if there is none.

    Attributes:
        in_model: Voxels in model space that the box needs.
        in_reference: The block of the reference that holds the box.
        outside: Voxels of `in_reference` that are not in the box.
        quick: Whether windows are laid around the box, not over the whole volume.
    """

    in_model: Box | None = None
    in_reference: Box | None = None
    outside: np.ndarray | None = None
    quick: bool = False

    @classmethod
    def of(cls, options: RunOptions, prepared: Prepared) -> Chosen:
        """What the user chose."""
        box = options.box
        if box is None:
            return cls()
        reference = prepared.reference
        part = box.part_of(reference.shape, reference.affine)
        outside = ~box.mask(part, reference.affine)
        return cls(prepared.needed_for(part), part, outside, options.quick)

    def within(self, part: Box, prepared: Prepared) -> Chosen:
        """What of it lies in a block of the reference, with windows laid around that."""
        part = part if self.in_reference is None else common_part(part, self.in_reference)
        return Chosen(prepared.needed_for(part), part, quick=True)

    def clear_around(self, probabilities: np.ndarray) -> None:
        """Set (R, I, J, K) to 0 outside the box; outside `in_reference` it is 0 already."""
        if self.in_reference is not None:
            probabilities[in_all_channels(self.in_reference)][:, self.outside] = 0.0


def check_box(box: WorldBox, scan: Scan) -> None:
    """Make sure that a box holds voxels of the reference scan.

    Raises:
        BadInputError: If it holds none.
    """
    part = box.part_of(scan.shape, scan.affine)
    if all(axis.stop > axis.start for axis in part) and box.mask(part, scan.affine).any():
        return
    raise BadInputError(
        f"The box holds no voxel of {scan.name or 'the reference scan'}, which covers "
        f"{scan.grid.extent}; move the box or make it larger."
    )
