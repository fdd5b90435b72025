"""What came of a trial, and how an attempt is judged."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from factorizer_engine.protocol.errors import EngineError, InternalError


@dataclass(frozen=True)
class Trial:
    """What became of something broken.

    Attributes:
        name: What was done.
        refused: Whether it was refused.
        fault: What is wrong with how that was done; "" if nothing.
        file: The broken file, which is kept if there is a fault.
    """

    name: str
    refused: bool
    fault: str
    file: Path | None = None


def attempt(name: str, action: Callable[[], object], file: Path | None = None) -> Trial:
    """Do what must succeed, or be refused in a sentence that blames no defect of ours."""
    try:
        action()
    except EngineError as error:
        fault = "" if is_plain(str(error)) and not isinstance(error, InternalError) else str(error)
        return Trial(name, True, fault, file)
    except Exception:
        return Trial(name, False, traceback.format_exc(), file)
    return Trial(name, False, "", file)


def is_plain(sentence: str) -> bool:
    """Whether it is one line that ends as a sentence does."""
    return sentence.endswith(".") and "\n" not in sentence
