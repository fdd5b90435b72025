"""A finished run as a table in the terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.table import Table

from benchmarks.goals import Goal
from benchmarks.measure import Row

COLUMNS = (
    "Median (s)",
    "Min to max (s)",
    "Memory (GB)",
    "Parameters (M)",
    "GFLOP",
    "Ratio of times",
)
GOAL_COLUMNS = ("Goal", "At most", "Measured", "Verdict")


@dataclass(frozen=True)
class Report:
    """A run of the benchmark.

    Attributes:
        command: What was called.
        environment: Machine, versions and settings, by name.
        rows: What was measured.
        goals: What it was to be.
    """

    command: str
    environment: Mapping[str, str]
    rows: Sequence[Row]
    goals: Sequence[Goal]

    def tables(self) -> list[Table]:
        """The measurements and the goals for the terminal."""
        table = Table("", title="Benchmark", title_justify="left")
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for section, rows in self._sections():
            table.add_section()
            table.add_row(f"[bold]{section}[/bold]")
            for row in rows:
                table.add_row(row.name, *_cells(row))
        goals = Table(*GOAL_COLUMNS, title="Goals", title_justify="left")
        for goal in self.goals:
            goals.add_row(*_goal_cells(goal))
        return [table, goals] if self.goals else [table]

    def json(self) -> str:
        """Everything, with all samples."""
        rows = [{**asdict(row), "median": row.median} for row in self.rows]
        goals = [{**asdict(goal), "verdict": goal.verdict} for goal in self.goals]
        content = {
            "command": self.command,
            "environment": dict(self.environment),
            "rows": rows,
            "goals": goals,
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def markdown(self) -> str:
        """Headings and tables."""
        lines = ["# Benchmark", "", f"`{self.command}`", ""]
        lines += [f"- {name}: {value}" for name, value in self.environment.items()]
        for section, rows in self._sections():
            lines += ["", f"## {section}", "", *_section_lines(rows)]
        if self.goals:
            lines += ["", "## Goals", "", *_header(*GOAL_COLUMNS)]
            lines += [_line(*_goal_cells(goal)) for goal in self.goals]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write benchmark.json and benchmark.md."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "benchmark.json").write_text(self.json(), encoding="utf-8")
        (folder / "benchmark.md").write_text(self.markdown(), encoding="utf-8")

    def _sections(self) -> list[tuple[str, list[Row]]]:
        return [(name, list(rows)) for name, rows in groupby(self.rows, lambda row: row.section)]


def _section_lines(rows: Sequence[Row]) -> list[str]:
    """The rows as a Markdown table of those columns that say anything."""
    table = [_cells(row) for row in rows]
    used = [index for index in range(len(COLUMNS)) if any(cells[index] for cells in table)]
    lines = _header("", *(COLUMNS[index] for index in used))
    for row, cells in zip(rows, table, strict=True):
        lines.append(_line(row.name, *(cells[index] for index in used)))
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    """The row's values, in the order of `COLUMNS`; nothing where nothing was measured."""
    spread = f"{_number(min(row.seconds))} to {_number(max(row.seconds))}" if row.seconds else ""
    remarks = [f"{value:.2f} x {name}" for name, value in row.ratios.items()]
    if row.difference is not None:
        remarks.append(f"difference {row.difference:.0e}")
    if row.note:
        remarks.append(row.note)
    return (
        _number(row.median),
        spread,
        _number(row.memory, 1e9),
        _number(row.parameters, 1e6),
        _number(row.operations, 1e9),
        ", ".join(remarks),
    )


def _goal_cells(goal: Goal) -> tuple[str, ...]:
    return goal.title, _number(goal.limit), _number(goal.measured), goal.verdict


def _number(value: float | None, unit: float = 1.0) -> str:
    """Three significant digits, without an exponent where a person would write none."""
    if value is None:
        return ""
    scaled = value / unit
    return f"{scaled:.0f}" if abs(scaled) >= 1000 else f"{scaled:.3g}"


def _header(*titles: str) -> list[str]:
    return [_line(*titles), _line("---", *("---:" for _ in titles[1:]))]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
