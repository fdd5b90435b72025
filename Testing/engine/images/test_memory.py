"""The amount of free memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from factorizer_engine.images import memory


def test_free_memory_is_a_sensible_amount():
    assert 2**20 < memory.available_memory() < 2**50


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "limit").write_text("3000000\n")
    (tmp_path / "usage").write_text("1000000\n")
    files = (str(tmp_path / "limit"), str(tmp_path / "usage"))
    monkeypatch.setattr(memory, "_CGROUPS", (files,))
    assert memory.available_memory() == 2_000_000
    (tmp_path / "limit").write_text("max\n")
    assert memory.available_memory() != 2_000_000


@pytest.mark.parametrize(
    ("statistics", "left"),
    [
        ("anon 300000\nfile 600000\ninactive_file 500000\nactive_file 100000\n", 2_600_000),
        ("cache 9\ninactive_file 1\ntotal_inactive_file 500000\ntotal_active_file 0\n", 2_500_000),
        ("inactive_file 9000000\n", 3_000_000),
        ("shmem 800000\n", 2_000_000),
        ("nonsense", 2_000_000),
    ],
)
def test_the_page_cache_of_a_container_is_free(monkeypatch, tmp_path, statistics, left):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text(statistics)
    files = (str(tmp_path / "memory.max"), str(tmp_path / "memory.current"))
    monkeypatch.setattr(memory, "_CGROUPS", (files,))
    assert memory.available_memory() == left


@pytest.mark.parametrize("membership", ["0::/slice/job\n", "5:cpu:/other\n9:memory:/slice/job\n"])
def test_the_limit_of_a_job_on_a_cluster_counts(monkeypatch, tmp_path, membership):
    group = tmp_path / "slice" / "job"
    group.mkdir(parents=True)
    for folder, limit in ((group, "max"), (group.parent, "3000000")):
        (folder / "limit").write_text(limit)
        (folder / "usage").write_text("1000000")
    (tmp_path / "cgroup").write_text(membership)
    monkeypatch.setattr(memory, "_CGROUPS", ((str(tmp_path / "limit"), str(tmp_path / "usage")),))
    monkeypatch.setattr(memory, "_MEMBERSHIP", tmp_path / "cgroup")
    assert memory.available_memory() == 2_000_000


LIMITED = """
import resource
from factorizer_engine.images.memory import available_memory
limit = resource.RLIMIT_{kind}
resource.setrlimit(limit, (2**32, 2**32))
print(available_memory())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.parametrize("kind", ["AS", "DATA"])
def test_the_limits_of_the_process_itself_count(kind):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(kind=kind)],
        env={**os.environ, "PYTHONPATH": str(Path(memory.__file__).parents[2])},
        capture_output=True,
        check=True,
    )
    assert 0 < int(done.stdout) < 2**32
