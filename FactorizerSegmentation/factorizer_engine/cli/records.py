"""What a result is of: which file became which channel, which model, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factorizer_engine import __version__
from factorizer_engine.cli.outputs import RECORD
from factorizer_engine.protocol.files import write_json
from factorizer_engine.protocol.messages import plain
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import ModelChoice, RunOptions

if TYPE_CHECKING:
    from rich.table import Table

    from factorizer_engine.images.scan import Scan


@dataclass(frozen=True)
class RunRecord:
    """The account of a run that lies beside its results.

    Attributes:
        command: Which command it was.
        model: The model.
        choice: Where it ran.
        options: How it was applied; None leaves it to the model.
        reference: Channel on whose grid the results are.
        sources: File, DICOM folder or "FOLDER::SERIES" of each channel.
        scans: What was read from there.
    """

    command: str
    model: ModelDescription
    choice: ModelChoice
    options: RunOptions
    reference: str
    sources: Mapping[str, Path | str]
    scans: Mapping[str, Scan]

    def write(self, folder: Path, **found: Any) -> None:
        """Write run.json, with the names of the files that lie in `folder` by now.

        Args:
            folder: Where the results were written.
            found: More entries, such as the device.

        Raises:
            BadInputError: If it cannot be written.
        """
        from factorizer_engine.images.files import absolute_location

        content = {
            "command": self.command,
            "software": {"name": "factorizer", "version": __version__},
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
            "model": {"name": self.model.name, "version": self.model.version},
            "channels": {
                channel: {
                    "source": absolute_location(self.sources[channel]),
                    "name": scan.name,
                    "size": list(scan.shape),
                    "spacing_mm": [round(float(size), 6) for size in scan.spacing],
                }
                for channel, scan in self.scans.items()
            },
            "reference": self.reference,
            "settings": {
                "device": self.choice.device,
                "precision": self.choice.precision,
                "members": self.choice.members,
                "compiled": self.choice.compiled,
                "sweeps": self.choice.sweeps,
                "short_circuits": self.choice.short_circuits,
                **plain(self.options),
            },
            **found,
            "files": sorted([RECORD, *(file.name for file in folder.iterdir())]),
        }
        write_json(folder / RECORD, content)

    @property
    def remarks(self) -> dict[str, str]:
        """The same in short, for files that keep remarks; without folders, which name patients."""
        settings = {
            "precision": self.choice.precision,
            "members": self.choice.members,
            "sweeps": self.choice.sweeps,
            "short_circuits": ", ".join(self.choice.short_circuits) or None,
            **plain(self.options),
        }
        return {
            "Model": f"{self.model.name} {self.model.version}",
            "Software": f"factorizer {__version__}",
            "Settings": ", ".join(
                f"{name} {value}" for name, value in settings.items() if value not in (None, False)
            ),
            **{f"Channel_{name}": self._origin(name) for name in self.scans},
        }

    def table(self) -> Table:
        """Which file or series is which channel."""
        from factorizer_engine.cli.terminal import make_facts

        return make_facts("Scans", {name: self._origin(name) for name in self.scans})

    def _origin(self, channel: str) -> str:
        """The file's name; of a DICOM folder also the series that was read."""
        source, scan = Path(self.sources[channel]).name, self.scans[channel].name
        return source if scan in (source, source.partition(".")[0]) else f"{source} ({scan})"
