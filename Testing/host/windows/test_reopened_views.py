"""What the views draw of a scene that was opened again."""

from __future__ import annotations

import slicer

from host.windows.clicking import drawn_by_hand


def test_segments_are_drawn(host, module, scan, reopened):
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    bare = coloured(host)
    drawn_by_hand(scan, (slice(None), slice(5, 14), slice(5, 14)))
    before = coloured(host)
    reopened()
    assert coloured(host) == before > bare


def coloured(host) -> int:
    """How many pixels of the axial view are not grey."""
    host.process_events(0.2)
    host.draw_pending()
    image = slicer.app.layoutManager().sliceWidget("Red").sliceView().grab().toImage()
    places = ((x, y) for x in range(image.width()) for y in range(image.height()))
    colors = (image.pixelColor(x, y) for x, y in places)
    return sum(color.saturation() > 50 for color in colors)
