"""The 1 mm glioma model on a card that is lent for minutes, in one command that ends by itself.

    python -m device.pack /data/brats18 packed      # before, where the data are
    python -m device.train packed/part-1 --gather   # there; cases stay in the --work folder
    python -m device.train packed/part-2 --seconds 400 --output "$OUT"

The same call again goes on exactly where a run was stopped before its end. The averaged weights
come to the output every minute, as float16 in one file under 16 MiB; a run in another lease, or in
another --work folder, begins with them (`--begin weights-float16.pt`). `--device cpu --steps 2`
tries it all. MONAI and the readers of files are needed; `python -m device --packed` brings them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir

import torch
import yaml

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import TrainingConfig, load_config
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.state import load_checkpoint, save_checkpoint

CONFIG = Path(__file__).with_name("glioma-1mm.yaml")
WEIGHTS = "weights-float16.pt"
MOST_BYTES = 16 * 2**20
_EVERY_SECONDS = 60


def halve(source: Path, target: Path) -> None:
    """Write the weights of a run, `final.pt` or `best.pt`, with float16 numbers.

    Raises:
        BadInputError: If they do not fit into float16, or the file is too large to come back.
    """
    content = load_checkpoint(source)
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in content["network"].items()
    }
    if not all(tensor.isfinite().all() for tensor in halves.values()):
        raise BadInputError(f"The weights {source} are too large for float16.")
    save_checkpoint({**content, "network": halves}, target)
    if target.stat().st_size > MOST_BYTES:
        raise BadInputError(
            f"The weights {target} have more than 16 MiB; train a narrower network."
        )


def gather(parts: list[Path], cases: Path) -> None:
    """Put packed cases beside those that are there already."""
    for part in parts:
        shutil.copytree(part, cases, dirs_exist_ok=True)


def configured(options: argparse.Namespace, work: Path) -> TrainingConfig:
    """The configuration with what this call says, kept in the work folder."""
    optimization: dict = {"max_seconds": options.seconds}
    run: dict = {"output": str(work / "run"), "cache": str(work / "cache")}
    values = {
        "extends": str(options.config.resolve()),
        "data": {"root": str(work / "cases")},
        "split": {"file": str(work / "split.json")},
        "optimization": optimization,
        "run": run,
    }
    if options.validation:
        values["split"]["validation"] = options.validation
    if options.begin:
        values["network"] = {"pretrained": str(options.begin.resolve())}
    if options.steps:
        optimization |= {"steps": options.steps, "schedule": "steps", "batch_size": 1}
        run |= {"workers": 0, "checkpoint_every": 1}
    if options.device:
        run["device"] = options.device
    path = work / "config.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_config(path)


@contextmanager
def brought_home(run: Path, output: Path) -> Iterator[None]:
    """Keep the weights of a run in the output every minute, and at the end what it recorded."""
    ended = threading.Event()

    def copy() -> None:
        while not ended.wait(_EVERY_SECONDS):
            with suppress(BadInputError):  # none yet; what is wrong is said at the end
                halve(run / "final.pt", output / WEIGHTS)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for name in ("history.jsonl", "run.json", "config.json", "report.html"):
            with suppress(FileNotFoundError):
                shutil.copy(run / name, output / name)
        if (run / "final.pt").is_file():
            halve(run / "final.pt", output / WEIGHTS)


def main(arguments: list[str] | None = None) -> int:
    """Gather the cases, train, bring the weights home; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m device.train", description=__doc__.splitlines()[0]
    )
    parser.add_argument("packed", type=Path, nargs="*", help="parts that `device.pack` made")
    parser.add_argument("--gather", action="store_true", help="only keep the cases, for later")
    parser.add_argument("--seconds", type=float, default=420, help="of training, at most")
    parser.add_argument("--steps", type=int, help="so many steps and small batches, to try it")
    parser.add_argument("--begin", type=Path, help="weights of an earlier lease")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--validation", nargs="+", help="cases instead of the configuration's")
    parser.add_argument("--device", help="cpu, to try it; otherwise the card if there is one")
    parser.add_argument("--work", type=Path, default=Path(gettempdir()) / "factorizer-training")
    parser.add_argument("--output", type=Path, default=os.environ.get("OUT", "lease-output"))
    options = parser.parse_args(arguments)
    work, output = options.work.resolve(), Path(options.output).resolve()
    for folder in (work, output):
        folder.mkdir(parents=True, exist_ok=True)
    gather(options.packed, work / "cases")
    if options.gather:
        return 0
    config = configured(options, work)
    torch.set_float32_matmul_precision("high")  # of what autocast leaves in float32
    with brought_home(config.output, output):
        train(config, resume=(config.output / "last.pt").is_file())
    print(f"{output / WEIGHTS}: {(output / WEIGHTS).stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
