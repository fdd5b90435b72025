"""`python -m demo.montage DEMO_OUTPUT FILE.png`: the demo's slices side by side, for the README."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from demo.pictures import ORIENTATIONS

ROWS = ("segmentation", "heatmap")
TILE = (520, 438)


def make_montage(folder: Path, path: Path) -> None:
    """Segmentation above, leading heatmap below, one column per orientation.

    Args:
        folder: What `python -m demo` wrote.
        path: PNG to write.

    Raises:
        OSError: If a picture is missing or `path` cannot be written.
    """
    width, height = TILE
    montage = Image.new("RGB", (width * len(ORIENTATIONS), height * len(ROWS)))
    for row, kind in enumerate(ROWS):
        for column, orientation in enumerate(ORIENTATIONS):
            with Image.open(folder / "pictures" / f"{kind}-{orientation.lower()}.png") as picture:
                montage.paste(picture.resize(TILE), (column * width, row * height))
    montage.save(path, optimize=True)


if __name__ == "__main__":
    make_montage(Path(sys.argv[1]), Path(sys.argv[2]))
