"""`python -m demo`: see `run.py` at the root of the repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.analysis import Settings
from demo.report import Run
from factorizer_engine.protocol.errors import BadInputError, EngineError

DEFAULTS = Settings()
OUTPUT = Path("demo-output")
FEWEST_COMPONENTS = 3


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns 0, 2 for bad input or usage, or 1 for failures."""
    options = _parse(arguments)
    console = Console()
    console.print("[bold]Factorizer demo[/bold]: a brain tumour, and what drove its segmentation")
    from demo.run import run_demo  # brings in VTK, which --help can do without
    from demo.scene import SceneFileError

    settings = Settings(options.model, options.device, options.count)
    try:
        run = run_demo(options.output.resolve(), settings, console)
    except (EngineError, SceneFileError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 2 if isinstance(error, BadInputError) else 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 1
    _print_summary(run, options.output, console)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.py demo", description="Segment the sample case and explain the result."
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the results")
    parser.add_argument("--model", default=DEFAULTS.model, help="name, family or path of a model")
    parser.add_argument("--device", default=DEFAULTS.device, help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument(
        "--count",
        type=int,
        default=DEFAULTS.count,
        choices=range(FEWEST_COMPONENTS, 13),
        metavar="N",
        help=f"components to show, {FEWEST_COMPONENTS} to 12",
    )
    return parser.parse_args(arguments)


def _print_summary(run: Run, output: Path, console: Console) -> None:
    table = Table(
        title=f"{run.result.model.title} {run.result.model.version}", title_justify="left"
    )
    table.add_column("Region")
    table.add_column("Volume (mL)", justify="right")
    table.add_column("Dice against the experts", justify="right")
    for region in run.result.model.regions:
        if region.name in run.scores:
            volume, score = run.region_volumes[region.name], run.scores[region.name]
            table.add_row(region.title, f"{volume:.1f}", f"{score:.3f}")
    console.print(table)
    seconds = sum(run.timings.values())
    lesions, heatmaps = len(run.result.lesions), len(run.components.components)
    console.print(
        f"{lesions} lesion{'s' * (lesions != 1)}, {heatmaps} heatmaps; the case "
        f"was not seen in training. {seconds:.0f} s on {run.result.device}.",
        highlight=False,
    )
    console.print(f"Everything is in {output}; open {output / 'report.html'}.", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
