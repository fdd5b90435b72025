"""How fast the engine is, beside other networks and beside the limits of the machine.

`factorizer bench` or `python -m benchmarks`; see `docs/benchmarks.md` for a finished table.
"""
