"""`python -m factorizer_engine.training CONFIG.yaml`, also under torchrun."""

from __future__ import annotations

import argparse
import sys

from factorizer_engine.inference.allocator import keep_freed_memory
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.training.run import train_command


def main() -> int:
    parser = argparse.ArgumentParser(prog="factorizer_engine.training", description=__doc__)
    parser.add_argument("config", help="training configuration (YAML)")
    parser.add_argument("--data", help="dataset folder, in place of the configuration's")
    parser.add_argument("--output", help="folder of the run, in place of the configuration's")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in the output folder"
    )
    parser.add_argument("--check", action="store_true", help="check configuration and data only")
    arguments = parser.parse_args()
    keep_freed_memory()
    try:
        train_command(**vars(arguments))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, BadInputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
