"""The commands, and one place where everything that fails becomes a sentence and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from factorizer_engine import __version__
from factorizer_engine.cli.bench import PASSED_ON, bench
from factorizer_engine.cli.cache import cache
from factorizer_engine.cli.check import check
from factorizer_engine.cli.components import components
from factorizer_engine.cli.evaluation import evaluate
from factorizer_engine.cli.export_dicom import export_dicom
from factorizer_engine.cli.follow_up import follow_up
from factorizer_engine.cli.inspect import inspect
from factorizer_engine.cli.messages_of_libraries import libraries_logged
from factorizer_engine.cli.models import models
from factorizer_engine.cli.prepare import prepare
from factorizer_engine.cli.refine import refine
from factorizer_engine.cli.report import report
from factorizer_engine.cli.segment import segment
from factorizer_engine.cli.serve import serve
from factorizer_engine.cli.terminal import EXIT_FAILURE, EXIT_USAGE, TERMINAL, print_any_letters
from factorizer_engine.cli.training import export, train
from factorizer_engine.protocol.errors import BadInputError, CancelledError
from factorizer_engine.protocol.failures import as_engine_error

TYPER_INTERRUPTED = 130
"""What typer makes of Ctrl-C when it comes outside a request to the engine."""

app = typer.Typer(
    name="factorizer",
    help="Segment lesions with Factorizer networks, and see what drove the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(segment)
app.command()(check)
app.command()(refine)
app.command()(components)
app.command()(prepare)
app.command()(cache)
app.command()(report)
app.command()(follow_up)
app.command()(export_dicom)
app.add_typer(models, name="models")
app.command()(serve)
app.command()(inspect)
app.command()(train)
app.command()(evaluate)
app.command()(export)
app.command(context_settings=PASSED_ON, add_help_option=False)(bench)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"factorizer {__version__}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with 0, with 2 for bad usage or input, or 1 for failures."""
    print_any_letters()
    try:
        _check_current_folder()
        with _terminated_as_interrupted(), libraries_logged(TERMINAL.log):
            code = app(args=arguments, prog_name="factorizer", standalone_mode=False)
        if code == TYPER_INTERRUPTED:
            code = TERMINAL.complain(CancelledError())
    except BaseException as error:
        code = _report(error)
    sys.exit(code if isinstance(code, int) else 0)


def _check_current_folder() -> None:
    """Refuse to work in a folder that was removed, in which not even libraries load."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise BadInputError("The current folder was removed; change to another one.") from error


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, so that no engine or folder is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(error: BaseException) -> int:
    if isinstance(error, BrokenPipeError):  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILURE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_FAILURE
    if isinstance(error, typer.Abort):
        return TERMINAL.complain(CancelledError())
    if hasattr(error, "format_message"):  # wrong usage, as the option parser reports it
        return _report_usage(error.format_message(), getattr(error, "ctx", None))
    return TERMINAL.complain(as_engine_error(error))


def _report_usage(message: str, context: typer.Context | None) -> int:
    sentence = " ".join(message.split()).replace(". Did you", ", did you").rstrip(".?")
    sentence = sentence.replace(": Value error, ", ": ")  # pydantic's, in front of our own words
    if sentence:  # without one, the help was shown already
        TERMINAL.complain(BadInputError(f"{sentence}; {_advice(message, context)}."))
    return EXIT_USAGE


def _advice(message: str, context: typer.Context | None) -> str:
    """What to do about a command that was not understood."""
    if context is None or context.parent is None:
        return "try 'factorizer --help'"
    takes_scans = any("--input" in parameter.opts for parameter in context.command.params)
    if takes_scans and "extra argument" in message:
        return "scans and folders are given with --input"
    return f"try '{context.command_path} --help'"
