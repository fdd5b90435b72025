"""`factorizer check`: are these scans what the model expects?"""

from __future__ import annotations

from factorizer_engine.cli import options
from factorizer_engine.cli.session import open_session
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.protocol.checks import GREEN, RED, gravest
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import ModelChoice, RunOptions
from factorizer_engine.protocol.tasks.check import CHECK


def check(
    model: options.Model = "",
    inputs: options.Inputs = [],  # noqa: B006 (typer copies it)
    input_dir: options.InputFolder = None,
    reference: options.Reference = None,
    on: options.On = None,
    strict: options.Strict = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what looks wrong about scans, without running the model."""
    with open_session(ModelChoice(model, "cpu"), inputs, input_dir, machine=on) as session:
        channel, _ = session.reference(reference)
        findings = session.run(CHECK, channel, RunOptions()).findings
    for finding in findings:
        TERMINAL.print(f"{finding.severity:5}  {finding.sentence}")
    if not findings:
        TERMINAL.print("Nothing looks wrong.")
    worst = gravest(findings)
    if worst == RED:
        raise BadInputError("The scans cannot be used as they are.")
    if strict and worst != GREEN:
        raise BadInputError("The scans are doubtful; look at them before you run the model.")
