"""What the command line prints: results and progress for people, errors in one sentence."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.progress import Progress as EngineProgress

USER_ERRORS = ("bad_input", "bad_model")
EXIT_FAILURE, EXIT_USAGE = 1, 2
WIDEST = 1000


class Terminal:
    """Standard output for results, standard error for progress, notes and errors."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False

    def print(self, result: str | RenderableType) -> None:
        """Print a result, unless the user asked for quiet."""
        if self.quiet:
            return
        if isinstance(result, str):
            Console().print(Text(result), soft_wrap=True)
        else:
            console = Console(markup=False, emoji=False)  # names of scans hold brackets and colons
            if isinstance(result, Table) and console.is_terminal:
                _cut_nothing(result, console.width)
            elif isinstance(result, Table):
                # Files and pipes have no width in which it must fit.
                wide = console.options.update(width=WIDEST)
                console.width = max(console.width, console.measure(result, options=wide).maximum)
            console.print(result)

    def log(self, text: str) -> None:
        """Print a line of the engine's log, if the user asked for it."""
        if self.verbose and text:
            self._errors().print(Text(text, style="dim"), soft_wrap=True)

    def warn(self, sentence: str) -> None:
        """Print what the user has to know, unless they asked for quiet."""
        if not self.quiet:
            self._errors().print(Text(f"Note: {sentence}"), soft_wrap=True)

    def complain(self, error: EngineError) -> int:
        """Print the error's sentence, and its details if asked for; returns the exit code."""
        self._errors().print(Text(f"factorizer: {error}"), soft_wrap=True)
        self.log(error.details.strip())
        return EXIT_USAGE if error.kind in USER_ERRORS else EXIT_FAILURE

    @property
    def shows_progress(self) -> bool:
        """Whether there is a terminal for a progress bar, and the user wants it."""
        return not self.quiet and not self.verbose and self._errors().is_terminal

    @contextmanager
    def progress(self) -> Iterator[Callable[[EngineProgress], None]]:
        """A progress bar with the remaining time; yields the function that moves it."""
        if not self.shows_progress:  # a bar that is switched off may write an empty line
            yield lambda progress: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[remaining]}"),
        )
        with Progress(*columns, console=self._errors(), transient=True) as bar:
            task = bar.add_task("Starting", total=1.0, remaining="")
            yield lambda progress: _move(bar, task, progress)

    @staticmethod
    def _errors() -> Console:
        return Console(stderr=True)


TERMINAL = Terminal()
"""The one terminal of this process; options of the commands set what it prints."""


def print_any_letters() -> None:
    """Let no name of a scan fail where its letters cannot be shown, as in pipes on Windows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _set_quiet(value: bool) -> bool:
    TERMINAL.quiet = value
    logging.getLogger("factorizer_engine").setLevel(logging.ERROR if value else logging.NOTSET)
    return value


def _set_verbose(value: bool) -> bool:
    TERMINAL.verbose = value
    return value


Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=_set_quiet, help="Print nothing but errors."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", callback=_set_verbose, help="Print the log and the details of errors."
    ),
]


def _cut_nothing(table: Table, width: int) -> None:
    """Have cells that are too wide go on in the next line; long names leave room for numbers."""
    for column in table.columns:
        column.overflow = "fold"
        longest = max((len(str(cell)) for cell in column.cells), default=0)
        column.no_wrap = column.no_wrap and longest <= width // 3


def make_table(title: str, *columns: str) -> Table:
    """An empty table; columns whose header ends in a unit or a "#" are aligned to the right.

    What the first column says, such as a name, stays on one line where there is room.
    """
    table = Table(title=title or None, title_justify="left")
    for number, column in enumerate(columns):
        numeric = column.endswith((")", "#"))
        table.add_column(
            column.removesuffix("#").strip(),
            justify="right" if numeric else "left",
            no_wrap=number == 0,
        )
    return table


def make_facts(title: str, facts: Mapping[str, str]) -> Table:
    """A table of names and values; empty values are left out."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in facts.items():
        if value:
            table.add_row(Text(name), Text(value))
    return table


def format_seconds(seconds: float) -> str:
    """Such as "45 s" or "2 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _move(bar: Progress, task: TaskID, progress: EngineProgress) -> None:
    remaining = ""
    if progress.remaining is not None and progress.fraction < 1.0:
        remaining = f"{format_seconds(progress.remaining)} left"
    bar.update(
        task,
        completed=progress.fraction,
        description=progress.stage.capitalize(),
        remaining=remaining,
    )
