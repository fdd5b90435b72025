"""The demo: the sample case from its scans to a scene, pictures and a report, without a display."""

import host.core  # noqa: F401  (completes `slicer`, before anything of the extension imports it)
