"""Pictures for pages, made in memory: no folder for temporary files has to be found for them."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def png_text(pixels: np.ndarray) -> str:
    """A picture, (rows, columns, 3) uint8, as PNG in base64."""
    return _text(pixels, "PNG")


def jpeg_text(pixels: np.ndarray, quality: int) -> str:
    """A picture, (rows, columns, 3) uint8, as JPEG in base64; `quality` is 1 to 95."""
    return _text(pixels, "JPEG", quality=quality)


def _text(pixels: np.ndarray, kind: str, **options: int) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode("ascii")
