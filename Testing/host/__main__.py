"""`python -m host` from the Testing folder: the window, to be used by hand."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Open the window with the module, and volumes named on the command line."""
    sys.path.insert(0, str(REPOSITORY / "FactorizerSegmentation"))
    from host.application import HostApplication

    host = HostApplication(testing=False)
    import slicer

    for path in sys.argv[1:]:
        slicer.util.loadVolume(path)
    host.select_module("FactorizerSegmentation")
    result = host.app.exec()
    host.close()
    return result


if __name__ == "__main__":
    sys.exit(main())
