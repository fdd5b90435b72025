"""Takes the place of `ssh` in tests: the other machine is this one, with the made-up engine.

    fake_ssh.py FAILURE OPTIONS -- ADDRESS COMMAND

A FAILURE that is not "none" is written and ends it, as if ssh had failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from factorizer_engine.service.remote.far import serve


def main() -> None:
    failure = sys.argv[1]
    if failure != "none":
        print(failure, file=sys.stderr)
        sys.exit(255)
    serve([sys.executable, str(Path(__file__).with_name("fake_engine.py"))])


if __name__ == "__main__":
    main()
