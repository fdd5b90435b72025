"""`python3 run.py stress`: many broken files; those that go wrong are kept."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from itertools import islice
from pathlib import Path

from stress.trials import bundle_trials, scan_trials


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py stress", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="files of each kind")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    parser.add_argument("--keep", type=Path, default=Path("stress-output"), help="for bad files")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"Seed {seed}: repeat with --seed {seed}", flush=True)
    faults = 0
    for name, trials in (("scans", scan_trials), ("models", bundle_trials)):
        with tempfile.TemporaryDirectory() as folder:
            refused = 0
            made = trials(Path(folder), random.Random(seed))
            for number, trial in enumerate(islice(made, options.trials)):
                refused += trial.refused
                if trial.fault:
                    faults += 1
                    options.keep.mkdir(exist_ok=True)
                    kept = options.keep / f"{seed}-{number}-{trial.file.name}"
                    shutil.copy(trial.file, kept)
                    print(f"{kept}:\n{trial.fault}", flush=True)
        print(f"{options.trials} {name}, {refused} refused", flush=True)
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
