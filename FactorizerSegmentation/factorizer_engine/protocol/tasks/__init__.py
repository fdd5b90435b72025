"""What the engine can be asked to do: one file a task, with its parameters and its result.

Jobs run one at a time in the order of arrival; `cancel` and `shutdown` are answered at once, also
during a job. `registry` has them all.
"""
