"""One request to the engine, and what becomes of its result in the scene."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from traceback import clear_frames
from typing import Any, Generic, TypeVar

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks, Result
from factorizer_engine.protocol.errors import CancelledError, EngineError, InternalError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.task import Task
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.engine.temporary import removeAbandoned, removeFolder
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.turns import Turns

Value = TypeVar("Value")

RUN = "run-"
"""What the names of folders with a run's files begin with."""


class EngineRun(Generic[Result]):
    """Base of all that the engine is asked for: files there, request, result, files away.

    That of a task is a subclass which knows its task, the task's parameters, and what becomes of
    the result.

    Args:
        scene: Where the inputs are and the results go.
        engine: Does the work.
        callbacks: Who is told; `finished` gets what `_createNodes` gives.
    """

    task: Task[Any, Result]
    usesScene = True
    """Whether it has no purpose any more when the scene is closed."""

    def __init__(self, scene, engine: EngineProcess, callbacks: Callbacks[Any]) -> None:
        self._scene = scene
        self._engine = engine
        self._callbacks = callbacks
        self._requestId: int | None = None
        self._folder: Path | None = None
        self._turns = Turns()
        self._renderingPaused = False

    @property
    def summary(self) -> str:
        """What is asked for, for the log."""
        return self.task.name

    def start(self) -> None:
        """Hand the volumes to the engine and return; the callbacks tell the rest.

        Raises:
            SceneError: If a volume cannot be used; then no callback is called.
        """
        try:
            self._folder = temporaryFolder()
            self._begin(self._folder)
        except BaseException:
            self._end()
            raise

    def cancel(self) -> None:
        """Ask to stop; `failed` is called as cancelled within about two seconds."""
        if self._turns.working:
            self._turns.cancel()
            self._onFailed(CancelledError())
        elif self._requestId is not None:
            self._engine.cancel(self._requestId)

    def _begin(self, folder: Path) -> None:
        sentence = _("The volumes could not be handed to the engine; the log says more.")
        self._inTurns(self._handOver(folder), lambda nothing: None, sentence)

    def _handOver(self, folder: Path) -> Generator[None, None, None]:
        params = yield from self._gather(folder)
        self._ask(self.task, params, self._onResult)

    def _ask(
        self,
        task: Task[Any, Any],
        params: Message,
        onResult: Callable[[Any], None],
        start: float = 0.0,
        end: float = 1.0,
    ) -> None:
        """Hand a request to the engine whose progress is from `start` to `end` of this run's."""

        def progressed(progress: Progress) -> None:
            fraction = start + (end - start) * progress.fraction
            remaining = progress.remaining if end == 1.0 else None
            self._callbacks.progress(replace(progress, fraction=fraction, remaining=remaining))

        callbacks = Callbacks(onResult, self._onFailed, progressed)
        self._requestId = self._engine.request(task, params, callbacks)

    def _gather(self, folder: Path) -> Generator[None, None, Message]:
        """What is asked for; files for the engine go into `folder`.

        The window is alive at every `yield`.
        """
        raise NotImplementedError

    def _createNodes(self, result: Result) -> Generator[None, None, object]:
        """Make the nodes of a result, and return them.

        The window is alive at every `yield`. If the generator is closed there, or fails, it takes
        back what it has made.
        """
        raise NotImplementedError

    def _afterwards(self) -> Generator[None, None, None]:
        """Add to the scene what nobody waits for, when the run has ended and its nodes are shown.

        The files of the run are there as long as it goes on. It is never cancelled, and has to look
        whether the nodes still exist.
        """
        yield from ()

    def _onResult(self, result: Result) -> None:
        self._renderingPaused = True
        slicer.app.pauseRender()  # so that views are drawn once, when all is there
        sentence = _("The result could not be added to the scene; the log says more.")
        self._inTurns(self._nodesOf(result), self._onCreated, sentence)

    def _nodesOf(self, result: Result) -> Generator[None, None, object]:
        """All nodes of a run: those of the result, and what else belongs to it."""
        return self._createNodes(result)

    def _onCreated(self, outcome: object) -> None:
        folder, self._folder = self._folder, None
        self._end()
        problem = "What was to follow a run, or to be removed after it, was not."
        Turns().startAlone(self._closing(folder), problem)
        self._callbacks.finished(outcome)

    def _closing(self, folder: Path | None) -> Generator[None, None, None]:
        try:
            yield from self._afterwards()
        except BaseException as error:
            clear_frames(error.__traceback__)  # see `_inTurns`
            if folder is not None:
                removeFolder(folder)
            raise
        if folder is not None:
            yield from _removed(folder)

    def _inTurns(
        self, work: Generator[None, None, Value], then: Callable[[Value], None], sentence: str
    ) -> None:
        """Do work of which the window has its turn at every `yield`, and go on with its outcome.

        Args:
            sentence: What is told if it breaks down.
        """

        def failed(error: Exception) -> None:
            # Volumes that the work has mapped into memory: Windows removes no file that is.
            clear_frames(error.__traceback__)
            if isinstance(error, EngineError):
                self._onFailed(error)
                return
            logging.error("A run of the engine broke down in Slicer.", exc_info=error)
            self._onFailed(InternalError(sentence))

        self._turns.start(work, then, failed)

    def _onFailed(self, error: EngineError) -> None:
        self._end()
        self._callbacks.failed(error)

    def _end(self) -> None:
        if self._renderingPaused:
            self._renderingPaused = False
            slicer.app.resumeRender()
        if self._folder is not None:  # now: after a failure there may be no turn any more
            removeFolder(self._folder)


def temporaryFolder() -> Path:
    """A new folder for one run below Slicer's temporary folder.

    Raises:
        SceneError: If it cannot be made.
    """
    base = Path(slicer.app.temporaryPath) / "FactorizerSegmentation"
    try:
        base.mkdir(parents=True, exist_ok=True)
        removeAbandoned(base, RUN)
        return Path(tempfile.mkdtemp(prefix=RUN, dir=base))
    except OSError as error:
        raise SceneError(
            _(
                "Slicer's temporary folder {path} cannot be written; choose another in the "
                "application settings."
            ).format(path=base.parent)
        ) from error


def _removed(folder: Path) -> Generator[None, None, None]:
    """Remove a folder with large files, a file at a time."""
    for path in list(folder.iterdir()):
        with suppress(OSError):  # one that is open, or a folder
            path.unlink()
        yield
    removeFolder(folder)
