"""What both processes know: the vocabulary, the tasks, and how they travel.

Slicer's process imports this package and nothing else of the engine: standard library and numpy
only. The words are in `models`, `lesions`, `components`, `boxes`, `volumes` and `devices`; what can
be asked for is in `tasks`, one file a task; `wire` has the lines that travel, `conversation` keeps
account of what was asked and answered.
"""
