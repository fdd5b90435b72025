"""Files in `windows/` change the process that they run in; only `test_windows.py` runs them."""

from __future__ import annotations

import os

IN_WINDOW = "FACTORIZER_HOST_WINDOW"
"""Set in the processes that `test_windows.py` starts."""

collect_ignore_glob = [] if os.environ.get(IN_WINDOW) else ["windows/*"]
