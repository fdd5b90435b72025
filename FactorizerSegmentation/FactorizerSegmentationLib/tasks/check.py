"""Look at the chosen volumes before a run; nothing in the scene changes."""

from __future__ import annotations

from collections.abc import Generator

from factorizer_engine.protocol.checks import Finding
from factorizer_engine.protocol.tasks.check import CHECK, CheckResult
from FactorizerSegmentationLib.tasks.run import Run


class CheckRun(Run[CheckResult]):
    """Looks at the volumes; `finished` gets the `Finding`s, the gravest first."""

    task = CHECK

    def _currentBox(self) -> None:
        """The scans are looked at as a whole."""
        return None

    def _createNodes(self, result: CheckResult) -> Generator[None, None, tuple[Finding, ...]]:
        yield from ()  # nothing is made
        return result.findings
