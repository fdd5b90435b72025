"""What was noticed about the scans of a study before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message

GREEN, AMBER, RED = "green", "amber", "red"
SEVERITIES = (GREEN, AMBER, RED)
"""Nothing to do; look before you run; cannot be run. From the least to the gravest."""


@dataclass(frozen=True)
class Finding(Message):
    """One thing that was noticed.

    Attributes:
        channels: The channels that it is about; empty if about all of them together.
        severity: One of `SEVERITIES`; a green finding is a note on what the engine mends itself.
        sentence: What is the matter, and what to do about it.
        asks: Whether it may be run only after the user has said that it is meant.
        by_preparation: Whether preparing the scans can put it right.
    """

    channels: tuple[str, ...]
    severity: str
    sentence: str
    asks: bool = False
    by_preparation: bool = False

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise BadInputError(f"The severity '{self.severity}' is unknown.")

    def concerns(self, channel: str) -> bool:
        """Whether it is about this channel."""
        return not self.channels or channel in self.channels


def of_severity(findings: Sequence[Finding], severity: str) -> list[Finding]:
    """The findings of one severity, in their order."""
    return [finding for finding in findings if finding.severity == severity]


def gravest(findings: Sequence[Finding]) -> str:
    """The gravest severity among findings; green if there is none."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default=GREEN)
