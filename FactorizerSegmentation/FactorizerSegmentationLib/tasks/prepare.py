"""Prepare the chosen volumes and stop there, so that they can be looked at and corrected."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareResult
from FactorizerSegmentationLib.tasks.run import Run


class PrepareRun(Run[PrepareResult]):
    """Prepares the volumes, which `settings.preparation` asks for; `finished` gets the result."""

    task = PREPARE

    def _currentBox(self) -> None:
        """Scans are prepared as a whole."""
        return None

    def _onPrepared(self, folder: Path, result: PrepareResult) -> None:
        self._prepared = result
        self._onResult(result)

    def _createNodes(self, result: PrepareResult) -> Generator[None, None, PrepareResult]:
        yield from ()  # what the preparation leaves is all there is
        return result
