"""Are the kernels right on this card, and how fast? In minutes, and with little installed.

Needs what any machine for PyTorch has, and no network. For the tests of the kernels that is enough;
the others and the benchmark need MONAI and the readers of files, which come as wheels:

    pip download --no-deps --only-binary :all: --python-version 3.12 --dest wheels \\
        monai nibabel connected-components-3d pydicom pytest
    python -m device --wheels wheels --output results

Every step is a process with a time limit. What fails or is cut short leaves the others alone, and
what there is by then is in `lease.json` and `lease.md`. `--device cpu --quick` tries it all where
there is no card. With what is left of the lease `--packed packed/part-1 --only training` trains the
1 mm glioma model, see `train.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir

TESTING = Path(__file__).resolve().parents[1]
MODULE = TESTING.parent / "FactorizerSegmentation"
SHOWN_LINES = 40
TO_BEGIN_AND_END = 90
"""Seconds that a training takes beside its steps."""

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
        state: "passed", "failed" or "cut short".
        seconds: How long it took.
        text: The end of what it printed.
    """

    name: str
    state: str
    seconds: float
    text: str


def steps_of(
    device: str, quick: bool, output: Path, packed: Sequence[Path] = (), seconds: int = 420
) -> list[Step]:
    """What is run, the most valuable first.

    Args:
        device: "cuda", or "cpu" to try the script.
        quick: Small windows and one round.
        output: Folder of the results.
        packed: Cases to train from; none if there are none.
        seconds: Of training.
    """
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    engine = TESTING / "engine"
    kernels = ("--noconftest", str(engine / "factorization" / "test_fused.py"))
    if device == "cpu":  # in a process of its own, which interprets them
        kernels = ("-k", "interpreter", str(engine / "factorization" / "test_fused_fallback.py"))
    found = [Step("facts", ("-c", FACTS), 30), Step("kernels", (*tests, *kernels), 240)]
    if device != "cpu":
        found.append(Step("engine", (*tests, "-m", "gpu", str(engine / "inference")), 45))
    window, rounds = ("2x64x64x64", "1") if quick else ("4x128x128x128", "5")
    for precision in ("float32", "bfloat16"):
        name = f"windows-{precision}"
        bench = ("-m", "benchmarks", "--device", device, "--window", window, "--rounds", rounds)
        parts = ("--part", "windows", "--part", "layers", "--precision", precision)
        found.append(Step(name, (*bench, *parts, "--output", str(output / name)), 110))
    case = ("-m", "benchmarks", "--device", device, "--part", "case", "--rounds", rounds)
    found.append(Step("case", (*case, "--output", str(output / "case")), 60))
    if packed:
        train = ("-m", "device.train", *map(str, packed), "--output", str(output))
        how_long = ("--steps", "2") if quick else ("--seconds", str(seconds))
        own = ("--device", device, *how_long)
        found.append(Step("training", (*train, *own), seconds + TO_BEGIN_AND_END))
    return found


def run_step(step: Step, python: Path) -> Outcome:
    """Run a step by a Python, with the repository on its path."""
    paths = [str(MODULE), str(TESTING)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    start = time.monotonic()
    with subprocess.Popen(
        [str(python), *step.arguments],
        cwd=TESTING.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            text, _ = process.communicate(timeout=step.seconds)
            state = "failed" if process.returncode else "passed"
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            state = "cut short"
    shown = "\n".join(text.splitlines()[-SHOWN_LINES:])
    return Outcome(step.name, state, round(time.monotonic() - start, 1), shown)


def python_with(wheels: Path) -> Path:
    """A Python that has what this one has, and the wheels of a folder; nothing is downloaded."""
    folder = Path(gettempdir()) / "factorizer-lease"
    venv.create(folder, system_site_packages=True, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    files = [str(path) for path in sorted(wheels.glob("*.whl"))]
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *files]
    subprocess.run(command, check=True)
    return python


def write_results(outcomes: Sequence[Outcome], output: Path) -> None:
    """Write lease.json and lease.md; with the tables of the benchmarks that have ended."""
    records = [asdict(outcome) for outcome in outcomes]
    content = json.dumps(records, indent=1, ensure_ascii=False)
    (output / "lease.json").write_text(content + "\n", encoding="utf-8")
    lines = ["# On a graphics card", "", "| step | state | seconds |", "|---|---|---:|"]
    lines += [f"| {one.name} | {one.state} | {one.seconds:.0f} |" for one in outcomes]
    for one in outcomes:
        table = output / one.name / "benchmark.md"
        lines += ["", f"## {one.name}", ""]
        if table.is_file():
            lines.append(table.read_text(encoding="utf-8"))
        else:
            lines += ["```", one.text, "```"]
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
    parser.add_argument("--output", type=Path, default=os.environ.get("OUT", "lease-output"))
    options = parser.parse_args(arguments)
    output = Path(options.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    python = python_with(options.wheels) if options.wheels else Path(sys.executable)
    outcomes: list[Outcome] = []
    packed = [part.resolve() for part in options.packed]
    steps = steps_of(options.device, options.quick, output, packed, options.seconds)
    for step in steps:
        if options.only and step.name not in options.only:
            continue
        outcomes.append(run_step(step, python))
        print(f"{step.name}: {outcomes[-1].state} after {outcomes[-1].seconds} s", flush=True)
        write_results(outcomes, output)
    return int(any(outcome.state != "passed" for outcome in outcomes))
