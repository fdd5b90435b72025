"""One file a task: its function `run` does the work, with what the engine keeps warm.

Heavy packages are imported by the jobs that need them, so that the process answers soon after it
started.
"""
