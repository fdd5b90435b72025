"""`python3 run.py stress`: much that is broken, and what must hold all the same."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from stress.kinds import KINDS, Kind


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py stress", description=__doc__)
    choices = ", ".join(f"{kind.name} ({kind.trials})" for kind in KINDS)
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"what to try; everything if unset: {choices}"
    )
    parser.add_argument("--trials", type=int, help="of each kind, instead of the numbers above")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--keep", type=Path, default=Path("stress-output"), help="for bad files")
    options = parser.parse_args()
    unknown = set(options.kinds) - {kind.name for kind in KINDS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {choices}")
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"Seed {seed}: repeat with --seed {seed}", flush=True)
    chosen = [kind for kind in KINDS if not options.kinds or kind.name in options.kinds]
    keep = options.keep.absolute()
    logging.disable(logging.WARNING)  # what is broken is warned of all the time
    faults = sum(_try(kind, options.trials or kind.trials, seed, keep) for kind in chosen)
    print(f"{faults} faults")
    return 1 if faults else 0


def _try(kind: Kind, count: int, seed: int, keep: Path) -> int:
    """Make the trials of a kind, and say what is wrong; returns the number of faults."""
    faults, refused, made, began = 0, 0, 0, time.monotonic()
    before = Path.cwd()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)  # broken paths may be relative
        try:
            trials = kind.start(Path(folder), random.Random(seed))
            for trial in islice(trials, count):
                made += 1
                refused += trial.refused
                if trial.fault:
                    faults += 1
                    print(f"{kind.name} {made}, {trial.name}:\n{trial.fault}", flush=True)
                    if trial.file is not None:
                        keep.mkdir(exist_ok=True)
                        shutil.copy(trial.file, keep / f"{seed}-{made}-{trial.file.name}")
            trials.close()
        finally:
            os.chdir(before)
    seconds = time.monotonic() - began
    print(f"{made} {kind.title}, {refused} refused, {faults} faults, {seconds:.0f} s", flush=True)
    return faults


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # native libraries of the window at times do not end
