"""Many studies: one after the other in one engine, and side by side in several."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, Setting, ratio
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.cli.early_checks import Caution
from factorizer_engine.cli.studies.listing import StudyFiles
from factorizer_engine.cli.studies.local import segment_here
from factorizer_engine.cli.studies.work import Batch
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import ModelChoice, RunOptions

STUDIES = 8
SECTION = f"{STUDIES} studies, the start of engines included"
IN_TURN, SIDE_BY_SIDE = "one after the other", "side by side"


def measure_studies(bundle: Bundle, folder: Path, setting: Setting) -> list[Row]:
    """Copies of one case, segmented by one engine with all threads and by one engine a thread."""
    times: dict[str, list[float]] = {IN_TURN: [], SIDE_BY_SIDE: []}
    for turn in range(1, setting.rounds + 1):
        for name, workers in ((IN_TURN, 1), (SIDE_BY_SIDE, setting.threads)):
            setting.say(f"studies {name}, round {turn} of {setting.rounds}")
            times[name].append(_seconds(bundle, folder, workers, setting))
    return [
        Row(
            SECTION,
            name,
            seconds,
            ratios={IN_TURN: ratio(seconds, times[IN_TURN])},
            note=f"{3600 * STUDIES / min(seconds):.0f} studies an hour at best",
        )
        for name, seconds in times.items()
    ]


def _seconds(bundle: Bundle, folder: Path, workers: int, setting: Setting) -> float:
    files = tuple(str(path) for path in sorted(folder.iterdir()))
    studies = [StudyFiles(f"study {number}", files) for number in range(STUDIES)]
    model = bundle.description
    with tempfile.TemporaryDirectory() as output:
        batch = Batch(
            choice=ModelChoice(str(model.path), str(setting.device)),
            model=model,
            options=RunOptions(),
            reference=model.channels[0].name,
            probabilities=False,
            caution=Caution(),
            output=Path(output),
        )
        start = time.perf_counter()
        outcomes = list(segment_here(batch, studies, workers))
        seconds = time.perf_counter() - start
    for outcome in outcomes:
        if not outcome.is_done:
            raise BadInputError(f"{folder.name} cannot be segmented: {outcome.reason}")
    return seconds
