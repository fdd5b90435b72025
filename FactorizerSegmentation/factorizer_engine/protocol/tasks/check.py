"""Look whether the scans of a study are what a model expects."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.checks import Finding
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.runs import RunParams
from factorizer_engine.protocol.tasks.task import Task


@dataclass(frozen=True)
class CheckParams(RunParams):
    """The run that is thought of; nothing is computed with the model, and no file is written."""


@dataclass(frozen=True)
class CheckResult(Message):
    """What was noticed.

    Attributes:
        findings: The gravest first; empty if all is well.
    """

    findings: tuple[Finding, ...] = ()


CHECK = Task("check", CheckParams, CheckResult)
