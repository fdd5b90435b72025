"""What happened in a run: one JSON object per line, and TensorBoard if it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from factorizer_engine.protocol.files import write_text


class History:
    """Appends records to `history.jsonl`; every record has a `kind` and a `step`.

    Args:
        folder: The run's folder.
        resumed_step: Later records are those of a part of the run that was lost; they are dropped.
    """

    def __init__(self, folder: Path, resumed_step: int = 0) -> None:
        self._path = folder / "history.jsonl"
        kept = (
            [r for r in read_history(folder) if r["step"] <= resumed_step] if resumed_step else []
        )
        write_text(self._path, "".join(json.dumps(r) + "\n" for r in kept))
        self._board = _open_board(folder / "tensorboard", resumed_step)

    def add(self, kind: str, step: int, **values: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)
            if kind == "validation":
                self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def read_history(folder: Path) -> list[dict[str, Any]]:
    """All records of the run in `folder`, oldest first; a half-written last line is left out."""
    path = Path(folder) / "history.jsonl"
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def has_tensorboard() -> bool:
    """Whether TensorBoard logs can be written."""
    return _summary_writer() is not None


def _summary_writer() -> type | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter


def _open_board(folder: Path, resumed_step: int) -> Any:
    writer = _summary_writer()
    # Entries of steps that will be made again are to be dropped by TensorBoard.
    return writer and writer(str(folder), purge_step=resumed_step + 1 if resumed_step else None)
