"""Pictures as PNG files, made in memory: no folder for temporary files has to be found for them."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS, _BITS = 2, 8
_DIFFERENCES = 1
"""The filter of a row that keeps differences between neighbours, which pack better."""


def png(pixels: np.ndarray) -> bytes:
    """A picture, (rows, columns, 3) uint8, as a PNG file (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = _DIFFERENCES
    rows[:, 1:4] = pixels[:, 0]
    rows[:, 4:] = np.diff(pixels, axis=1).reshape(height, -1)  # uint8 wraps around, as it should
    header = struct.pack(">IIBBBBB", width, height, _BITS, _COLOURS, 0, 0, 0)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + _chunk(b"IEND", b"")
    )


def png_text(pixels: np.ndarray) -> str:
    """The same in base64, as pages hold pictures."""
    return base64.b64encode(png(pixels)).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
