"""What a run tells the terminal: a bar where there is one, plain lines in log files."""

from __future__ import annotations

import math

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

MOST_SILENT_SECONDS = 60.0


class RunDisplay:
    """A run's progress, live, of one process; silent in all but the first of a team.

    Args:
        visible: Whether to say anything.
        log_every: Steps between lines where there is no terminal.
    """

    def __init__(self, visible: bool = True, log_every: int = 20) -> None:
        self._visible = visible
        self._log_every = log_every
        self._console = Console(width=None if Console().is_terminal else 140)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.1f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (visible and self._console.is_terminal),
        )
        self._task = self._bar.add_task("preparing", total=1.0)
        self._losses: list[float] = []
        self._said_at = -math.inf

    def __enter__(self) -> RunDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        if self._visible:
            self._bar.console.print(text, highlight=False)

    def preparing(self, name: str, number: int, count: int) -> None:
        self._bar.update(self._task, description=f"preparing {name}", completed=number / count)

    def stepped(self, step: int, progress: float, loss: float, rate: float, seconds: float) -> None:
        """Called after every step, with the done fraction of the run and the seconds so far.

        Without a terminal the first step is told, then one in `log_every` or in a minute.
        """
        self._losses = [*self._losses[-99:], loss]
        mean = sum(self._losses) / len(self._losses)
        text = f"step {step}  loss {mean:.3f}"
        self._bar.update(self._task, description=text, completed=progress)
        is_due = step % self._log_every == 0 or seconds - self._said_at >= MOST_SILENT_SECONDS
        if is_due and not self._console.is_terminal:
            self._said_at = seconds
            self.say(f"{text}  rate {rate:.2e}  {100 * progress:.1f} %  {seconds:.0f} s")

    def validated(
        self, step: int, mean: float, regions: dict[str, float], subsets: dict[str, float]
    ) -> None:
        parts = "  ".join(f"{name} {value:.3f}" for name, value in (regions | subsets).items())
        self.say(f"step {step}  validation Dice {mean:.3f}  {parts}")
