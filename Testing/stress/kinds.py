"""What `run.py stress` can try, and how often."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stress.trial import Trial

Trials = Generator[Trial, None, None]


@dataclass(frozen=True)
class Kind:
    """A kind of trial.

    Attributes:
        name: As typed.
        title: In the plural.
        trials: How many by default.
        maker: Module and function that makes them, from a folder and a source of chance.
    """

    name: str
    title: str
    trials: int
    maker: str

    def start(self, folder: Path, chance: random.Random) -> Trials:
        """Begin; closing the generator ends what it started."""
        module, _, function = self.maker.partition(":")
        make: Callable[[Path, random.Random], Any] = getattr(import_module(module), function)
        return make(folder, chance)


KINDS = (
    Kind("scans", "broken scans", 1000, "stress.files:scan_trials"),
    Kind("models", "broken models", 1000, "stress.files:bundle_trials"),
    Kind("containers", "harmful files of models", 1000, "stress.containers:container_trials"),
    Kind("places", "places of scans", 1000, "stress.places:place_trials"),
    Kind("readers", "files held against other readers", 1000, "stress.readers:reader_trials"),
    Kind("large", "studies larger than memory", 1, "stress.large:large_trials"),
    Kind("threads", "numbers of threads", 8, "stress.threads:thread_trials"),
    Kind("engine", "engines that fail in the window", 100, "stress.engine:real_engine_trials"),
    Kind("storms", "hundreds of sequences of clicks", 5, "stress.storms:storm_trials"),
    Kind("messages", "broken messages", 10_000, "stress.messages:message_trials"),
)
