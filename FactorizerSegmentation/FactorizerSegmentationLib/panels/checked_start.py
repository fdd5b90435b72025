"""A run that begins when the scans have been looked at, so that what is found is said before."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from factorizer_engine.protocol.errors import CancelledError
from FactorizerSegmentationLib.panels.input_checks import InputChecks
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.scene.errors import SceneError


class CheckedStart:
    """Begins a run at once, or after the check of the scans if that is still to come.

    Args:
        checks: Looks at the scans.
        problem: Says in one sentence why the run cannot begin, or nothing.
        controls: Show that the run waits, and what keeps it from beginning.
        start: Begins the run.
        cancelRun: Asks a run that has begun to stop.
    """

    def __init__(
        self,
        checks: InputChecks,
        problem: Callable[[], str],
        controls: RunControls,
        start: Callable[[], None],
        cancelRun: Callable[[], None],
    ) -> None:
        self._checks = checks
        self._problem = problem
        self._controls = controls
        self._start = start
        self._cancelRun = cancelRun
        self._waits = False

    def begin(self) -> None:
        """The user wants the run."""
        if not self._checks.pending:
            self._start()
            return
        self._waits = True
        self._controls.started(_("Looking at the scans"))
        self._checks.afterwards(self._onChecked)

    def cancel(self) -> None:
        """The user does not want the run any more, which waits or has begun."""
        if self._waits:
            self.forget()
        else:
            self._cancelRun()

    def forget(self) -> None:
        """Do not begin after the check, as before the scene goes."""
        if self._waits:
            self._waits = False
            self._controls.failed(CancelledError())
            self._checks.afterwards(None)

    def _onChecked(self) -> None:
        if not self._waits:  # cancelled since the check has ended
            return
        self._waits = False
        self._controls.ended()
        problem = self._problem()
        if problem:
            self._controls.failed(SceneError(problem))
        else:
            self._start()
