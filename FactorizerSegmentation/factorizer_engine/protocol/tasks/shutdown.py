"""End the engine process."""

from __future__ import annotations

from factorizer_engine.protocol.tasks.task import Nothing, Task

SHUTDOWN = Task("shutdown", Nothing, Nothing)
