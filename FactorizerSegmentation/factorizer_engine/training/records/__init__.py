"""What is kept of a run: its history, its machine, its report, and all of it read back.

Knows the configuration and `data`; `run` writes here, `evaluation` and `export` read.
"""
