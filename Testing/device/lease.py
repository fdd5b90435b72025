"""Are the kernels right on this card, and how fast? In minutes, and with little installed.

Needs what any machine for PyTorch has, and no network. For the tests of the kernels that is enough;
the others, the benchmark and training need MONAI and readers of files, which come as wheels:

    pip download --no-deps --only-binary :all: --python-version 3.12 --dest wheels \\
        monai einops nibabel connected-components-3d pydicom filelock psutil \\
        pydantic pydantic-core annotated-types typing-inspection
    python -m device --wheels wheels --output results

Every step is a process with a time limit, and all end before `--limit`. What fails or is cut short
leaves the others alone, and what there is by then is in `lease.json` and `lease.md`. `--device cpu
--quick` tries it all where there is no card. With what is left of the lease `--packed packed/part-1
--only training` trains the 1 mm glioma model, see `train.py`.

Where little may be sent, wheels and packed cases take the place of recorded data that nothing here
reads, half of the repository:

    git sparse-checkout set --no-cone "/*" "!/Testing/data/" "/Testing/data/reference/manifest.json"
    git sparse-checkout disable  # afterwards
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

TESTING = Path(__file__).resolve().parents[1]
MODULE = TESTING.parent / "FactorizerSegmentation"
SHOWN_LINES = 40
TO_BEGIN_AND_END = 90
"""Seconds that a training takes beside its steps."""
LIMIT = 570
"""Seconds of all steps together: a command there may take ten minutes."""

FACTS = """\
import json, platform, torch
facts = {"python": platform.python_version(), "torch": torch.__version__, "device": "processor"}
if torch.cuda.is_available():
    facts["device"] = torch.cuda.get_device_name(0)
    facts["capability"] = ".".join(map(str, torch.cuda.get_device_capability(0)))
    facts["cuda"] = torch.version.cuda
try:
    import triton
    facts["triton"] = triton.__version__
except ImportError:
    facts["triton"] = "missing"
print(json.dumps(facts))
"""


@dataclass(frozen=True)
class Step:
    """Something to run.

    Attributes:
        name: What it is called in the results; also a folder's name.
        arguments: Of the Python that runs it.
        seconds: After which it is cut short.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: int


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        name: Which.
        state: "passed", "failed", "cut short" or "not begun".
        seconds: How long it took.
        text: The end of what it printed; of a benchmark its tables.
        measured: What a benchmark found.
    """

    name: str
    state: str
    seconds: float = 0.0
    text: str = ""
    measured: dict[str, Any] | None = None


def steps_of(
    device: str,
    quick: bool,
    work: Path,
    output: Path,
    packed: Sequence[Path] = (),
    seconds: int = 420,
) -> list[Step]:
    """What is run, the most valuable first.

    Args:
        device: "cuda", or "cpu" to try the script.
        quick: Small windows and one round.
        work: Folder of what benchmarks write.
        output: Folder of the results.
        packed: Cases to train from; none if there are none.
        seconds: Of training.
    """
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    engine = TESTING / "engine"
    kernels = (str(engine / "factorization" / "test_fused.py"),)
    if device == "cpu":  # in a process of its own, which interprets them
        kernels = ("-k", "interpreter", str(engine / "factorization" / "test_fused_fallback.py"))
    bare = ("--noconftest", *kernels)  # which would import readers of files
    found = [Step("facts", ("-c", FACTS), 60), Step("kernels", (*tests, *bare), 240)]
    if device != "cpu":
        found.append(Step("engine", (*tests, "-m", "gpu", str(engine / "inference")), 60))
    window, rounds = ("2x64x64x64", "1") if quick else ("4x128x128x128", "5")
    for precision in ("float32", "bfloat16"):
        name = f"windows-{precision}"
        bench = ("-m", "benchmarks", "--device", device, "--window", window, "--rounds", rounds)
        parts = ("--part", "windows", "--part", "layers", "--precision", precision)
        found.append(Step(name, (*bench, *parts, "--output", str(work / name)), 110))
    case = ("-m", "benchmarks", "--device", device, "--part", "case", "--rounds", rounds)
    found.append(Step("case", (*case, "--output", str(work / "case")), 60))
    if packed:
        train = ("-m", "device.train", *map(str, packed), "--output", str(output))
        how_long = ("--steps", "2") if quick else ("--seconds", str(seconds))
        own = ("--device", device, *how_long)
        found.append(Step("training", (*train, *own), seconds + TO_BEGIN_AND_END))
    return found


def run_step(step: Step, site: Path | None = None, seconds: float = LIMIT) -> Outcome:
    """Run a step with the repository on its path.

    Args:
        step: What to run.
        site: A folder of packages beside those of this Python.
        seconds: That are left; the step has no more of them, whatever it says.
    """
    if seconds < 1:
        return Outcome(step.name, "not begun")
    start = time.monotonic()
    with TemporaryFile() as printed:  # a pipe would stay open in what a step has started
        process = subprocess.Popen(
            [sys.executable, *step.arguments],
            cwd=TESTING.parent,
            env=_environment(site),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        try:
            state = "failed" if process.wait(min(step.seconds, seconds)) else "passed"
        except subprocess.TimeoutExpired:
            state = "cut short"
            process.kill()
            process.wait()
        printed.seek(0)
        lines = printed.read().decode("utf-8", "replace").splitlines()
    took = round(time.monotonic() - start, 1)
    return Outcome(step.name, state, took, "\n".join(lines[-SHOWN_LINES:]))


def _environment(site: Path | None) -> dict[str, str]:
    known = os.environ.get("PYTHONPATH")
    paths = [str(path) for path in (MODULE, TESTING, site, known) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def with_tables(outcome: Outcome, folder: Path) -> Outcome:
    """The outcome of a benchmark with what it wrote; any other as it is."""
    measured, tables = folder / "benchmark.json", folder / "benchmark.md"
    if not measured.is_file():
        return outcome
    found = json.loads(measured.read_text(encoding="utf-8"))
    return replace(outcome, text=tables.read_text(encoding="utf-8"), measured=found)


def unpack(wheels: Path, folder: Path) -> None:
    """Make a folder of packages of the wheels in another; nothing is downloaded.

    A folder, not an environment: one that is made in an environment does not have its packages.
    """
    files = [str(path) for path in sorted(wheels.glob("*.whl"))]
    how = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "install", *how, *files], check=True)


def write_results(outcomes: Sequence[Outcome], output: Path) -> None:
    """Write lease.json and lease.md, which are all: not many files can be brought back."""
    records = [asdict(outcome) for outcome in outcomes]
    content = json.dumps(records, indent=1, ensure_ascii=False)
    (output / "lease.json").write_text(content + "\n", encoding="utf-8")
    lines = ["# On a graphics card", "", "| step | state | seconds |", "|---|---|---:|"]
    lines += [f"| {one.name} | {one.state} | {one.seconds:.0f} |" for one in outcomes]
    for one in outcomes:
        shown = [one.text] if one.measured else ["```", one.text, "```"]
        lines += ["", f"## {one.name}", "", *shown]
    (output / "lease.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run all steps; returns 0 if all passed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m device", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try this script")
    parser.add_argument("--quick", action="store_true", help="small windows and one round")
    parser.add_argument("--wheels", type=Path, help="folder with wheels of what is missing")
    parser.add_argument("--only", action="append", help="name of a step; repeat for more")
    parser.add_argument("--packed", type=Path, nargs="+", default=[], help="cases to train from")
    parser.add_argument("--seconds", type=int, default=420, help="of training")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of everything")
    parser.add_argument("--output", type=Path, default=os.environ.get("OUT", "lease-output"))
    options = parser.parse_args(arguments)
    start = time.monotonic()
    output = Path(options.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    packed = [part.resolve() for part in options.packed]
    outcomes: list[Outcome] = []
    with TemporaryDirectory(prefix="factorizer-lease-") as folder:
        work, site = Path(folder), None
        if options.wheels:
            site = work / "site"
            unpack(options.wheels, site)
        for step in steps_of(options.device, options.quick, work, output, packed, options.seconds):
            if options.only and step.name not in options.only:
                continue
            left = options.limit - (time.monotonic() - start)
            outcomes.append(with_tables(run_step(step, site, left), work / step.name))
            print(f"{step.name}: {outcomes[-1].state} after {outcomes[-1].seconds} s", flush=True)
            write_results(outcomes, output)
    return int(any(outcome.state != "passed" for outcome in outcomes))
