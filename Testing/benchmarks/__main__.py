"""`python -m benchmarks`: measure, print one table, and write it as JSON and Markdown."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "FactorizerSegmentation" / "Resources" / "SampleData" / "BrainTumour"
WINDOWS = ("2x64x64x64", "4x96x96x96", "4x128x128x128")
PARTS = (
    "windows",
    "layers",
    "levels",
    "training",
    "case",
    "engine",
    "start",
    "load",
    "studies",
    "interaction",
)
EARLIER = "earlier"
SCALING = "scaling"
PROFILE = "profile"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns 0, or 2 for bad usage or input."""
    options = _parse(arguments)
    # As the engine does; both count only before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    from rich.console import Console

    from benchmarks.run import run
    from factorizer_engine.protocol.errors import EngineError

    console = Console(width=None if sys.stdout.isatty() else 200)
    try:
        report = run(options)
    except EngineError as error:
        Console(stderr=True).print(f"benchmark: {error}", highlight=False, soft_wrap=True)
        return 2
    for name, value in report.environment.items():
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True)
    for table in report.tables():
        console.print(table)
    report.write(options.output)
    console.print(f"Written to {options.output}", highlight=False, soft_wrap=True)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="factorizer bench",
        description="Time the engine beside other networks, a plain copy, and MONAI's inference.",
    )
    parser.add_argument(
        "--window",
        action="append",
        metavar="CxXxYxZ",
        help=f"channels and voxels of a window; repeat for more (default: {', '.join(WINDOWS)})",
    )
    parser.add_argument("--quick", action="store_true", help=f"only {WINDOWS[0]}")
    parser.add_argument(
        "--part",
        action="append",
        choices=(*PARTS, EARLIER, SCALING),
        help="measure only this; repeat",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="list the operators of the last window; with --part, beside it",
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each after its warm-up")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="on the CPU")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps or auto")
    parser.add_argument("--precision", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--model", default="glioma-fast", help="name, family or path, for the case")
    parser.add_argument("--case", type=Path, default=SAMPLE, help="folder of a patient's scans")
    parser.add_argument("--output", type=Path, default=Path("benchmark-output"), help="folder")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    options.window = options.window or list(WINDOWS[:1] if options.quick else WINDOWS)
    options.part = options.part or ([] if options.profile else list(PARTS))
    options.part += [PROFILE] * options.profile
    options.command = " ".join(["factorizer bench", *(arguments or sys.argv[1:])])
    return options


if __name__ == "__main__":
    sys.exit(main())
