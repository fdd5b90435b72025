"""`python -m device`: tests and benchmarks on a lent graphics card, in one short call."""

import sys

from device.lease import main

if __name__ == "__main__":
    sys.exit(main())
