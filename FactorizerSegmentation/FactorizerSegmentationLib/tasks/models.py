"""Changing which models are installed; nothing in the scene changes by it."""

from __future__ import annotations

from typing import Any

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.tasks.install_model import INSTALL_MODEL, InstallModelParams
from factorizer_engine.protocol.tasks.remove_model import REMOVE_MODEL, RemoveModelParams
from factorizer_engine.protocol.tasks.task import Task
from FactorizerSegmentationLib.engine.process import EngineProcess

_TASKS: dict[type[Message], Task[Any, Any]] = {
    InstallModelParams: INSTALL_MODEL,
    RemoveModelParams: REMOVE_MODEL,
}


class ModelChange:
    """Installs or removes a model; started and cancelled as runs are.

    Args:
        scene: Not used.
        engine: Does the work.
        params: `InstallModelParams` or `RemoveModelParams`.
        callbacks: Who is told; `finished` gets the task's result.
    """

    usesScene = False

    def __init__(
        self, scene, engine: EngineProcess, params: Message, callbacks: Callbacks[Any]
    ) -> None:
        self._engine = engine
        self._params = params
        self._callbacks = callbacks
        self._requestId: int | None = None

    @property
    def summary(self) -> str:
        """What is changed, for the log."""
        return f"{_TASKS[type(self._params)].name}: {self._params}"

    def start(self) -> None:
        """Send the request and return; the callbacks tell the rest."""
        task = _TASKS[type(self._params)]
        self._requestId = self._engine.request(task, self._params, self._callbacks)

    def cancel(self) -> None:
        """Ask to stop; a download goes on from there the next time."""
        if self._requestId is not None:
            self._engine.cancel(self._requestId)
